"""Transports that several http clients share: each closes its own part, the last one the connections."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakSet

from ._httpx import httpx
from .clients import AsyncTransport, Ours, Transport

TransportT = TypeVar("TransportT", Transport, AsyncTransport)


class Shared(Generic[TransportT]):
    """A transport, and whose it is.

    Attributes:
        is_closed: whether the last of them has closed it.
    """

    def __init__(self, transport: TransportT) -> None:
        self.transport: TransportT = transport
        self.is_closed = False
        self._parts: WeakSet[Part | AsyncPart] = WeakSet()

    def join(self, part: Part | AsyncPart) -> None:
        """Count a part in."""
        self._parts.add(part)

    def leave(self, part: Part | AsyncPart) -> bool:
        """Count a part out; returns whether it was the last."""
        self._parts.discard(part)
        if self._parts or self.is_closed:
            return False
        self.is_closed = True
        return True


class Part(Ours, httpx.BaseTransport):
    """One client's part in a sync transport."""

    def __init__(self, shared: Shared[Transport]) -> None:
        self._shared = shared
        self.handle_request = shared.transport.handle_request  # type: ignore[method-assign]  # no call more
        shared.join(self)

    def close(self) -> None:
        """Close the connections, if nobody else has them."""
        if self._shared.leave(self):
            self._shared.transport.close()


class AsyncPart(Ours, httpx.AsyncBaseTransport):
    """One client's part in an async transport."""

    def __init__(self, shared: Shared[AsyncTransport]) -> None:
        self._shared = shared
        self.handle_async_request = shared.transport.handle_async_request  # type: ignore[method-assign]
        shared.join(self)

    async def aclose(self) -> None:
        """Close the connections, if nobody else has them."""
        if self._shared.leave(self):
            await self._shared.transport.aclose()
