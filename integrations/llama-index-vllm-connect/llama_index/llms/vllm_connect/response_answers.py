"""Answers of the Responses API in, LlamaIndex's responses out: whole ones, and streams event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatResponse
from openai.types.responses import Response, ResponseUsage

from llama_index_vllm_connect.content import Json
from vllm_connect.adapters import ToolCall

from .answers import answer_facts, assistant_message, token_logprobs, warn_of_ending
from .tools import listed_calls

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_THOUGHTS = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
_REASONS = {"cancelled": "abort", "failed": "error"}


def read_response(response: Response) -> ChatResponse:
    """A response of the Responses API as one of LlamaIndex's; `raw` is all of it, as plain data."""
    text = _texts(response, "output_text", "text")
    reasoning = "\n".join(filter(None, map(_reasoning, _items(response, "reasoning"))))
    calls = listed_calls(
        [ToolCall(item.call_id, item.name, item.arguments) for item in _items(response, "function_call")]
    )
    finish_reason = _finish_reason(response, calls)
    facts = _facts(response.usage, finish_reason, _extra(response, "stop_reason"))
    if refusal := _texts(response, "refusal", "refusal"):
        facts["refusal"] = refusal
    warn_of_ending(finish_reason, text or calls or refusal, reasoning)
    details = response.usage and response.usage.output_tokens_details
    logprobs = [each for part in _parts(response, "output_text") for each in part.logprobs or ()]
    return ChatResponse(
        message=assistant_message(reasoning, text, calls, details.reasoning_tokens if details else None),
        raw=response.model_dump(warnings=False),
        logprobs=token_logprobs(logprobs) if logprobs else None,
        additional_kwargs=facts,
    )


def finished(reply: Any) -> Response | None:
    """The whole response, if it is there: the reply itself, or what the event that ends a stream holds."""
    if isinstance(reply, Response):
        return reply
    response: Response | None = reply.response if reply.type in _ENDS else None
    return response


class ResponseSoFar:
    """A streamed response: events in, responses with everything so far out."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls: list[Any] = []  # the items, whose arguments grow
        self._failed: Response | None = None

    def feed(self, event: Any) -> ChatResponse | None:
        """The response so far, at the end the whole one; None if the event adds nothing."""
        kind = event.type
        if kind == "response.output_text.delta":
            self._text += event.delta
            return self._response(event, delta=event.delta)
        if kind in _THOUGHTS:
            self._reasoning += event.delta
            return self._response(event, thinking_delta=event.delta)
        if kind == "response.output_item.added" and event.item.type == "function_call":
            self._calls.append(event.item.model_copy())
            return self._response(event)
        if kind == "response.function_call_arguments.delta":
            self._call(event.item_id).arguments += event.delta
            return self._response(event)
        if kind == "response.failed":  # which the client says by an exception, if it can
            self._failed = event.response
            return None
        response = finished(event)
        return None if response is None else _ending(response)

    def finish(self) -> ChatResponse | None:
        """The end of a stream that failed without an error."""
        return None if self._failed is None else _ending(self._failed)

    def _call(self, item_id: str) -> Any:
        """The call with this id; the last one where a server does not keep to its ids."""
        return next((call for call in self._calls if call.id == item_id), self._calls[-1])

    def _response(self, event: Any, delta: str = "", **facts: str) -> ChatResponse:
        calls = [ToolCall(call.call_id, call.name, call.arguments) for call in self._calls]
        logprobs = [each for each in getattr(event, "logprobs", None) or () if each.token is not None]
        return ChatResponse(
            message=assistant_message(self._reasoning, self._text, listed_calls(calls), None),
            delta=delta,
            raw=event.model_dump(warnings=False),
            logprobs=token_logprobs(logprobs) if logprobs else None,
            additional_kwargs=dict(facts),
        )


def _ending(response: Response) -> ChatResponse:
    """The last response of a stream."""
    return read_response(response).model_copy(update={"delta": ""})


def _items(response: Response, kind: str) -> list[Any]:
    return [item for item in response.output if item.type == kind]


def _parts(response: Response, kind: str) -> list[Any]:
    """The parts of all messages that are of a kind."""
    messages = _items(response, "message")
    return [part for message in messages for part in message.content if part.type == kind]


def _texts(response: Response, kind: str, field: str) -> str:
    return "".join(getattr(part, field) for part in _parts(response, kind))


def _reasoning(item: Any) -> str:
    return "\n".join(part.text for part in item.content or item.summary or ())


def _extra(response: Response, name: str) -> Any:
    """A fact that only a response made from a chat completion has."""
    return (response.model_extra or {}).get(name)


def _finish_reason(response: Response, calls: Sequence[Json]) -> str | None:
    """The ending, as chat completions call it."""
    if finish_reason := _extra(response, "finish_reason"):
        return str(finish_reason)
    if response.status == "incomplete":
        reason = response.incomplete_details and response.incomplete_details.reason
        return "content_filter" if reason == "content_filter" else "length"
    if response.status == "completed":
        return "tool_calls" if calls else "stop"
    return _REASONS.get(response.status or "")


def _facts(usage: ResponseUsage | None, finish_reason: str | None, stop_reason: int | str | None) -> Json:
    """The facts of a chat's answer, and the usage as OpenAI's class has it."""
    counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens) if usage else None
    facts = answer_facts(counts, finish_reason, stop_reason)
    facts.setdefault("finish_reason", None)  # it is finished: see `selections`
    return {**facts, "usage": usage} if usage else facts
