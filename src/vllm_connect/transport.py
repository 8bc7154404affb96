"""httpx transports that suit a vLLM server, and http clients that use them.

Plain `http://` is spoken by our own HTTP/1.1 (`http11`, `pool`): a request costs a fraction of what it costs
in httpx's stock transport, and all that one `recv` brought is handed on as one `bytes`. Everything else,
TLS and proxies from the environment, goes to the stock transport, which is made when it is first needed.
"""

from __future__ import annotations

import os
import threading
import warnings
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from ipaddress import ip_address, ip_network
from ssl import SSLContext
from typing import Any, TypeGuard, TypeVar
from urllib.request import getproxies

import openai

from ._httpx import httpx
from .http11 import ResponseReader, encode_head
from .pool import (
    BlockingPool,
    Connection,
    LoopPool,
    Pool,
    run,
    running_loop,
)

T = TypeVar("T")

TIMEOUT = httpx.Timeout(600.0, connect=10.0, pool=None)
"""A generation may take minutes, and when all connections are busy a request waits for its turn."""

LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=4.0)
"""uvicorn closes a connection that was idle for 5 s: ours must be gone by then, or requests run into it."""

_SMALL = 1 << 16  # up to here, copying a body behind its head is cheaper than sending it by itself
_DEATHS = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


def default_http_client(
    *,
    timeout: httpx.Timeout | float | None = TIMEOUT,
    limits: httpx.Limits = LIMITS,
    verify: SSLContext | str | bool = True,
    trust_env: bool = True,
) -> httpx.Client:
    """Return the http client that `VLLM` uses if it is given none."""
    transport = Transport(limits=limits, verify=verify, trust_env=trust_env)
    return openai.DefaultHttpxClient(transport=transport, timeout=timeout, limits=limits, trust_env=trust_env)


def default_async_http_client(
    *,
    timeout: httpx.Timeout | float | None = TIMEOUT,
    limits: httpx.Limits = LIMITS,
    verify: SSLContext | str | bool = True,
    trust_env: bool = True,
) -> httpx.AsyncClient:
    """Return the http client that `AsyncVLLM` uses if it is given none."""
    transport = AsyncTransport(limits=limits, verify=verify, trust_env=trust_env)
    return openai.DefaultAsyncHttpxClient(
        transport=transport, timeout=timeout, limits=limits, trust_env=trust_env
    )


class _Options:
    def __init__(
        self,
        *,
        limits: httpx.Limits = LIMITS,
        verify: SSLContext | str | bool = True,
        trust_env: bool = True,
    ) -> None:
        self._limits = limits
        self._verify = verify
        self._trust_env = trust_env
        self._proxies = getproxies() if trust_env else {}


