"""Words of a chat that mean something else for each model: `thinking=`, and `max_tokens="fit"`.

Both ask /tokenize. The word that a chat template knows for thinking is found out once for a model: with that
word true and false, it renders two prompts that differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, TypeVar

from .._calls.call import Call
from .._wire.decoding import JsonObject
from ..errors import UnsupportedOperationError
from .tokens import TokenizeParams, tokenize_call

T = TypeVar("T")

SWITCHES = ("enable_thinking", "thinking")
"""What templates call it: Qwen, GLM and Gemma the first, DeepSeek, Granite and Kimi the second."""
_PROBE = [{"role": "user", "content": "x"}]
_RENDERED = TokenizeParams.__annotations__.keys()
_OPERATION = "chat.completions.create"


class Perform(Protocol):
    """Makes a call, in either world."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Make a call."""


async def without_words(
    perform: Perform, switches: dict[object, str], params: Mapping[str, object]
) -> JsonObject:
    """The parameters in the words of the model that they are for.

    Args:
        perform: makes a call.
        switches: the words for thinking that were found, by model.
        params: the parameters of a chat.

    Raises:
        UnsupportedOperationError: the model's template has no word for thinking.
    """
    request: dict[str, Any] = dict(params)
    thinking = request.pop("thinking", None)
    if thinking is not None:
        if not isinstance(thinking, int) or thinking < 0:
            raise TypeError(f"{_OPERATION}: thinking is True, False, or how many tokens, not {thinking!r}")
        switch = await _switch(perform, switches, request)
        extra_body = request.get("extra_body") or {}
        if "chat_template_kwargs" in extra_body:  # which replaces the other one
            template = extra_body["chat_template_kwargs"] or {}
            template = {switch: bool(thinking), **template}
            request["extra_body"] = {**extra_body, "chat_template_kwargs": template}
        else:
            template = request.get("chat_template_kwargs") or {}
            request["chat_template_kwargs"] = {switch: bool(thinking), **template}
        if thinking and not isinstance(thinking, bool):
            request["thinking_token_budget"] = thinking
    if request.get("max_tokens") == "fit":
        messages = request["messages"] = list(request.get("messages") or ())
        body = {**request, **(request.get("extra_body") or {})}
        fields = {name: value for name, value in body.items() if name in _RENDERED and name != "extra_body"}
        if template := template_kwargs(body):
            fields["chat_template_kwargs"] = template
        count = await perform(tokenize_call({**fields, "messages": messages}))
        room = count.max_model_len - count.count
        request["max_tokens"] = max(1, room)  # with none left, the server says so
    return request


async def _switch(perform: Perform, switches: dict[object, str], params: Mapping[str, object]) -> str:
    model = params.get("model")
    if (known := switches.get(model)) is not None:
        return known
    options = {name: params[name] for name in ("model", "extra_headers", "timeout") if name in params}
    for switch in SWITCHES:
        prompts = []
        for thinks in (True, False):
            probe = {**options, "messages": _PROBE, "chat_template_kwargs": {switch: thinks}}
            prompts.append((await perform(tokenize_call(probe))).tokens)
        if prompts[0] != prompts[1]:
            switches[model] = switch
            return switch
    raise UnsupportedOperationError(
        _OPERATION,
        f"the chat template of {model or 'the model'} has no switch for thinking ({', '.join(SWITCHES)}): "
        "leave thinking= out; some models heed reasoning_effort=",
    )


def template_kwargs(params: Mapping[str, Any]) -> JsonObject:
    """Return what the chat template of a request is told, for /tokenize.

    That has no place for the effort, of which a chat tells the template. And it takes every word for thinking
    at once, since templates pass over what they do not know.

    Args:
        params: of a chat.
    """
    thinking, effort = params.get("thinking"), params.get("reasoning_effort")
    template: JsonObject = {} if thinking is None else dict.fromkeys(SWITCHES, bool(thinking))
    template |= params.get("chat_template_kwargs") or {}
    if effort is None:
        return template
    return {"enable_thinking": effort != "none", **template, "reasoning_effort": effort}


def without_switches(template: Mapping[str, object]) -> JsonObject:
    """Return what a chat template is told, but for whether to think.

    Args:
        template: `chat_template_kwargs`.
    """
    return {name: value for name, value in template.items() if name not in SWITCHES}
