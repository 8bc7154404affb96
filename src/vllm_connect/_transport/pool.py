"""Pools: who may use a connection, and which ones are kept for another request.

At most `max_connections` requests are under way in a pool. Each has a place in it, which it takes before it
connects and gives back when its connection is kept or closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque

from ._httpx import httpx
from .connecting import (
    Resolve,
    Socket,
    Wait,
    open_socket,
    open_unix_socket,
    resolve_blocking,
    resolve_in_loop,
    wait_blocking,
    wait_in_loop,
)
from .connections import BlockingConnection, Connection, LoopConnection
from .loops import call_in
from .unix import SCHEME, origin_and_target, socket_path

_CLOSED = "the client was closed"


class Pool(ABC):
    """The connections of one process, or of one event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        idle, expiry = limits.max_keepalive_connections, limits.keepalive_expiry
        self._is_limited = limits.max_connections is not None
        self._max_idle = math.inf if idle is None else idle
        self._expiry = math.inf if expiry is None else expiry
        self._idle: list[Connection] = []  # by when they were last used
        self._busy: set[Connection] = set()
        self._lock = threading.Lock()

    async def acquire(self, origin: bytes, timeout: float | None) -> Connection | None:
        """Wait for leave to use one more connection, and return an idle one if there is one.

        `release` or `abandon` gives the leave back.
        """
        if self._is_limited:
            await self._enter(timeout)
        now = time.monotonic()
        while True:
            with self._lock:
                at = len(self._idle) - 1
                while at >= 0 and self._idle[at].origin != origin:
                    at -= 1
                if at < 0:
                    return None
                connection = self._idle.pop(at)
            if now < connection.idle_since + self._expiry and not connection.is_stale():
                self._busy.add(connection)
                return connection
            connection.close()

    async def connect(self, url: httpx.URL, timeout: float | None) -> Connection:
        """Open a new connection."""
        connection = await self._open(url, timeout)
        self._busy.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Keep a connection for another request."""
        connection.idle_since = now = time.monotonic()
        self._busy.discard(connection)
        surplus = []
        with self._lock:
            idle = self._idle
            idle.append(connection)
            while idle and (len(idle) > self._max_idle or idle[0].idle_since + self._expiry < now):
                surplus.append(idle.pop(0))
        for connection in surplus:
            connection.close()
        self._leave()

    def drop(self, connection: Connection) -> None:
        """Close a connection in favour of a new one."""
        self._busy.discard(connection)
        connection.close()

    def abandon(self, connection: Connection | None) -> None:
        """Close a connection, if there ever was one."""
        if connection is not None:
            self.drop(connection)
        self._leave()

    def close(self) -> None:
        """Close all connections; whoever waits on one is told."""
        self._max_idle = 0
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in [*idle, *self._busy]:
            connection.close(_CLOSED)

    def __del__(self) -> None:
        self.close()  # the caller never saw these connections: nothing to warn of

    @abstractmethod
    async def _open(self, url: httpx.URL, timeout: float | None) -> Connection: ...

    @abstractmethod
    async def _enter(self, timeout: float | None) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...


class BlockingPool(Pool):
    """The connections of one process, for all of its threads."""

    def __init__(self, limits: httpx.Limits) -> None:
        super().__init__(limits)
        # Not a semaphore: a garbage collection may `_leave` at any moment, in the middle of a `_leave` too,
        # and only this kind of queue is safe then.
        self._places = queue.SimpleQueue[None]()
        for _ in range(limits.max_connections or 0):
            self._places.put(None)

    async def _enter(self, timeout: float | None) -> None:
        try:
            self._places.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def _leave(self) -> None:
        if self._is_limited:
            self._places.put(None)

    async def _open(self, url: httpx.URL, timeout: float | None) -> Connection:
        sock = await _open_socket(url, timeout, resolve_blocking, wait_blocking)
        return BlockingConnection(sock, origin_and_target(url)[0])


class LoopPool(Pool):
    """The connections of one asyncio event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        super().__init__(limits)
        self._loop = asyncio.get_running_loop()
        # Neither a semaphore nor `wait_for`: up to Python 3.11, both may lose a place or a cancellation
        # when they come in the same turn of the loop.
        self._places = limits.max_connections or 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def _enter(self, timeout: float | None) -> None:
        if self._places:
            self._places -= 1
            return
        place: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(place)
        timer = None if timeout is None else self._loop.call_later(timeout, _expire, place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._give()  # it came in the turn in which the task was cancelled
            else:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(place)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self) -> None:
        if self._is_limited:
            call_in(self._loop, self._give)

    def _give(self) -> None:
        while self._waiters:
            place = self._waiters.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._places += 1

    async def _open(self, url: httpx.URL, timeout: float | None) -> Connection:
        sock = await _open_socket(url, timeout, resolve_in_loop, wait_in_loop)
        return LoopConnection(sock, origin_and_target(url)[0])


def _expire(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_exception(TimeoutError())


async def _open_socket(url: httpx.URL, timeout: float | None, resolve: Resolve, wait: Wait) -> Socket:
    if url.scheme == SCHEME:
        return await open_unix_socket(socket_path(url), timeout, wait)
    return await open_socket(url.raw_host.decode(), url.port or 80, timeout, resolve, wait)
