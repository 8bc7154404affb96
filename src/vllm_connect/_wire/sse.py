"""Server-sent events: bytes in, events out (WHATWG HTML, section 9.2).

vLLM sends `data: {json}` events without `event:` lines, except on /v1/responses and /v1/messages, ends
its lines with LF, and puts a comment in between when asked to keep connections alive. Routers and
proxies are free to do otherwise, and the network cuts anywhere: inside a character, between CR and LF.

The usual event costs one `split` and one comparison; everything else takes the long way. An event of
megabytes, which arrives in many pieces, is joined once: its time is linear in its size.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Event(NamedTuple):
    """One event: its `data` lines joined by LF, and its type if it named one."""

    data: bytes
    event: str | None = None


_make = tuple.__new__  # half the cost of calling the class

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_SHORT = 200  # bytes; chunks of vLLM are longer, heartbeats are not
_HEARTBEAT = re.compile(
    rb'\{\s*(?:"(?:type|event|object|status)"\s*:\s*"(?:ping|heartbeat|keep[-_ ]?alive)"[^{}]*)?\}',
    re.IGNORECASE,
)
_HEARTBEAT_NAMES = frozenset({"ping", "heartbeat", "keep-alive", "keep_alive", "keepalive"})


def looks_like_events(beginning: bytes, *, claimed: bool) -> bool | None:
    """Tell whether a body is a stream of events, by its first bytes; None while they do not show it.

    Args:
        beginning: the first bytes.
        claimed: whether its content type says so: then it may begin with a field that nobody knows.
    """
    beginning = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if beginning.startswith(_FIELDS):
        return True
    if claimed and beginning:
        return beginning[:1] not in b"{[<"
    could_be = not beginning or any(field.startswith(beginning) for field in _FIELDS)
    return None if could_be else False


def is_heartbeat(event: Event) -> bool:
    """Tell whether an event only keeps the connection alive: it is empty, or calls itself so."""
    data, name = event
    if len(data) > _SHORT:
        return False
    return not data.strip() or name in _HEARTBEAT_NAMES or _HEARTBEAT.fullmatch(data.strip()) is not None


class SSESplitter:
    """Splits a stream of bytes into events; give it what arrives, in pieces of any size."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # pieces of an event that is not complete yet; its line ends are LF
        self._after_cr = False  # the last byte was a CR: an LF now belongs to it
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes.

        Args:
            data: any number of bytes.

        Returns:
            The events that they complete, in order.
        """
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        elif not self._rest and self._started and data.startswith(b"data: ") and data.endswith(b"\n\n"):
            end = len(data) - 2
            if data.find(b"\n") == end:  # one whole event, as each read of a slow stream brings
                return [_make(Event, (data[6:end], None))]
        if not self._started:
            data = self._without_bom(data)
        rest = self._rest
        if rest:
            if b"\n\n" not in data and not (data[:1] == b"\n" and rest[-1].endswith(b"\n")):
                rest += [data] if data else []  # joined once, when the event is complete
                return []
            data = b"".join([*rest, data])
        blocks = data.split(b"\n\n")
        last = blocks.pop()
        self._rest = [last] if last else []
        if not blocks:
            return []
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(_make(Event, (block[6:], None)))
            elif (event := _parse(block)) is not None:
                events.append(event)
        return events

    def finish(self) -> Event | None:
        """Take the end of the stream.

        Returns:
            What was left without its closing blank line, if it holds data. A browser discards it;
            a client that must not lose anything has to look at it.
        """
        rest, self._rest = b"".join(self._rest), []
        return _parse(rest)

    def _with_lf(self, data: bytes) -> bytes:
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_bom(self, data: bytes) -> bytes:
        data, self._rest = b"".join([*self._rest, data]), []
        if len(data) < 3 and b"\xef\xbb\xbf".startswith(data):
            self._rest = [data]
            return b""
        self._started = True
        return data.removeprefix(b"\xef\xbb\xbf")


def _parse(block: bytes) -> Event | None:
    """Read the lines of one event; None when it holds no data (a comment, a retry, a bare id)."""
    lines: list[bytes] = []
    name: str | None = None
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace") or None
    return Event(b"\n".join(lines), name) if lines else None
