"""Replies out as content-block events, the native source of `stream_events(version="v3")`.

    message-start
      content-block-start, content-block-delta…, content-block-finish     per block, numbered from 0
    message-finish

A block of reasoning or text ends where the other kind, or a tool call, begins. Blocks of tool calls
stay open to the end: servers may send several at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.language_models import chat_model_stream
from langchain_core.messages import UsageMetadata
from vllm_connect.adapters import Piece, ToolCalls
from vllm_connect.types import ChatCompletionChunk

from .finish import finish_fields
from .invalid_calls import warn_of_invalid
from .message_chunk import read_calls
from .replies import PROVIDER, finish_metadata, warn_of_emptiness
from .translator import KNOWS_REFUSALS
from .usage import usage_metadata
from .wire import Json

# Before langchain-core 1.7, what was known of a call so far was sent each time, not what is new.
_SENDS_WHOLE_CALLS = not hasattr(
    chat_model_stream.ChatModelStream, "_push_content_block_start"
)  # its handler of starts came with the new deltas


class EventReader:
    """Makes events of one stream's chunks; of several answers (`n`) it reads the first.

    Args:
        message_id: of the message that the events tell of.
        model: the name that was asked for.
    """

    def __init__(self, message_id: str | None, model: str | None) -> None:
        self._model = model
        self._message_id = message_id
        self._started = False
        self._count = 0
        self._open: tuple[str, int, list[str]] | None = None  # kind, index and texts of the current block
        self._calls = ToolCalls()
        self._call_indices: list[int] = []  # of their blocks
        self._usage: UsageMetadata | None = None
        self._metadata: Json = {"model_provider": PROVIDER}
        self._finish_reason: str | None = None
        self._refusal = ""
        self._texts = False

    def read(self, chunk: ChatCompletionChunk) -> Iterator[Json]:
        """The events of a chunk."""
        if not self._started:
            self._started = True
            yield {
                "event": "message-start",
                "role": "ai",
                "id": self._message_id or chunk.id,
                "metadata": {"provider": PROVIDER, "model": self._model or chunk.model},
            }
        if chunk.usage is not None:  # of the whole stream up to here
            self._usage = usage_metadata(chunk.usage)
        if chunk.prompt_token_ids is not None:
            self._metadata["prompt_token_ids"] = chunk.prompt_token_ids
        for choice in chunk.choices:
            if choice.index:
                continue
            delta = choice.delta
            if delta.reasoning:
                yield from self._text_events("reasoning", delta.reasoning)
            if delta.content:
                self._texts = True
                yield from self._text_events("text", delta.content)
            if delta.refusal:
                self._refusal += delta.refusal
            if delta.tool_calls:
                for piece in self._calls.feed(delta.tool_calls):
                    yield from self._called(piece)
            if choice.logprobs is not None:
                found = self._metadata.setdefault("logprobs", {"content": []})
                found["content"] += choice.logprobs.model_dump(exclude_none=True).get("content") or []
            if choice.token_ids:
                self._metadata.setdefault("token_ids", []).extend(choice.token_ids)
            if choice.finish_reason is not None and self._finish_reason is None:
                self._finish_reason = choice.finish_reason
                self._metadata.update(finish_metadata(chunk, choice, self._model))

    def finish(self) -> Iterator[Json]:
        """The events at the end of the stream."""
        if not self._started:
            return
        yield from self._close()
        if not (self._texts or self._calls.calls or self._refusal):
            warn_of_emptiness(self._finish_reason, self._count > 0)
        for piece in self._calls.finish():
            yield from self._called(piece)
        if self._refusal and KNOWS_REFUSALS:
            yield from self._refused()
        blocks = read_calls(self._calls.calls, self._finish_reason)
        warn_of_invalid(blocks)
        for index, block in zip(self._call_indices, blocks, strict=True):
            yield {"event": "content-block-finish", "index": index, "content": block}
        last: Json = {"event": "message-finish", "metadata": self._metadata}
        if self._finish_reason is not None:
            has_calls = any(block["type"] == "tool_call" for block in blocks)
            fields = finish_fields(self._finish_reason, calls=has_calls, refused=bool(self._refusal))
            self._metadata.update(fields)
            last.update(fields)
        if self._usage is not None:
            last["usage"] = self._usage
        if self._refusal:
            last["additional_kwargs"] = {"refusal": self._refusal}
        yield last

    def _text_events(self, kind: str, text: str) -> Iterator[Json]:
        if self._open is None or self._open[0] != kind:
            yield from self._close()
            self._open = (kind, self._count, [])
            self._count += 1
            yield {
                "event": "content-block-start",
                "index": self._open[1],
                "content": {"type": kind, kind: ""},
            }
        self._open[2].append(text)
        yield {
            "event": "content-block-delta",
            "index": self._open[1],
            "delta": {"type": f"{kind}-delta", kind: text},
        }

    def _refused(self) -> Iterator[Json]:
        block = {"type": "refusal", "refusal": self._refusal}
        yield {"event": "content-block-start", "index": self._count, "content": block}
        yield {"event": "content-block-finish", "index": self._count, "content": block}
        self._count += 1

    def _called(self, piece: Piece) -> Iterator[Json]:
        yield from self._close()
        if piece.begins:
            block = {"type": "tool_call_chunk", "id": piece.id, "name": piece.name, "args": ""}
            self._call_indices.append(self._count)
            yield {"event": "content-block-start", "index": self._count, "content": block}
            self._count += 1
        index = self._call_indices[piece.number]
        if _SENDS_WHOLE_CALLS:
            call = self._calls.calls[piece.number]
            fields = {"type": "tool_call_chunk", "id": call.id, "name": call.name, "args": call.arguments}
            yield _delta(index, {"type": "block-delta", "fields": fields})
        elif piece.arguments:
            yield _delta(index, {"type": "tool-call-delta", "args": piece.arguments})

    def _close(self) -> Iterator[Json]:
        if self._open is not None:
            kind, index, texts = self._open
            self._open = None
            yield {
                "event": "content-block-finish",
                "index": index,
                "content": {"type": kind, kind: "".join(texts)},
            }


def _delta(index: int, delta: Json) -> Json:
    return {"event": "content-block-delta", "index": index, "delta": delta}
