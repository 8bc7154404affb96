"""Connections, blocking and on an event loop, and the pools that keep them for another request.

Both kinds have the same `async` face, so that all that is done with a connection is written once. The
blocking kind never suspends: `run` drives a coroutine over it to its end in one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ._httpx import httpx

T = TypeVar("T")

READ_SIZE = 1 << 16
"""How much to read at most at once. More is slower: the C library returns larger blocks to the kernel."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose every `await` blocks instead of suspending."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a coroutine over blocking connections was suspended")


class _Socket(socket.socket):
    """One that may be dropped: a garbage collection might come to it before it comes to its pool."""

    def __del__(self) -> None:
        self.close()


class Connection(ABC):
    """A TCP connection to one server. What goes wrong with it is an `OSError`, late is a `TimeoutError`."""

    def __init__(self, sock: socket.socket, origin: bytes) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.origin = origin
        self.idle_since = 0.0
        self._sock = sock
        self._pid = os.getpid()

    @abstractmethod
    async def send(self, data: bytes, timeout: float | None) -> None:
        """Send all of `data`; the timeout is for each step forward, as in httpx."""

    @abstractmethod
    async def receive(self, timeout: float | None) -> bytes:
        """Return what has arrived; `b""` is the end of the connection."""

    def is_stale(self) -> bool:
        """Whether an idle connection has ended, or has received bytes that nobody asked for."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """End the connection at once, which tells vLLM to abort what it does for it."""
        # A close alone would end nothing while another thread waits on the socket or a forked child holds
        # it. The child, though, must leave the parent's connection alone.
        if self._pid == os.getpid():
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class BlockingConnection(Connection):
    """A connection whose coroutines block and never suspend."""

    _timeout: float | None = -1

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Connection`."""
        self._set_timeout(timeout)
        view = memoryview(data)
        while view:
            view = view[self._sock.send(view) :]

    async def receive(self, timeout: float | None) -> bytes:
        """See `Connection`."""
        self._set_timeout(timeout)
        return self._sock.recv(READ_SIZE)

    def is_stale(self) -> bool:
        """See `Connection`."""
        self._set_timeout(0)
        return super().is_stale()

    def _set_timeout(self, timeout: float | None) -> None:
        if timeout != self._timeout:  # each change is a system call
            self._sock.settimeout(timeout)
            self._timeout = timeout


class LoopConnection(Connection):
    """A connection on an asyncio event loop.

    The loop watches the socket from the first `receive` until data arrives that nobody waits for. So a
    stream costs one future per `recv` and no change to the watch list, and a reader that falls behind leaves
    the data in the kernel, where it slows the server down.
    """

    def __init__(self, sock: socket.socket, origin: bytes) -> None:
        super().__init__(sock, origin)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bytes] | None = None
        self._watched = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Connection`."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._unwatch()  # or what arrives would end the wait for room to send
                self._loop.add_writer(self._sock, self._on_writable)
                try:
                    await self._wait(timeout)
                finally:
                    self._loop.remove_writer(self._sock)

    async def receive(self, timeout: float | None) -> bytes:
        """See `Connection`."""
        if not self._watched:
            self._loop.add_reader(self._sock, self._on_readable)
            self._watched = True
        return await self._wait(timeout)

    async def _wait(self, timeout: float | None) -> bytes:
        self._waiter = waiter = self._loop.create_future()
        # A timer for every wait would cost more than the wait, so one timer follows the deadline as it moves.
        self._deadline = math.inf if timeout is None else self._loop.time() + timeout
        if self._deadline < (self._timer.when() if self._timer else math.inf):
            self._set_timer()
        try:
            data: bytes = await waiter
            return data
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._deadline <= self._loop.time():
            self._waiter.set_exception(TimeoutError())
        elif self._deadline < math.inf:
            self._set_timer()

    def _on_readable(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._unwatch()
            return
        try:
            self._waiter.set_result(self._sock.recv(READ_SIZE))
        except BlockingIOError:
            pass
        except OSError as exc:
            self._waiter.set_exception(exc)

    def _on_writable(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(b"")

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock)

    def close(self) -> None:
        """End the connection at once, from whatever thread, whether or not the loop still lives."""
        if self._pid != os.getpid() or self._loop.is_closed():
            super().close()
        else:
            _call_in(self._loop, self._close)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionAbortedError("closed by another task"))
        self._unwatch()
        super().close()


class Pool(ABC):
    """The connections of one process, or of one event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        idle, expiry = limits.max_keepalive_connections, limits.keepalive_expiry
        self._is_limited = limits.max_connections is not None
        self._max_idle = math.inf if idle is None else idle
        self._expiry = math.inf if expiry is None else expiry
        self._idle: list[Connection] = []  # by when they were last used
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
                return connection
            connection.close()

    @abstractmethod
    async def connect(self, url: httpx.URL, timeout: float | None) -> Connection:
        """Open a new connection."""

    def release(self, connection: Connection) -> None:
        """Keep a connection for another request."""
        connection.idle_since = now = time.monotonic()
        surplus = []
        with self._lock:
            idle = self._idle
            idle.append(connection)
            while idle and (len(idle) > self._max_idle or idle[0].idle_since + self._expiry < now):
                surplus.append(idle.pop(0))
        for connection in surplus:
            connection.close()
        self._leave()

    def abandon(self, connection: Connection | None) -> None:
        """Close a connection, if there ever was one."""
        if connection is not None:
            connection.close()
        self._leave()

    def close(self) -> None:
        """Close what is idle, and what is in use once it is released."""
        self._max_idle = 0
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        self.close()  # the caller never saw these connections: nothing to warn of

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

    async def connect(self, url: httpx.URL, timeout: float | None) -> Connection:
        """See `Pool`."""
        made = socket.create_connection(_address(url), timeout)
        sock = _Socket(made.family, made.type, made.proto, made.detach())
        return BlockingConnection(sock, url.netloc)


class LoopPool(Pool):
    """The connections of one asyncio event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        super().__init__(limits)
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(limits.max_connections or 0)

    async def _enter(self, timeout: float | None) -> None:
        if self._places.locked():
            await asyncio.wait_for(self._places.acquire(), timeout)
        else:
            await self._places.acquire()

    def _leave(self) -> None:
        _call_in(self._loop, self._places.release)

    async def connect(self, url: httpx.URL, timeout: float | None) -> Connection:
        """See `Pool`."""
        return LoopConnection(await asyncio.wait_for(_open_socket(*_address(url)), timeout), url.netloc)


def _address(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode(), url.port or 80


async def _open_socket(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:  # an IP address needs no resolver, and so none of its threads
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    error = OSError(f"{host} has no address")
    for family, kind, proto, _, address in addresses:
        sock = _Socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except BaseException as exc:
            sock.close()
            if not isinstance(exc, OSError):
                raise
            error = exc
        else:
            return sock
    raise error


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return this thread's asyncio loop; None where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function that must not run beside the loop: at once, unless another thread runs the loop."""
    if loop.is_running() and loop is not running_loop():
        loop.call_soon_threadsafe(function)
    else:
        function()
