"""Opening a socket to a server that may have several addresses: happy eyeballs (RFC 8305).

An address that swallows packets must not use up the time in which another one would have answered. So the
addresses are tried in turn, each a moment after the one before or at once when that has failed, and the first
that answers is taken. Written once, as a coroutine; what has to wait is given to it.
"""

from __future__ import annotations

import asyncio
import errno
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

_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR, errno.EALREADY})


class Socket(socket.socket):
    """One that may be dropped: a garbage collection might come to it before it comes to its pool."""

    def __del__(self) -> None:
        self.close()


class Address(NamedTuple):
    """Where a socket can connect to."""

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


async def _connect_first(addresses: list[Address], deadline: float, wait: Wait) -> Socket:
    next_attempt = time.monotonic()
    stagger = min(STAGGER, max(deadline - next_attempt, 0.0) / len(addresses))
    pending: dict[Socket, Address] = {}
    failures: list[tuple[Address, int]] = []
    winner: Socket | None = None
    try:
        while winner is None:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            if addresses and now >= next_attempt:
                address = addresses.pop(0)
                sock = Socket(address.family, socket.SOCK_STREAM)
                pending[sock] = address
                sock.setblocking(False)
                code = sock.connect_ex(address.sockaddr)
                ended = {sock: code} if code not in _UNDER_WAY else {}
                next_attempt = now + stagger
            elif pending:
                until = min(deadline, next_attempt) if addresses else deadline
                ready = await wait(list(pending), until - now)
                ended = {sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for sock in ready}
            for sock, code in ended.items():
                address = pending.pop(sock)
                if code == 0 and winner is None:
                    winner = sock
                    continue
                sock.close()
                if code:
                    failures.append((address, code))
                    next_attempt = now
            if not pending and not addresses and winner is None:
                raise _failure(failures)
        return winner
    finally:
        for sock in pending:
            sock.close()


def _in_turn(addresses: list[Address]) -> list[Address]:
    """Alternate between the families, beginning with that of the first address (RFC 8305, section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    return [address for pair in zip_longest(first, other) for address in pair if address is not None]


def _failure(failures: list[tuple[Address, int]]) -> OSError:
    if len(failures) == 1:
        return OSError(failures[0][1], os.strerror(failures[0][1]))
    reasons = (f"{address.sockaddr[0]}: {os.strerror(code)}" for address, code in failures)
    return OSError(failures[0][1], "; ".join(reasons))


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
