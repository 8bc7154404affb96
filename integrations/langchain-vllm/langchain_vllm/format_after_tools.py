"""Tools beside a forced format: the model calls tools first, and the answer has the format.

In one request vLLM forces the format from the first token on, so that no tool is ever called (0.32.0, unless
`tool_choice` forces a call, which then wins). So the format is left out at first. If the model calls tools,
that is the answer; if it says something instead, that was a draft: the same conversation is asked again with
the format and without calls (`tool_choice` is "none" then, with which the prompt still has the tools). The
first request is that of an agent without a format: a schema in its prompt would disturb small models' calls.

The other ways do less. A tool that takes the answer needs `tool_choice` "required", which a quarter of vLLM's
tool parsers treat as "auto", and which has the model call something even where it would rather not. A
structural tag that allows both depends on how the model writes its calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from vllm_connect.adapters import describe_cut, schema_prompt, show_schema
from vllm_connect.types import ChatCompletion, ChatCompletionChunk, CompletionUsage

from .usage import sums
from .wire import Json

_FORMATS = ("response_format", "structured_outputs")


class Requests(NamedTuple):
    """The requests that are made instead of one with tools and a format at once.

    Attributes:
        first: Without the format, or all there is to ask.
        second: With the format, if no tool was called; None if there is nothing to ask again.
    """

    first: Json
    second: Json | None


def split(request: Json) -> Requests:
    """Decide what to ask.

    Args:
        request: Arguments of `chat.completions.create`.

    Raises:
        ValueError: Several answers are asked for, of which each might call other tools.
    """
    if not request.get("tools") or not any(_binds(name, _field(request, name)) for name in _FORMATS):
        return Requests(request, None)
    choice = request.get("tool_choice", "auto")
    if choice == "none":
        return Requests(request, None)
    first = _without_format(request)
    if choice != "auto":  # a call is forced, and has the format of its tool
        return Requests(first, None)
    if (request.get("n") or 1) > 1:
        raise ValueError(
            "n is 1 where there are tools and a response format: the answers might call different tools"
        )
    return Requests(first, {**request, "tool_choice": "none"})


def show_format(request: Json, schema: bool | Mapping[str, object]) -> None:
    """Show the model the format of a request that has one.

    Args:
        request: Its messages are replaced.
        schema: True for the schema of its format; else one that the format does not hold.
    """
    formats = {name: _field(request, name) for name in _FORMATS}
    if any(_binds(name, value) for name, value in formats.items()):
        text = schema_prompt(**formats, schema=schema if isinstance(schema, Mapping) else None)
        request["messages"] = show_schema(request["messages"], text)


def is_draft(reply: ChatCompletion) -> bool:
    """Tell whether the answer to the first request is to be asked again with the format."""
    choice = reply.choices[0]
    return not choice.message.tool_calls and _asks_again(choice.finish_reason, bool(choice.message.content))


def joined(draft: ChatCompletion, answer: ChatCompletion) -> ChatCompletion:
    """The answer to the second request, with what was thought and paid for in the first."""
    message = answer.choices[0].message
    if before := draft.choices[0].message.reasoning:
        message.reasoning = before + (message.reasoning or "")
    answer.usage = _total(draft.usage, answer.usage)
    return answer


class Draft:
    """The stream of the first request: its reasoning goes on at once, its text when a tool is called."""

    def __init__(self) -> None:
        self._held: list[ChatCompletionChunk] = []
        self._calls = False
        self._text = False
        self._finish_reason: str | None = None
        self._usage: CompletionUsage | None = None

    def feed(self, chunk: ChatCompletionChunk) -> list[ChatCompletionChunk]:
        """Take a chunk; return what may be handed over with it."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        thinks = False
        for choice in chunk.choices:
            self._calls = self._calls or bool(choice.delta.tool_calls)
            self._text = self._text or bool(choice.delta.content)
            self._finish_reason = choice.finish_reason or self._finish_reason
            thinks = bool(choice.delta.reasoning) and not choice.delta.content
        if self._calls:
            return [*self._release(), chunk]
        if thinks and self._finish_reason is None:
            return [chunk]
        self._held.append(chunk)
        return []

    def finish(self) -> list[ChatCompletionChunk]:
        """Return what is to be handed over when the stream has ended, if it is not asked again."""
        return [] if self.is_draft else self._release()

    @property
    def is_draft(self) -> bool:
        """Tell whether the ended stream is to be asked again with the format."""
        return not self._calls and _asks_again(self._finish_reason, self._text)

    def joined(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        """A chunk of the second stream, with what was paid for in the first."""
        if chunk.usage is not None:
            chunk.usage = _total(self._usage, chunk.usage)
        return chunk

    def _release(self) -> list[ChatCompletionChunk]:
        held, self._held = self._held, []
        return held


def _asks_again(finish_reason: str | None, has_text: bool) -> bool:
    """Tell whether a model that called nothing is asked for the format; not if it was cut while thinking."""
    return describe_cut(finish_reason) is None or (finish_reason == "length" and has_text)


def _field(request: Mapping[str, Any], name: str) -> Any:
    return request.get(name) or (request.get("extra_body") or {}).get(name)


def _binds(name: str, value: Any) -> bool:
    """Tell whether a parameter leaves no room for a call; a structural tag says itself where there is any."""
    if not isinstance(value, Mapping):
        return False
    if name == "response_format":
        return value.get("type") in ("json_schema", "json_object")
    return not value.get("structural_tag")


def _without_format(request: Json) -> Json:
    rest = {name: value for name, value in request.items() if name not in _FORMATS}
    if body := rest.get("extra_body"):
        rest["extra_body"] = {name: value for name, value in body.items() if name not in _FORMATS}
    return rest


def _total(first: CompletionUsage | None, second: CompletionUsage | None) -> CompletionUsage | None:
    if first is None or second is None:
        return first or second
    return CompletionUsage.model_validate(sums(first.model_dump(), second.model_dump()))
