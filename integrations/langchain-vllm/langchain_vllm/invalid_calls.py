"""Tool calls whose arguments nobody can read: said, and told to the model.

LangChain's agents go on where a message has `tool_calls`. One that has `invalid_tool_calls` alone is their
last answer, without a word: so it is warned about here, and `langchain_vllm.middleware` lets an agent go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, InvalidToolCall, ToolMessage

_logger = logging.getLogger(__name__)


def warn_of_invalid(calls: Iterable[Mapping[str, Any]]) -> None:
    """Log that none of an answer's calls can be made, since an agent takes that for its end."""
    calls = list(calls)
    if not calls or any(call["type"] == "tool_call" for call in calls):
        return
    why = "; ".join(f"{call['name']}: {call['error']}" for call in calls)
    _logger.warning(
        "The model called tools, and no call can be made (%s). A LangChain agent ends with such an answer; "
        "langchain_vllm.middleware.InvalidToolCallMiddleware tells the model instead.",
        why,
    )


def results_of_invalid(messages: Sequence[AnyMessage]) -> list[ToolMessage]:
    """The results of the invalid calls of a conversation's last answer, for the model to read.

    Args:
        messages: of which the last `AIMessage` counts; its calls that have results already are left out.
    """
    place = _last_answer(messages)
    if place is None:
        return []
    answer, after = messages[place], messages[place + 1 :]
    answered = {message.tool_call_id for message in after if isinstance(message, ToolMessage)}
    return [
        _result(call)
        for call in getattr(answer, "invalid_tool_calls", ())
        if call["id"] and call["id"] not in answered
    ]


def turns_in_vain(messages: Sequence[BaseMessage]) -> int:
    """Count the answers, up to the last one, that had invalid calls and nothing else to go on with."""
    count = 0
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            if message.tool_calls or not message.invalid_tool_calls:
                break
            count += 1
        elif not isinstance(message, ToolMessage):
            break
    return count


def _last_answer(messages: Sequence[AnyMessage]) -> int | None:
    places = range(len(messages) - 1, -1, -1)
    return next((place for place in places if isinstance(messages[place], AIMessage)), None)


def _result(call: InvalidToolCall) -> ToolMessage:
    why = call.get("error") or "its arguments cannot be read"
    return ToolMessage(
        f"{call['name']} was not called: {why}. Call it again, with its arguments as one JSON object.",
        tool_call_id=call["id"],
        name=call["name"],
        status="error",
    )
