"""Connections: what a slow or hostile client may take of them, and what uvicorn leaves of HTTP to others.

Time for a head, and room for it; time to read: uvicorn limits neither. These limits cost nothing per part
of a stream: timers are set when a client has fallen behind, and by nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .exchange import WRITER, Message
from .settings import Settings

HEAD_BYTES = 64 * 1024


class _ChunkWriter:
    """Writes parts of a body as chunks, as the cycle does when its `send` is awaited."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def write(self, data: bytes) -> bool:
        cycle = self._cycle
        if not cycle.disconnected:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not cycle.flow.write_paused

    async def drain(self) -> None:
        await self._cycle.flow.drain()


class _PlainWriter(_ChunkWriter):
    """Writes parts of a body as they are, for a client that knows no chunks."""

    def write(self, data: bytes) -> bool:
        cycle = self._cycle
        if not cycle.disconnected:
            cycle.transport.write(data)
        return not cycle.flow.write_paused


class _PlainSend:
    """Sends what has no length without chunks: the end of the connection, which uvicorn closes, ends it.

    HTTP/1.0 has no chunks, and a server must not send them to it (RFC 9112, section 6.1). uvicorn does.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._has_length = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_length = any(name == b"content-length" for name, _ in message["headers"])
            if not self._has_length:
                self._cycle.chunked_encoding = False
        elif not self._has_length:
            self._cycle.expected_content_length = len(message.get("body", b""))  # uvicorn compares
        await self._send(message)  # type: ignore[arg-type]  # uvicorn has types of its own for ASGI's messages


def limited(settings: Settings) -> type[HttpToolsProtocol]:
    """Make uvicorn's protocol with a gateway's limits."""

    class Connection(HttpToolsProtocol):
        _head_timer: asyncio.TimerHandle | None = None
        _stall_timer: asyncio.TimerHandle | None = None
        _bare_bytes = 0  # received since the last of a body

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
            super().connection_made(transport)
            if len(self.connections) > settings.max_connections:
                transport.abort()
            else:
                self._set_head_timer()

        def on_headers_complete(self) -> None:
            super().on_headers_complete()  # the application's task begins after this turn
            if self.scope["http_version"] == "1.0":
                self.cycle.send = _PlainSend(self.cycle)  # type: ignore[assignment,method-assign]  # of this one
                writer: _ChunkWriter = _PlainWriter(self.cycle)
            else:
                writer = _ChunkWriter(self.cycle)
            extensions: dict[str, Any] = {WRITER: writer}
            self.scope["extensions"] = extensions
            if not self.url.startswith(b"/"):
                self._take_host_of_target()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            self._bare_bytes = 0

        def data_received(self, data: bytes) -> None:
            self._bare_bytes += len(data)
            super().data_received(data)
            is_head = self.scope is None or "method" not in self.scope
            if is_head or self.cycle is None or self.cycle.response_complete:
                # A head that is not complete, or a body that nobody waits for any more.
                if is_head and self._bare_bytes > HEAD_BYTES:
                    self.transport.abort()
                elif self._head_timer is None:
                    self._set_head_timer()
                return
            if not self.cycle.more_body:
                self._bare_bytes = 0
            elif self._bare_bytes > 2 * HEAD_BYTES:  # trailers, or what else is in chunks but the body
                self.transport.abort()
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._stall_timer is None:
                self._stall_timer = self.loop.call_later(settings.stall_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stall_timer is not None:
                self._stall_timer.cancel()
                self._stall_timer = None

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for timer in (self._head_timer, self._stall_timer, self.timeout_keep_alive_task):
                if timer is not None:
                    timer.cancel()

        def _take_host_of_target(self) -> None:
            """Let an absolute target's host stand for Host, which says nothing then (RFC 9112, 3.2.2)."""
            target = httptools.parse_url(self.url)
            host: bytes = target.host or b""
            authority = b"[%b]" % host if b":" in host else host
            if target.port:
                authority += b":%d" % target.port
            others = [header for header in self.headers if header[0] != b"host"]
            self.headers[:] = [(b"host", authority), *others]

        def _set_head_timer(self) -> None:
            self._head_timer = self.loop.call_later(settings.head_seconds, self.transport.close)

    return Connection
