"""One request over a pool of connections, and the body of its response.

Written once, as coroutines: over a `BlockingPool` they never suspend, and `run` runs them.
"""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, TypeVar

from ._httpx import httpx
from .connections import Connection, LoopConnection, Sink
from .http11 import ResponseReader, encode_head
from .pool import BlockingPool, Pool
from .run import run
from .unix import SCHEME as UNIX
from .unix import origin_and_target

T = TypeVar("T")

DEATHS = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""How it shows that a connection has died."""

_SMALL = 1 << 16  # up to here, copying a body behind its head is cheaper than sending it by itself

_MAYBE_TLS = "(if it speaks TLS, as with vLLM's --ssl-certfile, its URL must begin with https://)"

_STEPS: dict[str, tuple[type[httpx.TransportError], type[httpx.TransportError]]] = {
    "pool": (httpx.PoolTimeout, httpx.ConnectError),
    "connect": (httpx.ConnectTimeout, httpx.ConnectError),
    "write": (httpx.WriteTimeout, httpx.WriteError),
    "read": (httpx.ReadTimeout, httpx.ReadError),
}


async def exchange(pool: Pool, request: httpx.Request) -> httpx.Response:
    """Send a request and read the head of its response.

    A server may close an idle connection just when a request is on its way to it. So if a connection that has
    served before dies without a byte of response, the request goes out once more, on a new one.

    The response has extensions of ours, `drain`, `end` and, on an event loop, `pipe`: see `Body.drain`,
    `Body.close` and `Body.pipe`.
    """
    url = request.url
    origin, target = (url.netloc, url.raw_path) if url.scheme != UNIX else origin_and_target(url)
    head, length = encode_head(request.method, target, request.headers.raw)
    connection = await _take(request, "pool", pool.acquire, origin)
    is_new = connection is None
    while True:
        reader = ResponseReader(request.method)
        try:
            if connection is None:
                connection = await _take(request, "connect", pool.connect, request.url)
            try:
                await _send(request, connection, head, length)
                is_refused = False
            except httpx.WriteError:
                is_refused = True  # before all of the request was read; there may yet be an answer
            start = b""
            while not reader.status:
                start = reader.feed(await _take(request, "read", connection.receive))
        except BaseException as exc:
            # Ended by the server, that is, not by who uses the connection.
            is_dead = isinstance(exc, DEATHS) and connection is not None and not connection.ended
            is_silent = is_dead and not reader.started
            if connection is None or is_new or not is_silent or not is_repeatable(request):
                pool.abandon(connection)
                if is_new and is_silent:
                    raise type(exc)(f"{exc} {_MAYBE_TLS}") from exc
                raise
            pool.drop(connection)
            connection, is_new = None, True
            continue
        reader.reusable = reader.reusable and not is_refused
        body = Body(request, pool, connection, reader, start)
        extensions: dict[str, Any] = {"http_version": reader.version, "reason_phrase": reader.reason}
        extensions |= {"drain": body.drain, "end": body.close}
        if isinstance(connection, LoopConnection):
            extensions["pipe"] = partial(body.pipe, connection)
        response = httpx.Response(reader.status, headers=reader.headers, stream=body, extensions=extensions)
        if reader.is_ascii:  # httpx would find that out header by header
            response.headers.encoding = "ascii"
        return response


async def _take(request: httpx.Request, step: str, action: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Take a step, in the time that the request gives it, and fail the way httpx does."""
    timeout = request.extensions.get("timeout", {}).get(step)
    late, failed = _STEPS[step]
    try:
        return await action(*args, timeout)
    except (TimeoutError, asyncio.TimeoutError, BlockingIOError) as exc:
        raise late(f"{step}: nothing happened for {timeout} s") from exc
    except (OSError, UnicodeError) as exc:
        raise failed(str(exc)) from exc


