"""Counting tokens without ever failing.

Strict chat templates (Mistral's, Gemma's, Qwen 3.5's) refuse what a framework asks about: a lone system
message, half a conversation that begins with the assistant. `/tokenize` then answers 400, as a chat would.
What is trimmed or packed has to be counted all the same, so the next attempt counts the plain text, and where
no server counts at all, the last resort is an estimate.

    for params, extra in attempts(wanted):
        try:
            return client.tokenize(**params).count + extra
        except VLLMError as error:
            if not may_count_otherwise(error): break
    return estimate(wanted)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from ..errors import APIStatusError, VLLMError

#: Tokens that a chat template spends on a message beside its text: role, begin and end, line breaks.
MESSAGE_TOKENS = 8
_BYTES_PER_TOKEN = 3  # English has 4 to 5, most other scripts 2 to 4


def attempts(params: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Ways to count the tokens of a prompt, the most exact first.

    Args:
        params: Of `tokenize`: `prompt`, or `messages` and perhaps `tools`.

    Yields:
        Parameters of `tokenize`, and how many tokens to add to its count.
    """
    yield dict(params), 0
    if (messages := params.get("messages")) is not None:
        text, extra = _plain_text(params), MESSAGE_TOKENS * len(messages)
        if text:
            yield {"model": params.get("model"), "prompt": text, "add_special_tokens": False}, extra


def may_count_otherwise(error: VLLMError) -> bool:
    """Tell whether a server that could not count a prompt may count it in another way."""
    return isinstance(error, APIStatusError) and error.status_code not in (401, 403, 404, 405, 501)


def estimate(params: Mapping[str, Any], tokens_per_byte: float = 1 / _BYTES_PER_TOKEN) -> int:
    """Estimate the tokens of a prompt without a server, rather too many than too few.

    Args:
        params: Of `tokenize`, as above.
        tokens_per_byte: See `estimate_text`.
    """
    messages = params.get("messages") or ()
    return estimate_text(_plain_text(params), tokens_per_byte) + MESSAGE_TOKENS * len(messages)


def prompt_bytes(params: Mapping[str, Any]) -> int:
    """The size of all words of a prompt in UTF-8, for learning `tokens_per_byte`."""
    return len(_plain_text(params).encode("utf-8", "replace"))


def estimate_text(text: str, tokens_per_byte: float = 1 / _BYTES_PER_TOKEN) -> int:
    """Estimate the tokens of a text.

    Args:
        text: The text.
        tokens_per_byte: Of UTF-8; what was seen of the tokenizer, or a guess for all.
    """
    return int(len(text.encode("utf-8", "replace")) * tokens_per_byte) + bool(text)


def _plain_text(params: Mapping[str, Any]) -> str:
    """All words that a chat template would show."""
    prompt = params.get("prompt")
    words = [prompt] if isinstance(prompt, str) else []
    for message in params.get("messages") or ():
        words += _words(message.get("content"))
        words += [text for name in ("reasoning", "reasoning_content", "name") if (text := message.get(name))]
        words += [_dumped(call.get("function")) for call in message.get("tool_calls") or ()]
    words += [_dumped(tool) for tool in params.get("tools") or ()]
    return "\n".join(words)


def _words(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, Iterable) else ()
    return [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]


def _dumped(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
