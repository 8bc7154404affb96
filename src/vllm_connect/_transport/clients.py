"""httpx transports that suit a vLLM server, and http clients that use them.

Plain `http://` is spoken by our own HTTP/1.1 (`exchange` over a `pool`): a request costs a fraction of what
it costs in httpx's stock transport, and all that one `recv` brought is handed on as one `bytes`.
Everything else, TLS and proxies, goes to the stock transport, which is made when it is first needed.
"""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from ssl import SSLContext
from typing import Any, TypeGuard
from urllib.request import getproxies

import openai
from typing_extensions import TypedDict, Unpack

from ._httpx import httpx
from .exchange import DEATHS, exchange, is_repeatable
from .loops import running_loop
from .pool import BlockingPool, LoopPool
from .run import run

TIMEOUT = httpx.Timeout(600.0, connect=10.0, pool=None)
"""A generation may take minutes, and when all connections are busy a request waits for its turn."""

LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=4.0)
"""uvicorn closes a connection that was idle for 5 s: ours must be gone by then, or requests run into it."""

Proxy = httpx.Proxy | httpx.URL | str


class Options(TypedDict, total=False):
    """What the transports can be told, and the default clients, too."""

    limits: httpx.Limits
    """How many connections may be in use at once, how many are kept idle, and for how long."""
    verify: SSLContext | str | bool
    """What httpx understands by it, for `https://`."""
    proxy: Proxy | None
    """The proxy for everything; otherwise it is up to the environment."""
    trust_env: bool
    """Whether the environment names proxies and certificates."""


def default_http_client(
    *, timeout: httpx.Timeout | float | None = TIMEOUT, **options: Unpack[Options]
) -> httpx.Client:
    """Return the http client that `VLLM` uses if it is given none."""
    return openai.DefaultHttpxClient(transport=Transport(**options), timeout=timeout)


def default_async_http_client(
    *, timeout: httpx.Timeout | float | None = TIMEOUT, **options: Unpack[Options]
) -> httpx.AsyncClient:
    """Return the http client that `AsyncVLLM` uses if it is given none."""
    return openai.DefaultAsyncHttpxClient(transport=AsyncTransport(**options), timeout=timeout)


def takes_large_headers(http_client: Any) -> bool:
    """Whether an http client takes response headers of 100 kB: ours does, aiohttp's ends at 8 kB."""
    return isinstance(getattr(http_client, "_transport", None), (Transport, AsyncTransport))


class _Configured:
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
        self._proxies: Mapping[str, Any] = getproxies() if trust_env else {}
        if proxy is not None:
            self._proxies = {"all": proxy}


class Transport(_Configured, httpx.BaseTransport):
    """The sync transport, made with `Options`. Threads may share it, and both sides of a fork may use it."""

    _pid = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        if self._pid != os.getpid():  # in a forked child, connections and locks are the parent's
            self._pool = BlockingPool(self._limits)
            self._stock: dict[Proxy | None, httpx.BaseTransport] = {}
            self._lock = threading.Lock()
            self._pid = os.getpid()
        proxy = proxy_for(request.url, self._proxies)
        if request.url.scheme == "http" and proxy is None:
            return run(exchange(self._pool, request))
        with self._lock:
            stock = self._stock.get(proxy)
            if stock is None:
                stock = self._stock[proxy] = httpx.HTTPTransport(proxy=proxy, **self._stock_options)
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.trace}
        try:
            return stock.handle_request(request)
        except DEATHS as death:
            watch.forgive(death)
        return stock.handle_request(request)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their response is."""
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
        self._stock: dict[tuple[AbstractEventLoop | None, Proxy | None], httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        loop = running_loop()
        proxy = proxy_for(request.url, self._proxies)
        if request.url.scheme == "http" and proxy is None and _can_watch(loop):
            pool = self._pools.get(loop)
            if pool is None:
                self._forget_closed_loops()
                pool = self._pools[loop] = LoopPool(self._limits)
            return await exchange(pool, request)
        stock = self._stock.get((loop, proxy))
        if stock is None:
            self._forget_closed_loops()
            stock = self._stock[loop, proxy] = httpx.AsyncHTTPTransport(proxy=proxy, **self._stock_options)
        watch = _Watch(request)
        request.extensions = {**request.extensions, "trace": watch.atrace}
        try:
            return await stock.handle_async_request(request)
        except DEATHS as death:
            watch.forgive(death)
        return await stock.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed when their response is."""
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

    def forgive(self, death: Exception) -> None:
        """Raise what ended a request, unless it may be sent again, by the rule of `exchange`."""
        silent = not isinstance(death, httpx.RemoteProtocolError) or "without sending a resp" in str(death)
        if self._is_new or not silent or not is_repeatable(self._request):
            raise death


def proxy_for(url: httpx.URL, proxies: Mapping[str, Any]) -> Proxy | None:
    """Return the proxy for a URL among those of `urllib.request.getproxies`, None if there is none."""
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _is_excepted(url, proxies.get("no", "")):
        return None
    return f"http://{proxy}" if isinstance(proxy, str) and "://" not in proxy else proxy


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
