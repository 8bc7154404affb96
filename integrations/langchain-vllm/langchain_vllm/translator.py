"""Messages out as standard content blocks: what `message.content_blocks` gives, and v1 content is."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, content
from langchain_core.messages.block_translators import register_translator

from .replies import PROVIDER
from .wire import Json

KNOWS_REFUSALS = hasattr(content, "RefusalContentBlock")
"""Whether langchain-core has a block for refusals, which are in `additional_kwargs` anyway: since 1.7.5."""
_INDICES = {"reasoning": "lc_rs_0", "text": "lc_txt_0", "refusal": "lc_rf_0"}
_CALLS = ("invalid_tool_call", "tool_call", "tool_call_chunk")


def message_blocks(message: AIMessage) -> list[Any]:
    """Reasoning, text, refusal and tool calls, valid and invalid, of a whole message."""
    blocks = _content_blocks(message, chunk=False)
    blocks += [
        {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
        for call in message.tool_calls
    ]
    blocks += [dict(call) for call in message.invalid_tool_calls]
    return blocks


def chunk_blocks(message: AIMessageChunk) -> list[Any]:
    """Reasoning, text and pieces of tool calls of a chunk; of the last, or of the sum, whole calls.

    Each kind has an index of its own, by which chunks are put together.
    """
    if message.chunk_position == "last":
        return message_blocks(message)
    blocks = _content_blocks(message, chunk=True)
    for call in message.tool_call_chunks:
        block = {"type": "tool_call_chunk", "id": call["id"], "name": call["name"], "args": call["args"]}
        blocks.append({**block, "index": f"lc_tc_{call['index']}"})
    return blocks


def _content_blocks(message: AIMessage, *, chunk: bool) -> list[Any]:
    if isinstance(message.content, list):  # put there by a caller
        return [
            {"type": "text", "text": block} if isinstance(block, str) else dict(block)
            for block in message.content
            if isinstance(block, str) or block.get("type") not in _CALLS
        ]
    blocks: list[Json] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    if KNOWS_REFUSALS and (refusal := message.additional_kwargs.get("refusal")):
        blocks.append({"type": "refusal", "refusal": refusal})
    if chunk:
        for block in blocks:
            block["index"] = _INDICES[block["type"]]
    return blocks


register_translator(PROVIDER, message_blocks, chunk_blocks)
