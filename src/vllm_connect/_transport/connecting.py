"""Opening a socket to a server, which may have several addresses: happy eyeballs (RFC 8305).

An address that swallows packets must not use up the time in which another one would have answered. So the
addresses are tried in turn, each a moment after the one before or at once when that has failed, and the first
that answers is taken. Written once, as a coroutine; what has to wait is given to it.
"""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

STAGGER = 0.25
"""Seconds from one attempt to the next, unless it fails sooner (RFC 8305, section 8)."""

_BUSY_PAUSE = 0.01


class Socket(socket.socket):
    """One that may be dropped: a garbage collection might come to it before it comes to its pool."""

    def __del__(self) -> None:
        self.close()


class Address(NamedTuple):
    """An address that a socket can connect to."""

    family: int
    sockaddr: Any


Wait = Callable[[Sequence[Socket], float], Awaitable[Sequence[Socket]]]
"""Waits until some of the sockets are writable, at most so many seconds, and returns those."""

Resolve = Callable[[str, int, float], Awaitable[Sequence[Any]]]
"""Asks a name server, at most so many seconds; returns what `socket.getaddrinfo` does."""


async def open_socket(host: str, port: int, timeout: float | None, resolve: Resolve, wait: Wait) -> Socket:
    """Connect to a server, by whichever of its addresses answers first.

    Args:
        host: a name, or an IP address.
        port: of the server.
        timeout: seconds for all of it, the name server included; None for no bound.
        resolve: looks a name up.
        wait: waits for connections that are under way.

    Returns:
        A socket that is connected, and non-blocking.

    Raises:
        TimeoutError: No address answered in time.
        OSError: There is no such host, or none of its addresses can be reached.
    """
    deadline = time.monotonic() + (math.inf if timeout is None else timeout)
    try:  # an IP address needs no name server, and so none of a loop's threads
        found: Sequence[Any] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        found = await resolve(host, port, deadline - time.monotonic())
    addresses = _in_turn([Address(family, sockaddr) for family, _, _, _, sockaddr in found])
    if not addresses:
        raise OSError(f"{host} has no address")
    return await _connect_first(addresses, deadline, wait)


async def open_unix_socket(path: str, timeout: float | None, wait: Wait) -> Socket:
    """Connect to a server on this machine, see `open_socket`.

    Args:
        path: of its socket.
        timeout: seconds; None for no bound.
        wait: waits for connections that are under way.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets")
    deadline = time.monotonic() + (math.inf if timeout is None else timeout)
    try:
        return await _connect_first([Address(socket.AF_UNIX, path)], deadline, wait)
    except OSError as error:
        if isinstance(error, TimeoutError) or error.filename:
            raise
        raise type(error)(error.errno, error.strerror or str(error), path) from None


async def _connect_first(addresses: list[Address], deadline: float, wait: Wait) -> Socket:
    race = _Race(addresses, deadline)
    try:
        while (winner := race.winner) is None:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            if now >= race.next_attempt:
                race.attempt(now)
                continue
            for sock in await wait(list(race.pending), min(deadline, race.next_attempt) - now):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                race.end(sock, OSError(code, os.strerror(code)) if code else None)
        return winner
    finally:
        race.close()


class _Race:
    """Attempts to connect, of which the first that succeeds wins."""

    def __init__(self, addresses: list[Address], deadline: float) -> None:
        self.winner: Socket | None = None
        self.pending: dict[Socket, Address] = {}
        self.next_attempt = time.monotonic()
        self._addresses = addresses
        self._stagger = min(STAGGER, max(deadline - self.next_attempt, 0.0) / len(addresses))
        self._failures: list[tuple[Address, OSError]] = []

    def attempt(self, now: float) -> None:
        """Begin to connect to the next address."""
        address = self._addresses.pop(0)
        self.next_attempt = now + self._stagger if self._addresses else math.inf
        sock = Socket(address.family, socket.SOCK_STREAM)
        self.pending[sock] = address
        sock.setblocking(False)
        try:
            sock.connect(address.sockaddr)
        except BlockingIOError:  # it is under way
            if address.family not in (socket.AF_INET, socket.AF_INET6):
                # Not with a Unix socket: the server's queue is full.
                self._addresses.append(self.pending.pop(sock))
                self.next_attempt = now + _BUSY_PAUSE
                sock.close()
        except OSError as error:
            self.end(sock, error)
        else:
            self.end(sock, None)

    def end(self, sock: Socket, error: OSError | None) -> None:
        """Take how an attempt ended; if it was the last one, and failed as all others did, raise that."""
        address = self.pending.pop(sock)
        if error is None and self.winner is None:
            self.winner = sock
            return
        sock.close()
        if error is not None:
            self._failures.append((address, error))
            if self._addresses:
                self.next_attempt = 0.0
            elif not self.pending and self.winner is None:
                raise self._failure()

    def close(self) -> None:
        """Give up what is still under way."""
        while self.pending:
            self.pending.popitem()[0].close()

    def _failure(self) -> OSError:
        errors = [error for _, error in self._failures]
        if len(errors) == 1:
            return errors[0]
        reasons = (f"{address.sockaddr[0]}: {error.strerror or error}" for address, error in self._failures)
        return OSError(errors[0].errno, "; ".join(reasons))


def _in_turn(addresses: list[Address]) -> list[Address]:
    """Alternate between the families, beginning with that of the first address (RFC 8305, section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    return [address for pair in zip_longest(first, other) for address in pair if address is not None]


_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


async def wait_blocking(sockets: Sequence[Socket], seconds: float) -> Sequence[Socket]:
    """Wait for sockets to become writable, see `Wait`; never suspends."""
    with _Selector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_WRITE)
        events = selector.select(None if seconds == math.inf else seconds)
        return [sock for sock in sockets if any(sock is key.fileobj for key, _ in events)]


async def resolve_blocking(host: str, port: int, seconds: float) -> Sequence[Any]:
    """Look a name up, see `Resolve`; never suspends, and is as slow as the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def wait_in_loop(sockets: Sequence[Socket], seconds: float) -> Sequence[Socket]:
    """Wait for sockets to become writable, see `Wait`, on the running asyncio loop."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    ready: list[Socket] = []

    def on_writable(sock: Socket) -> None:
        ready.append(sock)
        wake()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    timer = loop.call_later(seconds, wake) if seconds < math.inf else None
    for sock in sockets:
        loop.add_writer(sock, on_writable, sock)
    try:
        await woken  # a bare future: a cancellation in the turn that wakes it is not lost, on any Python
    finally:
        for sock in sockets:
            loop.remove_writer(sock)
        if timer is not None:
            timer.cancel()
    return ready


async def resolve_in_loop(host: str, port: int, seconds: float) -> Sequence[Any]:
    """Look a name up, see `Resolve`, in a thread of the running asyncio loop."""
    loop = asyncio.get_running_loop()
    lookup = asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    try:  # not `wait_for`, which up to Python 3.11 forgets a cancellation that comes with the result
        await asyncio.wait([lookup], timeout=None if seconds == math.inf else seconds)
        if lookup.done():
            return lookup.result()
    finally:
        if not lookup.cancel() and not lookup.cancelled():
            lookup.exception()  # it was seen, or is of no interest any more
    raise TimeoutError