class Transport(_Options, httpx.BaseTransport):
    """The sync transport. Threads may share it, and both sides of a fork may use it.

    Args:
        limits: How many connections may be in use at once, how many are kept idle, and for how long.
        verify: What httpx understands by it, for `https://`.
        trust_env: Whether the environment names proxies and certificates.
    """

    _pid = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        if self._pid != os.getpid():  # in a forked child, connections and locks are the parent's
            self._pid = os.getpid()
            self._pool = BlockingPool(self._limits)
            self._stock: dict[str | None, httpx.BaseTransport] = {}
            self._lock = threading.Lock()
        proxy = proxy_for(request.url, self._proxies)
        if request.url.scheme == "http" and not proxy:
            return run(_exchange(self._pool, request, _SyncBody))

        with self._lock:
            stock = self._stock.get(proxy)
            if stock is None:
                stock = self._stock[proxy] = httpx.HTTPTransport(
                    verify=self._verify, trust_env=self._trust_env, limits=self._limits, proxy=proxy
                )
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.trace}
        try:
            return stock.handle_request(request)
        except _DEATHS as death:
            if not watch.may_resend(death):
                raise
        return stock.handle_request(request)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their response is."""
        if self._pid == os.getpid():
            self._pool.close()
            for stock in self._stock.values():
                stock.close()


class AsyncTransport(_Options, httpx.AsyncBaseTransport):
    """The async transport. Any number of event loops may use it, one after another or at once.

    The arguments are those of `Transport`. Where no asyncio loop runs, as under trio, or where the loop
    cannot watch sockets, as on Windows, the stock transport does all the work.
    """

    def __init__(
        self,
        *,
        limits: httpx.Limits = LIMITS,
        verify: SSLContext | str | bool = True,
        trust_env: bool = True,
    ) -> None:
        super().__init__(limits=limits, verify=verify, trust_env=trust_env)
        self._pools: dict[AbstractEventLoop, LoopPool] = {}
        self._stock: dict[tuple[AbstractEventLoop | None, str | None], httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        loop = running_loop()
        proxy = proxy_for(request.url, self._proxies)
        if request.url.scheme == "http" and not proxy and _can_watch(loop):
            pool = self._pools.get(loop)
            if pool is None:
                self._forget_closed_loops()
                pool = self._pools[loop] = LoopPool(self._limits)
            return await _exchange(pool, request, _AsyncBody)

        stock = self._stock.get((loop, proxy))
        if stock is None:
            self._forget_closed_loops()
            stock = self._stock[loop, proxy] = httpx.AsyncHTTPTransport(
                verify=self._verify, trust_env=self._trust_env, limits=self._limits, proxy=proxy
            )
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.atrace}
        try:
            return await stock.handle_async_request(request)
        except _DEATHS as death:
            if not watch.may_resend(death):
                raise
        return await stock.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed when their response is."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        for (loop, _), stock in self._stock.items():
            if loop is running_loop():  # those of other loops can only be dropped
                await stock.aclose()
        self._stock.clear()

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in list(self._pools) if loop.is_closed()]:
            self._pools.pop(loop).close()
        for key in [key for key in list(self._stock) if key[0] and key[0].is_closed()]:
            del self._stock[key]


def _can_watch(loop: AbstractEventLoop | None) -> TypeGuard[AbstractEventLoop]:
    return loop is not None and type(loop).add_reader is not AbstractEventLoop.add_reader


async def _exchange(
    pool: Pool, request: httpx.Request, body_class: type[_SyncBody] | type[_AsyncBody]
) -> httpx.Response:
    """Send a request and read the head of its response.

    A server may close an idle connection just when a request is on its way to it. So if a connection that has
    served before dies without a byte of response, the request goes out once more, on a new one.
    """
    timeouts = request.extensions.get("timeout", {})
    head, length = encode_head(request.method, request.url.raw_path, request.headers.raw)
    connection = await pool.acquire(request.url.netloc, timeouts.get("pool"))
    used = connection is not None
    while True:
        reader = ResponseReader(request.method)
        try:
            if connection is None:
                connection = await pool.connect(request.url, timeouts.get("connect"))
            try:
                await _send(connection, request.stream, head, length, timeouts.get("write"))
                refused = False
            except httpx.WriteError:
                refused = True  # before it has read all of the request; its answer may yet be there
            start = b""
            while not reader.status:
                start = reader.feed(await connection.receive(reader.appetite, timeouts.get("read")))
        except BaseException as exc:
            if used and not reader.started and isinstance(exc, _DEATHS) and _is_repeatable(request):
                assert connection is not None
                connection.close()
                connection, used = None, False
                continue
            pool.abandon(connection)
            raise
        reader.reusable = reader.reusable and not refused
        body = body_class(pool, connection, reader, start, timeouts.get("read"))
        return httpx.Response(
            reader.status,
            headers=reader.headers,
            stream=body,
            extensions={"http_version": reader.version, "reason_phrase": reader.reason},
        )


async def _send(
    connection: Connection,
    stream: httpx.SyncByteStream | httpx.AsyncByteStream,
    head: bytes,
    length: int | None,
    timeout: float | None,
) -> None:
    if isinstance(stream, httpx.ByteStream):
        body = b"".join(stream)
        if len(body) == length and length < _SMALL:
            return await connection.send(head + body, timeout)
    await connection.send(head, timeout)
    async with aclosing(_framed(stream, length)) as parts:
        async for part in parts:
            await connection.send(part, timeout)


async def _framed(
    stream: httpx.SyncByteStream | httpx.AsyncByteStream, length: int | None
) -> AsyncGenerator[bytes, None]:
    total = 0
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


async def _asynchronous(parts: Iterable[T]) -> AsyncGenerator[T, None]:
    for part in parts:
        yield part


class _Body:
    """The body of a response, after which its connection serves the next request."""

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        reader: ResponseReader,
        start: bytes,
        timeout: float | None,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._reader = reader
        self._start = start
        self._timeout = timeout
        self._ended = threading.Lock()  # locked for good by who ends it first, in whatever thread
        if reader.complete:
            self._end()

    async def _next(self) -> bytes:
        """Return what has arrived, or b"" at the end."""
        data, self._start = self._start, b""
        try:
            while not data and not self._reader.complete:
                data = self._reader.feed(await self._connection.receive(self._reader.appetite, self._timeout))
        except BaseException:
            self._end()
            raise
        if self._reader.complete:
            self._end()
        return data

    def _end(self) -> None:
        if self._ended.acquire(blocking=False):
            if self._reader.complete and self._reader.reusable:
                self._pool.release(self._connection)
            else:
                self._pool.abandon(self._connection)

    def __del__(self) -> None:
        if not self._ended.locked():
            self._end()
            message = "a response was neither read to its end nor closed"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


class _SyncBody(_Body, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        while data := run(self._next()):
            yield data

    def close(self) -> None:
        self._end()


class _AsyncBody(_Body, httpx.AsyncByteStream):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if data := await self._next():
            return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._end()


def _is_repeatable(request: httpx.Request) -> bool:
    """Whether the body can be sent a second time.

    What httpx can iterate both ways, `bytes` and forms, it can iterate again; a form of unknown length has a
    file in it that cannot be rewound.
    """
    return (
        isinstance(request.stream, httpx.SyncByteStream)
        and isinstance(request.stream, httpx.AsyncByteStream)
        and "transfer-encoding" not in request.headers
    )


class _Watch:
    """Learns from the stock transport's trace whether a request went out on a new connection."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._next = request.extensions.get("trace")
        self._is_new = False

    def trace(self, event: str, info: dict[str, Any]) -> None:
        self._is_new = self._is_new or "connect_tcp" in event
        if self._next is not None:
            self._next(event, info)

    async def atrace(self, event: str, info: dict[str, Any]) -> None:
        self._is_new = self._is_new or "connect_tcp" in event
        if self._next is not None:
            await self._next(event, info)

    def may_resend(self, death: Exception) -> bool:
        began = isinstance(death, httpx.RemoteProtocolError) and "without sending a response" not in str(
            death
        )
        return not self._is_new and not began and _is_repeatable(self._request)


def proxy_for(url: httpx.URL, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy that `urllib.request.getproxies` names for a URL, None if there is none."""
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _is_excepted(url, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(url: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY lists the host of a URL: by name, by suffix, by address or by network."""
    host = url.host
    for entry in no_proxy.lower().replace(" ", "").split(","):
        name = entry.removeprefix("*").removeprefix(".").strip("[]")
        if entry == "*" or name in (host, f"{host}:{url.port}") or (name and host.endswith(f".{name}")):
            return True
        with suppress(ValueError):
            if ip_address(host) in ip_network(name, strict=False):
                return True
    return False
