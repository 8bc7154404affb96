"""LlamaIndex's messages in, vLLM's messages out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from llama_index_vllm_connect.content import Json, content_parts

from .tools import wire_calls

ReasoningField = Literal["reasoning", "reasoning_content"]

_ROLES = {
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}


def wire_messages(
    messages: Sequence[ChatMessage], reasoning_field: ReasoningField | None = "reasoning"
) -> list[Json]:
    """A conversation as a chat completions request carries it.

    A video's `fps` and `detail` stay behind: vLLM takes those for a whole request, not for one video.

    Args:
        messages: The conversation; it is not changed.
        reasoning_field: Under which name an assistant's reasoning goes back; None to leave it out.

    Raises:
        ValueError: A block that vLLM cannot take.
    """
    return [wire_message(message, reasoning_field) for message in messages]


def wire_message(message: ChatMessage, reasoning_field: ReasoningField | None = "reasoning") -> Json:
    """One message; see `wire_messages`."""
    role = _ROLES.get(message.role, message.role.value)
    wire: Json = {"role": role}
    content = _content(message.blocks)
    calls = wire_calls(message) if role == "assistant" else []
    if content or not calls:
        wire["content"] = content
    if calls:
        wire["tool_calls"] = calls
    if role == "assistant" and reasoning_field:
        thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock)]
        if reasoning := "\n".join(filter(None, thoughts)):
            wire[reasoning_field] = reasoning
    if role == "tool":
        wire["tool_call_id"] = message.additional_kwargs.get("tool_call_id") or ""
    if isinstance(name := message.additional_kwargs.get("name"), str):
        wire["name"] = name
    return wire


def check_text_only(messages: Iterable[ChatMessage]) -> None:
    """Check a conversation that is to be written out as a text, which would drop everything else.

    Raises:
        ValueError: A block holds something else: media, a document, a tool call.
    """
    for block in (block for message in messages for block in message.blocks):
        if not isinstance(block, TextBlock | ThinkingBlock | CachePoint):
            raise ValueError(f"mode 'completion' takes text alone, and no {type(block).__name__}")


def _content(blocks: Iterable[ContentBlock]) -> str | list[Json]:
    """Text alone as text, and everything else as parts in their order."""
    parts = [part for block in blocks for part in content_parts(block)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts
