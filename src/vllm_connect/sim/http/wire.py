"""The socket under a request, for faults that HTTP has no words for.

An ASGI application does not see its connection. The protocol that uvicorn makes for each connection
does, so a subclass of it hands its transport on to the application, in the scope's extensions.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import ASGIApp, Receive, Scope, Send

_EXTENSION = "vllm_connect.sim"


class Connection:
    """One TCP connection from a client.

    Attributes:
        ended: whether this side ended it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.ended = False
        self._used = False

    def carries(self) -> bool:
        """Note that it carries one more request; tell whether it has carried any before."""
        used, self._used = self._used, True
        return used

    def close(self) -> None:
        """Send what is waiting and then FIN; an answer in progress stays without its end."""
        self.ended = True
        self._transport.close()

    def abort(self) -> None:
        """End it at once; what is waiting to be sent is lost."""
        self.ended = True
        self._transport.abort()

    def reset(self) -> None:
        """Send RST: whatever the client has not read yet is lost."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; `None` under a server that is not ours."""
    found = (scope.get("extensions") or {}).get(_EXTENSION)
    return found if isinstance(found, Connection) else None


def with_connection(protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """Make one of uvicorn's HTTP protocols tell the application its connection."""

    class WithConnection(protocol):  # type: ignore[valid-type, misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.connection, app = Connection(transport), self.app

            async def with_extension(scope: Scope, receive: Receive, send: Send) -> None:
                scope.setdefault("extensions", {})[_EXTENSION] = self.connection
                await app(scope, receive, send)

            self.app: ASGIApp = with_extension

    return WithConnection
