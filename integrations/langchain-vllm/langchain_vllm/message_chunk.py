"""Message chunks whose sum never repairs the arguments of a tool call.

langchain-core completes what is missing of a tool call's JSON in every chunk and every sum: right for
showing a call while it is written, fatal when the answer is over, since agents run what the sum says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import invalid_tool_call, tool_call
from pydantic import model_validator
from typing_extensions import Self
from vllm_connect.adapters import ArgumentsError, read_arguments

Call = tuple[str, str, str]


def read_calls(calls: Iterable[Call], finish_reason: str | None) -> list[ToolCall | InvalidToolCall]:
    """The tool calls of an answer at its end, each valid, or invalid with the reason why.

    Args:
        calls: id, name and arguments of each.
        finish_reason: how the answer ended.
    """
    calls = list(calls)
    return [_read(*call, finish_reason, place == len(calls)) for place, call in enumerate(calls, 1)]


def _read(
    call_id: str, name: str, arguments: str, finish_reason: str | None, is_last: bool
) -> ToolCall | InvalidToolCall:
    try:
        args = read_arguments(arguments, finish_reason, is_last=is_last)
    except ArgumentsError as error:
        return invalid_tool_call(name=name, args=error.text, id=call_id, error=str(error))
    return tool_call(name=name, args=args, id=call_id)


class _Whole:
    """The first parent, which langchain-core calls to make a message of a chunk."""

    def __new__(cls, *args: Any, **fields: Any) -> Any:
        if cls is _Whole:
            return AIMessage(**fields)
        return super().__new__(cls)


class MessageChunk(_Whole, AIMessageChunk):
    """A chunk of an answer.

    Once it has a finish reason, its tool calls, or those of a sum that it is part of, are read whole or
    are among `invalid_tool_calls`. Before that they are as langchain-core reads them.
    """

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Read the tool calls of the chunks."""
        super().init_tool_calls()  # type: ignore[operator]  # pydantic puts the function in place of its mark
        finish_reason = self.response_metadata.get("finish_reason")
        if not self.tool_call_chunks or not (finish_reason or self.chunk_position == "last"):
            return self
        pieces = self.tool_call_chunks
        calls = read_calls(
            ((call["id"] or "", call["name"] or "", call["args"] or "") for call in pieces), finish_reason
        )
        self.tool_calls = [cast("ToolCall", call) for call in calls if call["type"] == "tool_call"]
        self.invalid_tool_calls = [
            cast("InvalidToolCall", call) for call in calls if call["type"] == "invalid_tool_call"
        ]
        if isinstance(self.content, list):  # output_version "v1", whose blocks langchain-core has repaired
            by_id = {call["id"]: call for call in calls}
            self.content = [_block(block, by_id) for block in self.content]
        return self

    def __radd__(self, other: Any) -> AIMessageChunk:
        """Sum up from a chunk of langchain-core's own, such as an empty one."""
        if not isinstance(other, AIMessageChunk):
            return NotImplemented
        return add_ai_message_chunks(MessageChunk.model_construct(**other.__dict__), self)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Saved as langchain-core's own class."""
        return [*cls.get_lc_namespace(), AIMessageChunk.__name__]


def _block(
    block: str | dict[Any, Any], calls: Mapping[str | None, ToolCall | InvalidToolCall]
) -> str | dict[Any, Any]:
    """A block of the content, in place of which there may be a call."""
    if isinstance(block, dict) and block.get("type") in ("tool_call", "tool_call_chunk"):
        return dict(calls.get(block.get("id"), block))
    return block
