"""httpx transports that suit a vLLM server, and http clients that use them.

Plain `http://` is spoken by our own HTTP/1.1 (`exchange` over a `pool`): a request costs a fraction of what
it costs in httpx's stock transport, and all that one `recv` brought is handed on as one `bytes`.
Everything else, TLS and proxies, goes to the stock transport, which is made when it is first needed; and so
does everything while the stock transport is patched, see `patches`.
"""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, NamedTuple, TypeGuard
from urllib.request import getproxies
from weakref import WeakSet

import openai
from typing_extensions import TypedDict, Unpack

from ._httpx import httpx
from .exchange import DEATHS, exchange, is_repeatable
from .loops import running_loop
from .patches import async_is_patched, sync_is_patched
from .pool import BlockingPool, LoopPool
from .proxies import Proxy, proxy_for
from .run import run
from .tls import default_context
from .unix import SCHEME as UNIX
from .unix import as_http, socket_path

TIMEOUT = httpx.Timeout(600.0, connect=10.0, pool=None)
"""A generation may take minutes, and when all connections are busy a request waits for its turn."""

LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=4.0)
"""uvicorn closes a connection that was idle for 5 s: ours must be gone by then, or requests run into it."""


class Options(TypedDict, total=False):
    """Options of the transports, and of the default clients."""

    limits: httpx.Limits
    """How many connections may be in use at once, how many are kept idle, and for how long."""
    verify: SSLContext | str | bool
    """What httpx understands by it, for `https://`."""
    proxy: Proxy | None
    """The proxy for everything; otherwise it is up to the environment."""
    trust_env: bool
    """Whether the environment names proxies and certificates."""


def default_http_client(
    transport: httpx.BaseTransport | None = None,
    *,
    timeout: httpx.Timeout | float | None = TIMEOUT,
    **options: Unpack[Options],
) -> httpx.Client:
    """Return the http client that `VLLM` uses if it is given none.

    Args:
        transport: instead of one that is made with the options.
        timeout: as in httpx.
        options: of the transport.
    """
    client = openai.DefaultHttpxClient(transport=transport or Transport(**options), timeout=timeout)
    if transport is None and not options and timeout is TIMEOUT:
        _DEFAULT.add(client)
    return client


def default_async_http_client(
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    timeout: httpx.Timeout | float | None = TIMEOUT,
    **options: Unpack[Options],
) -> httpx.AsyncClient:
    """Return the http client that `AsyncVLLM` uses if it is given none; see `default_http_client`."""
    client = openai.DefaultAsyncHttpxClient(transport=transport or AsyncTransport(**options), timeout=timeout)
    if transport is None and not options and timeout is TIMEOUT:
        _DEFAULT.add(client)
    return client


_DEFAULT: WeakSet[httpx.Client | httpx.AsyncClient] = WeakSet()


def is_default(http_client: httpx.Client | httpx.AsyncClient) -> bool:
    """Tell whether an http client is one that anybody would make again without being told anything."""
    return http_client in _DEFAULT


def takes_large_headers(http_client: Any) -> bool:
    """Tell whether an http client takes response headers of 100 kB: ours does, aiohttp's ends at 8 kB."""
    return isinstance(getattr(http_client, "_transport", None), Ours)


_OURS = ("http", UNIX)


class _Stock(NamedTuple):
    """A stock transport, or rather what it is made with."""

    proxy: Proxy | None = None
    uds: str | None = None


class Ours:
    """The mark of a transport of this package."""


class _Configured(Ours):
    def __init__(
        self,
        *,
        limits: httpx.Limits = LIMITS,
        verify: SSLContext | str | bool = True,
        proxy: Proxy | None = None,
        trust_env: bool = True,
    ) -> None:
        self._limits = limits
        self._stock_options: Any = {"limits": limits, "verify": verify, "trust_env": trust_env}
        self._proxies: Mapping[str, object] = getproxies() if trust_env else {}
        if proxy is not None:
            self._proxies = {"all": proxy}

    def _options(self) -> Any:
        """Return the arguments that a stock transport is made with."""
        options = self._stock_options
        if options["verify"] is True:
            options = {**options, "verify": default_context(options["trust_env"])}
        return options


