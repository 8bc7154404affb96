"""A call and its answer in the words of the semantic conventions for GenAI.

What an operation has no word for there goes by our own name, e.g. ``rerank``. Of messages nothing is told
here but what `messages_in` and `messages_out` make, which are asked for only where their content is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

Attributes = dict[str, Any]

_OPERATIONS = (
    (re.compile(r"chat[./]completions|responses"), "chat"),
    (re.compile(r"completions"), "text_completion"),
    (re.compile(r"embeddings"), "embeddings"),
)
_PARAMETERS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}


def operation_name(operation: str) -> str:
    """The name of an operation: ``chat``, ``text_completion``, ``embeddings``, or our own."""
    for pattern, name in _OPERATIONS:
        if pattern.search(operation):
            return name
    return operation.removesuffix(".create")


def of_request(body: Mapping[str, Any]) -> Attributes:
    """Name a request's parameters."""
    attributes: Attributes = {}
    for name, called in _PARAMETERS.items():
        if (value := body.get(name)) is not None:
            attributes[f"gen_ai.request.{called}"] = value
    if stop := body.get("stop"):
        attributes["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if (count := body.get("n")) is not None and count != 1:
        attributes["gen_ai.request.choice.count"] = count
    if isinstance(encoding := body.get("encoding_format"), str):
        attributes["gen_ai.request.encoding_formats"] = [encoding]
    if isinstance(shape := body.get("response_format"), Mapping):
        attributes["gen_ai.output.type"] = "text" if shape.get("type") == "text" else "json"
    return attributes


class Answer:
    """An answer, whole or in chunks, and what is told of it.

    Args:
        with_content: whether what was said is wanted, too.
    """

    def __init__(self, *, with_content: bool) -> None:
        self.attributes: Attributes = {}
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self._with_content = with_content
        self._texts: dict[int, dict[str, str]] = {}
        self._reasons: dict[int, str] = {}

    def note(self, reply: Any) -> None:
        """Take a reply, a chunk, or an event that holds a reply."""
        reply = getattr(reply, "response", None) or reply
        for name in ("id", "model"):
            if isinstance(value := getattr(reply, name, None), str):
                self.attributes[f"gen_ai.response.{name}"] = value
        if (usage := getattr(reply, "usage", None)) is not None:
            self._note_usage(usage)
        choices = getattr(reply, "choices", None)
        for choice in choices if isinstance(choices, list) else ():
            number = getattr(choice, "index", 0) or 0
            if isinstance(reason := getattr(choice, "finish_reason", None), str):
                self._reasons[number] = reason
            if self._with_content:
                self._note_content(
                    number, getattr(choice, "message", None) or getattr(choice, "delta", choice)
                )
        if self._with_content and isinstance(text := getattr(reply, "output_text", None), str):
            self._texts.setdefault(0, {})["text"] = text

    def finish(self) -> Attributes:
        """All that is told of it."""
        if self._reasons:
            self.attributes["gen_ai.response.finish_reasons"] = [
                self._reasons[number] for number in sorted(self._reasons)
            ]
        if self._texts:
            self.attributes["gen_ai.output.messages"] = _json(
                {
                    "role": "assistant",
                    "parts": [{"type": kind, "content": text} for kind, text in said.items()],
                    "finish_reason": self._reasons.get(number, ""),
                }
                for number, said in sorted(self._texts.items())
            )
        return self.attributes

    def _note_usage(self, usage: Any) -> None:
        first = _first_number
        self.input_tokens = first(usage, "prompt_tokens", "input_tokens")
        self.output_tokens = first(usage, "completion_tokens", "output_tokens")
        counts = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read.input_tokens": first(_details(usage, "prompt", "input"), "cached_tokens"),
            "reasoning.output_tokens": first(_details(usage, "completion", "output"), "reasoning_tokens"),
        }
        for name, value in counts.items():
            if value is not None:
                self.attributes[f"gen_ai.usage.{name}"] = value

    def _note_content(self, number: int, message: Any) -> None:
        texts = self._texts.setdefault(number, {})
        for kind, names in (("reasoning", ("reasoning", "reasoning_content")), ("text", ("content", "text"))):
            text = next((found for name in names if (found := getattr(message, name, None))), None)
            if isinstance(text, str):
                texts[kind] = texts.get(kind, "") + text
        for call in getattr(message, "tool_calls", None) or ():
            function = getattr(call, "function", None)
            piece = f"{getattr(function, 'name', None) or ''}{getattr(function, 'arguments', None) or ''}"
            texts["tool_call"] = texts.get("tool_call", "") + piece


def messages_in(body: Mapping[str, Any]) -> str | None:
    """The conversation, or the prompt, of a request as the conventions write it; None if there is none."""
    messages = body.get("messages")
    if isinstance(messages, list):
        return _json(
            {"role": message.get("role"), "parts": [{"type": "text", "content": message.get("content")}]}
            for message in messages
            if isinstance(message, dict)
        )
    prompt = body.get("prompt", body.get("input"))
    if prompt is None:
        return None
    return _json([{"role": "user", "parts": [{"type": "text", "content": prompt}]}])


def _details(usage: object, *sides: str) -> object:
    found = (getattr(usage, f"{side}_tokens_details", None) for side in sides)
    return next((details for details in found if details is not None), None)


def _first_number(source: object, *names: str) -> int | None:
    found = (getattr(source, name, None) for name in names)
    return next((number for number in found if isinstance(number, int)), None)


def _json(messages: Iterable[object]) -> str:
    return orjson.dumps(list(messages), default=str).decode()