async def _send(request: httpx.Request, connection: Connection, head: bytes, length: int | None) -> None:
    stream = request.stream
    if length is not None and length < _SMALL and isinstance(stream, httpx.ByteStream):
        body = b"".join(stream)
        if len(body) == length:
            await _take(request, "write", connection.send, head + body)
            return
    async with aclosing(_encode(stream, head, length)) as parts:
        async for part in parts:
            await _take(request, "write", connection.send, part)


async def _encode(
    stream: httpx.SyncByteStream | httpx.AsyncByteStream, head: bytes, length: int | None
) -> AsyncGenerator[bytes, None]:
    total = 0
    yield head
    async for part in stream if isinstance(stream, httpx.AsyncByteStream) else _asynchronous(stream):
        total += len(part)
        if length is not None and total > length:
            break
        if length is not None:
            yield part
        elif part:  # an empty chunk would end the body
            yield b"%x\r\n%b\r\n" % (len(part), part)
    if length is None:
        yield b"0\r\n\r\n"
    elif total != length:
        raise httpx.LocalProtocolError(f"a request body is not of the {length} bytes it was declared to be")


async def _asynchronous(parts: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, after which its connection serves the next request."""

    def __init__(
        self, request: httpx.Request, pool: Pool, connection: Connection, reader: ResponseReader, start: bytes
    ) -> None:
        self._request = request
        self._pool = pool
        self._connection = connection
        self._reader = reader
        self._start = start
        self._ended = threading.Lock()  # locked for good by who ends it first, in whatever thread
        if reader.complete:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._reader.complete:  # most bodies came with the head
            start, self._start = self._start, b""
            if start:
                yield start
            return
        with suppress(StopAsyncIteration):
            while True:
                yield run(self.__anext__())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data, self._start = self._start, b""
        try:
            while not data and not self._reader.complete:
                data = self._reader.feed(await _take(self._request, "read", self._connection.receive))
        except BaseException:
            self.close()
            raise
        if self._reader.complete:
            self.close()
            if not data:
                raise StopAsyncIteration
        return data

    async def pipe(self, connection: LoopConnection, sink: Sink) -> bool:
        """Give the parts of the body to a sink as they arrive; tell whether there are more.

        Args:
            connection: the body's.
            sink: takes no empty part; see `LoopConnection.pipe`.
        """
        reader = self._reader

        def feed(data: bytes) -> bool:
            part = reader.feed(data)
            return (not part or sink(part)) and not reader.complete

        data, self._start = self._start, b""
        try:
            if (not data or sink(data)) and not reader.complete:
                await _take(self._request, "read", connection.pipe, feed)
        except BaseException:
            self.close()
            raise
        if reader.complete:
            self.close()
        return not reader.complete

    def drain(self, seconds: float) -> Any:
        """Wait for the end of a body that holds nothing more of interest, so that the connection can be kept.

        To be awaited if the response is async.
        """
        draining = self._drain(seconds)
        return run(draining) if isinstance(self._pool, BlockingPool) else draining

    async def _drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with suppress(OSError, httpx.RemoteProtocolError):
            while not self._ended.locked() and (left := deadline - time.monotonic()) > 0:
                self._reader.feed(await self._connection.receive(left))
                if self._reader.complete:
                    self.close()
        self.close()

    def close(self) -> None:
        """Give the connection back, or close it if it has more to say."""
        if self._ended.acquire(blocking=False):
            if self._reader.complete and self._reader.reusable:
                self._pool.release(self._connection)
            else:
                self._pool.abandon(self._connection)

    async def aclose(self) -> None:
        """See `close`."""
        self.close()

    def __del__(self) -> None:
        if not self._ended.locked():
            self.close()
            message = "a response was neither read to its end nor closed"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


def is_repeatable(request: httpx.Request) -> bool:
    """Tell whether the body can be sent a second time.

    What httpx can iterate both ways, `bytes` and forms, it can iterate again; a form of unknown length has a
    file in it that cannot be rewound.
    """
    return (
        isinstance(request.stream, httpx.SyncByteStream)
        and isinstance(request.stream, httpx.AsyncByteStream)
        and "transfer-encoding" not in request.headers
    )
