"""One connection to a server, blocking or on an event loop.

Both kinds have the same `async` face, so that all that is done with a connection is written once; the
blocking kind never suspends, see `run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from .loops import call_in

READ_SIZE = 1 << 16
"""How much to read at most at once. More is slower: the C library returns larger blocks to the kernel."""

Sink = Callable[[bytes], bool]
"""Takes bytes as they arrive, `b""` for the end, and tells whether it takes more."""


class Connection(ABC):
    """A connection to one server. What goes wrong with it is an `OSError`, late is a `TimeoutError`."""

    def __init__(self, sock: socket.socket, origin: bytes) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.origin = origin
        self.idle_since = 0.0
        self.ended = ""
        """Why it was closed; empty while it is open."""
        self._sock = sock
        self._pid = os.getpid()

    @abstractmethod
    async def send(self, data: bytes, timeout: float | None) -> None:
        """Send all of `data`; the timeout is for each step forward, as in httpx."""

    @abstractmethod
    async def receive(self, timeout: float | None) -> bytes:
        """Return what has arrived; `b""` is the end of the connection."""

    @abstractmethod
    def close(self, reason: str = "closed by another thread or task") -> None:
        """End the connection at once, which tells vLLM to abort what it does for it.

        Args:
            reason: told to whoever sends or receives on it, now or later.
        """

    def is_stale(self) -> bool:
        """Tell whether an idle connection has ended, or has received bytes that nobody asked for."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _shut_down(self) -> None:
        # A close alone would end nothing while another thread waits on the socket or a forked child holds
        # it. The child, though, must leave the parent's connection alone.
        if self._pid == os.getpid():
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class BlockingConnection(Connection):
    """A connection whose coroutines block and never suspend.

    A thread may close it while another one waits on it. That one is woken by the shutdown and closes the
    socket itself: a descriptor that is closed under it might by then be another connection's.
    """

    def __init__(self, sock: socket.socket, origin: bytes) -> None:
        super().__init__(sock, origin)
        self._timeout: float | None = -1
        self._in_use = threading.Lock()  # held by the thread that is at the socket
        self._ending = threading.RLock()  # held by who ends it, for the moment that takes

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Connection`."""
        view = memoryview(data)
        try:
            with self._in_use:
                while view and not self.ended:
                    self._set_timeout(timeout)
                    view = view[self._sock.send(view) :]
        except OSError:
            if not self.ended:
                raise
        if self.ended:
            self._leave()

    async def receive(self, timeout: float | None) -> bytes:
        """See `Connection`."""
        data = b""
        try:
            with self._in_use:
                if not self.ended:
                    self._set_timeout(timeout)
                    data = self._sock.recv(READ_SIZE)
        except OSError:
            if not self.ended:
                raise
        if self.ended:
            self._leave()
        return data

    def is_stale(self) -> bool:
        """See `Connection`."""
        self._set_timeout(0)
        return super().is_stale()

    def close(self, reason: str = "closed by another thread") -> None:
        """See `Connection`."""
        with self._ending:
            self.ended = self.ended or reason
            self._shut_down()
            if self._in_use.acquire(blocking=False):
                self._sock.close()
                self._in_use.release()

    def _leave(self) -> None:
        self.close()
        raise ConnectionAbortedError(self.ended)

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
        self._sink: Sink | None = None
        self._sinks_timeout: float | None = None
        self._watched = False
        # uvloop, which watches with libuv, tells a reset but once: if there was still data to read, never
        # again. So there it is asked for with the data.
        self._must_ask = not isinstance(self._loop, asyncio.BaseEventLoop)
        self._broken = 0  # the number of the error that is to be told when the data was taken
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    async def send(self, data: bytes, timeout: float | None) -> None:
        """See `Connection`."""
        view = memoryview(data)
        while view:
            if self.ended:
                raise ConnectionAbortedError(self.ended)
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
        if self.ended:
            raise ConnectionAbortedError(self.ended)
        if self._broken:
            raise OSError(self._broken, os.strerror(self._broken))
        if not self._watched:
            self._loop.add_reader(self._sock, self._on_readable)
            self._watched = True
        return await self._wait(timeout)

    async def pipe(self, sink: Sink, timeout: float | None) -> None:
        """Give what arrives to a sink until that takes no more.

        It is called where the loop sees the bytes: the task that waits here has no turn for each of them,
        which costs several times what most sinks do.

        Args:
            sink: must not block; what it raises is raised here.
            timeout: seconds for each next bytes to arrive; None for no bound.
        """
        self._sink, self._sinks_timeout = sink, timeout
        try:
            await self.receive(timeout)
        finally:
            self._sink = None

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
            data = self._sock.recv(READ_SIZE)
            if self._must_ask:
                self._broken = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if self._sink is None or not self._sink(data):
                self._waiter.set_result(data)
            elif self._broken:
                self._waiter.set_exception(OSError(self._broken, os.strerror(self._broken)))
            elif self._sinks_timeout is not None:
                self._deadline = self._loop.time() + self._sinks_timeout  # the timer follows it
        except BlockingIOError:
            pass
        except Exception as exc:  # noqa: BLE001  # of the sink, or an OSError
            self._waiter.set_exception(exc)

    def _on_writable(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(b"")

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._sock)

    def close(self, reason: str = "closed by another task") -> None:
        """See `Connection`; from whatever thread, whether or not the loop still lives."""
        self.ended = self.ended or reason
        if self._pid != os.getpid() or self._loop.is_closed():
            self._shut_down()
            self._sock.close()
        else:
            call_in(self._loop, self._close)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionAbortedError(self.ended))
        self._unwatch()
        self._shut_down()
        self._sock.close()
