"""Bounds on what a slow or hostile client may take: time for a head, and room for it; time to read.

uvicorn limits neither. These limits cost nothing per part of a stream: timers are set when a client has
fallen behind, and by nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .exchange import WRITER
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
            extensions: dict[str, Any] = {WRITER: _ChunkWriter(self.cycle)}
            self.scope["extensions"] = extensions

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

        def _set_head_timer(self) -> None:
            self._head_timer = self.loop.call_later(settings.head_seconds, self.transport.close)

    return Connection
