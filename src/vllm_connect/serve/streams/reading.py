"""Notes on each event that passes through: whether it is an error, and whether it ends the stream.

The event itself is not changed: what the server sent is what the gateway's client gets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from ..._wire.objects import ErrorInReply, NotAReply
from ..._wire.payloads import find_error


class Choice(NamedTuple):
    """One choice of an event, as far as it tells the end."""

    index: int | None  # type: ignore[assignment]  # as events call it; nobody asks it for tuple.index
    finish_reason: object


class Noted(NamedTuple):
    """An event.

    Attributes:
        data: as it came.
        name: of the event, if it goes on with one.
        choices: of it.
        usage: tokens, if it counts them.
    """

    data: bytes
    name: bytes
    choices: tuple[Choice, ...]
    usage: object = None


_NONE: tuple[Choice, ...] = ()
_OPEN = (Choice(0, None),)
_ENDED = (Choice(0, "end"),)


def read_chunk(data: bytes) -> Noted:
    """Read a chunk of a chat or text completion.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is something else.
    """
    payload = _object(data)
    choices = payload.get("choices")
    if not isinstance(choices, list):
        raise NotAReply(f"no 'choices' in the event: {data[:200]!r}")
    try:
        if len(choices) == 1 and choices[0].get("finish_reason") is None and choices[0].get("index") == 0:
            return Noted(data, b"", _OPEN, payload.get("usage"))  # as nearly all are
        noted = tuple([Choice(choice.get("index"), choice.get("finish_reason")) for choice in choices])
    except AttributeError:
        raise NotAReply(f"a choice is no object: {data[:200]!r}") from None
    return Noted(data, b"", noted, payload.get("usage"))


def read_message_event(data: bytes) -> Noted:
    """Read an event of /v1/messages.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is something else.
    """
    payload = _object(data)
    name = payload.get("type")
    if not isinstance(name, str) or not name.isidentifier():
        raise NotAReply(f"no 'type' in the event: {data[:200]!r}")
    choices = _ENDED if name == "message_stop" else _OPEN if name == "message_start" else _NONE
    return Noted(data, name.encode(), choices, _usage_of(payload))


def _object(data: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NotAReply(f"not JSON: {data[:200]!r}") from None
    if not isinstance(payload, dict):
        raise NotAReply(f"no JSON object: {data[:200]!r}")
    if "choices" not in payload and (error := find_error(payload)) is not None:
        raise ErrorInReply(error)
    if payload.get("error"):
        found = find_error(payload)
        if found is not None:
            raise ErrorInReply(found)
    return payload


def _usage_of(payload: dict[str, Any]) -> object:
    message = payload.get("message")
    usage = payload.get("usage")
    return usage if usage or not isinstance(message, dict) else message.get("usage")
