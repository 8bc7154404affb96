"""Replies that say the right thing in the wrong form, put right before they become typed objects.

Old servers, gateways and proxies send null or nothing for what is a number or a text, a list of parts for a
text, an object for JSON text. What can only mean one thing is read as that.
"""

from __future__ import annotations

import orjson

from .decoding import JsonObject

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def repair(payload: JsonObject, *, is_chunk: bool = False) -> None:
    """Put a reply right, in place.

    Args:
        payload: the reply.
        is_chunk: whether it is a chunk of a streamed chat, which has deltas.
    """
    if "usage" in payload:
        payload["usage"] = _usage(payload["usage"])
    choices = payload.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            if is_chunk and choice.get("delta") is None and isinstance(choice.get("message"), dict):
                choice["delta"] = choice.pop("message")  # gateways that stream a whole answer as one chunk
            _repair_choice(choice)


def _repair_choice(choice: JsonObject) -> None:
    if "delta" in choice and choice["delta"] is None:  # some gateways' last chunk
        choice["delta"] = {}
    for name in ("message", "delta"):
        message = choice.get(name)
        if isinstance(message, dict):
            _repair_message(message)
    if not isinstance(choice.get("finish_reason", ""), (str, type(None))):
        choice["finish_reason"] = str(choice["finish_reason"])


def _repair_message(message: JsonObject) -> None:
    for name in ("content", "reasoning", "refusal"):
        if name in message:
            message[name] = text_of(message[name])
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), dict):
            function["arguments"] = orjson.dumps(function["arguments"]).decode()


def text_of(value: object) -> str | None:
    """A text, or one made of a list of parts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "".join(text for text in texts if isinstance(text, str))
    return str(value)


def _usage(usage: object) -> JsonObject | None:
    """Token counts without those that are none; None if nothing was counted."""
    if not isinstance(usage, dict):
        return None
    counts = {name: usage[name] if _is_count(usage.get(name)) else 0 for name in _COUNTS}
    details = {
        name: {key: count for key, count in value.items() if _is_count(count)}
        for name, value in usage.items()
        if name.endswith("_details") and isinstance(value, dict)
    }
    others = {name: usage[name] for name in usage if name not in _COUNTS and not name.endswith("_details")}
    return {**others, **counts, **details}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
