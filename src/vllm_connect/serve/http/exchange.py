"""One request to the gateway, and its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import parse_qs

from .errors import Refusal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events
]


WRITER = "vllm_connect.writer"
"""The extension of a scope that is its `Writer`."""


class Writer(Protocol):
    """Writes parts of a body that has begun, without a turn of the event loop."""

    def write(self, data: bytes) -> bool:
        """Write a part that is not empty; tell whether the client keeps up."""

    async def drain(self) -> None:
        """Wait until the client has caught up."""


class ClientLeft(Exception):
    """The gateway's client closed its connection."""


class Exchange:
    """A request and its reply, with what is logged and counted of them.

    Attributes:
        scope: ASGI's.
        method: of the request.
        path: of the request.
        headers: by name in small letters; of several of one name the last.
        operation: the operation that the route is, ``""`` before that is known.
        model: the requested model.
        key_name: the key whose server answered.
        usage: tokens, as the server counted them.
        failure: the kind of error that the reply is, or ended in.
        message: what that error says.
        status: of the reply, 0 before it began.
        sent: bytes of the reply's body.
        began: when the request came.
        first: when the first part of the reply's body went out.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.operation = ""
        self.model: str | None = None
        self.key_name: str | None = None
        self.usage: object = None
        self.failure = ""
        self.message = ""
        self.status = 0
        self.bytes_sent = 0
        self.began = perf_counter()
        self.first = 0.0

    def header(self, name: bytes) -> str:
        """Return a header, ``""`` if it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def query(self, name: str) -> str:
        """Return a parameter of the query, ``""`` if it is not there."""
        query: bytes = self.scope["query_string"]
        return parse_qs(query.decode("latin-1")).get(name, [""])[-1]

    async def body(self, most: int, seconds: float) -> bytes:
        """Read the whole body.

        Args:
            most: bytes that it may have.
            seconds: for each next part of it to arrive.

        Raises:
            Refusal: it is too large, or too slow, or compressed: vLLM takes no compressed bodies, either, and
                a small one may stand for gigabytes.
            ClientLeft: it will never be complete.
        """
        encoding = self.header(b"content-encoding").strip().lower()
        if encoding not in ("", "identity"):
            message = f"the request's body must not be compressed: leave out Content-Encoding: {encoding}"
            accepted = ((b"accept-encoding", b"identity"),)
            raise Refusal(415, message, close=True, headers=accepted)
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            raise _too_large(most)
        received = await self._receive_within(seconds)
        parts: list[bytes] = []
        total = 0
        while True:
            if received["type"] == "http.disconnect":
                raise ClientLeft
            parts.append(part := received.get("body", b""))
            total += len(part)
            if total > most:
                raise _too_large(most)
            if not received.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)
            received = await self._receive_within(seconds)

    async def _receive_within(self, seconds: float) -> Message:
        """Receive the next part, nearly always there already: `wait_for` would take a task for it."""
        task = asyncio.current_task()
        assert task is not None
        is_late = False

        def end() -> None:
            nonlocal is_late
            is_late = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(seconds, end)
        try:
            return await self.receive()
        except asyncio.CancelledError:
            if not is_late:
                raise
            getattr(task, "uncancel", int)()  # Python 3.11's
            message = f"the request's body did not go on for {seconds:g} s"
            raise Refusal(408, message, close=True) from None
        finally:
            timer.cancel()

    async def reply(
        self, status: int, body: bytes, content_type: bytes = b"application/json", headers: Headers = ()
    ) -> None:
        """Send a whole reply."""
        self.status, self.bytes_sent = status, len(body)
        head = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        self.first = perf_counter()
        await self._send({"type": "http.response.body", "body": body})

    async def begin_events(self, headers: Headers = ()) -> None:
        """Begin a stream of events."""
        self.status = 200
        head = [*_EVENTS, *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    async def send_events(self, data: bytes) -> None:
        """Send whole events, encoded."""
        if not self.first:
            self.first = perf_counter()
        self.bytes_sent += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    @property
    def writer(self) -> Writer | None:
        """Sends whole events, encoded, after the first ones; None where the server has no such thing."""
        writer: Writer | None = self.scope.get("extensions", {}).get(WRITER)
        return None if writer is None else _CountingWriter(self, writer)

    async def end_events(self, data: bytes = b"") -> None:
        """End the stream, after these events."""
        self.bytes_sent += len(data)
        await self._send({"type": "http.response.body", "body": data})


class _CountingWriter:
    """A writer whose bytes are counted as those of an exchange."""

    def __init__(self, exchange: Exchange, writer: Writer) -> None:
        self._exchange = exchange
        self._write = writer.write
        self.drain = writer.drain

    def write(self, data: bytes) -> bool:
        self._exchange.bytes_sent += len(data)
        return self._write(data)


def _too_large(most: int) -> Refusal:
    message = f"the request's body is larger than {most} bytes, which is what --max-body allows"
    return Refusal(413, message, code="request_too_large", close=True)
