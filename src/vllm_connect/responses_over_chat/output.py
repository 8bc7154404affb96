"""The items that a response consists of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response_output_text import Logprob
from openai.types.responses.response_reasoning_item import Content as ReasoningText

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Part = ResponseOutputText | ResponseOutputRefusal
Item = ResponseReasoningItem | ResponseOutputMessage | ResponseFunctionToolCall


def new_id(prefix: str) -> str:
    """A random id: "rs" reasoning, "msg" message, "fc" function call, "resp" response."""
    return f"{prefix}_{uuid4().hex}"


def reasoning_of(message: Any) -> str | None:
    """The reasoning of a message or a delta, also of the SDK's own type, which has it among its extras."""
    text = getattr(message, "reasoning", None) or (message.model_extra or {}).get("reasoning_content")
    return text if isinstance(text, str) else None


def reasoning_item(id: str, text: str, status: ItemStatus) -> ResponseReasoningItem:
    """Return the item of the model's reasoning."""
    content = [ReasoningText(type="reasoning_text", text=text)] if text else []
    return ResponseReasoningItem(type="reasoning", id=id, summary=[], content=content, status=status)


def text_part(text: str, logprobs: Sequence[Logprob] = ()) -> ResponseOutputText:
    """Text of a message."""
    return ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=list(logprobs))


def refusal_part(text: str) -> ResponseOutputRefusal:
    """A refusal in a message."""
    return ResponseOutputRefusal(type="refusal", refusal=text)


def message_item(id: str, parts: Sequence[Part], status: ItemStatus) -> ResponseOutputMessage:
    """Return the item of the model's text."""
    return ResponseOutputMessage(type="message", id=id, role="assistant", content=list(parts), status=status)


def call_item(
    id: str, call_id: str, name: str, arguments: str, status: ItemStatus
) -> ResponseFunctionToolCall:
    """A function that the model wants called."""
    return ResponseFunctionToolCall(
        type="function_call", id=id, call_id=call_id, name=name, arguments=arguments, status=status
    )