class Transport(_Configured, httpx.BaseTransport):
    """The sync transport, made with `Options`. Threads may share it, and both sides of a fork may use it."""

    _pid = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        if self._pid != os.getpid():  # in a forked child, connections and locks are the parent's
            self._pool = BlockingPool(self._limits)
            self._stock: dict[_Stock, httpx.BaseTransport] = {}
            self._lock = threading.Lock()
            self._pid = os.getpid()
        url = request.url
        proxy = proxy_for(url, self._proxies) if self._proxies else None
        is_patched = sync_is_patched()
        if proxy is None and not is_patched and url.scheme in _OURS:
            return run(exchange(self._pool, request))
        key, request = _for_stock(request, proxy)
        with self._lock:
            stock = self._stock.get(key)
            if stock is None:
                stock = self._stock[key] = httpx.HTTPTransport(**key._asdict(), **self._options())
        if is_patched:
            return stock.handle_request(request)
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.trace}
        try:
            return stock.handle_request(request)
        except httpx.TransportError as failure:
            watch.forgive(failure)
        return stock.handle_request(request)

    def close(self) -> None:
        """Close all connections: responses that are being read end with an error."""
        if self._pid == os.getpid():
            self._pool.close()
            for stock in self._stock.values():
                stock.close()


class AsyncTransport(_Configured, httpx.AsyncBaseTransport):
    """The async transport, made with `Options`. Several event loops may use it, in turn or at once.

    Where no asyncio loop runs, as under trio, or where the loop cannot watch sockets, as on Windows, the
    stock transport does all the work.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self._pools: dict[AbstractEventLoop, LoopPool] = {}
        self._stock: dict[tuple[AbstractEventLoop | None, _Stock], httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        loop, url = running_loop(), request.url
        proxy = proxy_for(url, self._proxies) if self._proxies else None
        is_patched = async_is_patched()
        if proxy is None and not is_patched and url.scheme in _OURS and _can_watch(loop):
            pool = self._pools.get(loop)
            if pool is None:
                self._forget_closed_loops()
                pool = self._pools[loop] = LoopPool(self._limits)
            return await exchange(pool, request)
        key, request = _for_stock(request, proxy)
        stock = self._stock.get((loop, key))
        if stock is None:
            self._forget_closed_loops()
            stock = httpx.AsyncHTTPTransport(**key._asdict(), **self._options())
            self._stock[loop, key] = stock
        if is_patched:
            return await stock.handle_async_request(request)
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.atrace}
        try:
            return await stock.handle_async_request(request)
        except httpx.TransportError as failure:
            watch.forgive(failure)
        return await stock.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections: responses that are being read end with an error."""
        while self._pools:
            self._pools.popitem()[1].close()
        while self._stock:
            (loop, _), stock = self._stock.popitem()
            if loop is running_loop():  # those of other loops can only be dropped
                await stock.aclose()

    def _forget_closed_loops(self) -> None:
        for loop in list(self._pools):
            if loop.is_closed() and (pool := self._pools.pop(loop, None)):  # unless another thread was faster
                pool.close()
        for key in list(self._stock):
            if key[0] is not None and key[0].is_closed():
                self._stock.pop(key, None)


def _can_watch(loop: AbstractEventLoop | None) -> TypeGuard[AbstractEventLoop]:
    return loop is not None and type(loop).add_reader is not AbstractEventLoop.add_reader


def _for_stock(request: httpx.Request, proxy: Proxy | None) -> tuple[_Stock, httpx.Request]:
    """The stock transport that a request needs, and the request as that one understands it."""
    if request.url.scheme != UNIX:
        return _Stock(proxy=proxy), request
    plain = httpx.Request(
        request.method,
        as_http(request.url),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )
    return _Stock(uds=socket_path(request.url)), plain


class _Watch:
    """Learns from the stock transport's trace whether a request went out on a new connection."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._next = request.extensions.get("trace")
        self._is_new = False

    def trace(self, event: str, info: dict[str, Any]) -> None:
        self._is_new = self._is_new or "connect_" in event
        if self._next is not None:
            self._next(event, info)

    async def atrace(self, event: str, info: dict[str, Any]) -> None:
        self._is_new = self._is_new or "connect_" in event
        if self._next is not None:
            await self._next(event, info)

    def forgive(self, failure: httpx.TransportError) -> None:
        """Raise what ended a request, unless it may be sent again, by the rule of `exchange`."""
        if any(sign in str(failure) for sign in _SIGNS_OF_PLAIN_HTTP):
            hint = "(if the server does not speak TLS, its URL must begin with http://)"
            raise type(failure)(f"{failure} {hint}") from failure
        is_silent = isinstance(failure, DEATHS) and (
            not isinstance(failure, httpx.RemoteProtocolError) or "without sending a resp" in str(failure)
        )
        if self._is_new or not is_silent or not is_repeatable(self._request):
            raise failure


# OpenSSL's words for a first record that is no TLS, in its several versions.
_SIGNS_OF_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
