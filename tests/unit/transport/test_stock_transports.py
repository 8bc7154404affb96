"""What is left to the transports of httpx: https and proxies."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.unit.transport.sockets import OK, Both, Make, Peer, Serve

from vllm_connect._transport import clients as under_test
from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import (
    AsyncTransport,
    default_async_http_client,
    default_http_client,
)
from vllm_connect._transport.proxies import proxy_for


class Stock(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A stand-in for them: records how it was made, and fails as it is told."""

    made: list[dict[str, Any]]
    failures: list[tuple[bool, Exception]]
    requests = 0

    def __init__(self, **options: Any) -> None:
        self.made.append(options)

    def _answer(self, request: httpx.Request) -> tuple[bool, httpx.Response | Exception]:
        type(self).requests += 1
        if self.failures:
            return self.failures.pop(0)
        return False, httpx.Response(200, content=b"stock")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        is_new, outcome = self._answer(request)
        if is_new:
            request.extensions["trace"]("connection.connect_tcp.started", {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_new, outcome = self._answer(request)
        if is_new:
            await request.extensions["trace"]("connection.connect_tcp.started", {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> type[Stock]:
    stock = type("Stock", (Stock,), {"made": [], "failures": []})
    monkeypatch.setattr(httpx, "HTTPTransport", stock)
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", stock)
    return stock


def test_https_goes_to_one_stock_transport(both: Both, stock: type[Stock]) -> None:
    for _ in range(2):
        assert both.get("https://example.test/").content == b"stock"
    (options,) = stock.made
    assert isinstance(options.pop("verify"), ssl.SSLContext)
    assert options == {"trust_env": True, "limits": under_test.LIMITS, "proxy": None, "uds": None}


def test_tls_context_is_one_for_all_that_verify_alike(
    make: Make, stock: type[Stock], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clients = [make(), make(), make(trust_env=False), make(verify=False)]
    for both in clients:
        both.get("https://example.test/")
    first, second, untrusting, careless = (options["verify"] for options in stock.made)
    assert first is second
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname
    assert untrusting is not first
    assert careless is False
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    make().get("https://example.test/")
    assert stock.made[-1]["verify"] is not first


DEAD = httpx.RemoteProtocolError("Server disconnected without sending a response.")


@pytest.mark.parametrize(
    ("failures", "requests"),
    [
        ([(False, DEAD)], 2),
        ([(False, httpx.ReadError("reset"))], 2),
        ([(False, httpx.WriteError("broken pipe"))], 2),
        ([(True, DEAD)], 1),
        ([(False, httpx.RemoteProtocolError("illegal status line"))], 1),
        ([(False, httpx.ReadTimeout("slow"))], 1),
        ([(False, DEAD), (False, DEAD)], 2),
    ],
)
def test_stale_stock_connection_is_replaced(
    both: Both, stock: type[Stock], failures: list[tuple[bool, Exception]], requests: int
) -> None:
    stock.failures += failures
    if requests == 2 and len(failures) == 1:
        assert both.post("https://example.test/", content=b"x").content == b"stock"
    else:
        with pytest.raises(type(failures[0][1])):
            both.post("https://example.test/", content=b"x")
    assert stock.requests == requests


def test_callers_trace_is_kept(both: Both, stock: type[Stock]) -> None:
    events = []

    def trace(event: str, info: object) -> None:
        events.append(event)

    async def atrace(event: str, info: object) -> None:
        events.append(event)

    stock.failures.append((True, DEAD))
    with pytest.raises(httpx.RemoteProtocolError):
        both.get("https://example.test/", extensions={"trace": atrace if both.loop else trace})
    assert events == ["connection.connect_tcp.started"]


def test_without_asyncio_the_stock_transport_does_it_all(stock: type[Stock]) -> None:
    request = httpx.Request("GET", "http://example.test/")
    with pytest.raises(StopIteration) as stopped:
        AsyncTransport().handle_async_request(request).send(None)
    assert stopped.value.value.content == b"stock"


def test_proxies_from_the_environment(serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []

    def handler(peer: Peer) -> None:
        while head := peer.read()[0]:
            lines.append(head.split(b"\r\n")[0])
            peer.send(OK)

    proxy, direct = serve(handler), serve()
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    both = make()
    assert both.get("http://vllm.test:8000/v1/models").content == b"ok"
    assert both.get(direct.url).content == b"ok"
    assert lines == [b"GET http://vllm.test:8000/v1/models HTTP/1.1"]
    assert direct.connections == 1
    with pytest.raises(httpx.ConnectError):
        make(trust_env=False).get("http://vllm.invalid:8000/v1/models")


def test_proxy_of_the_callers(serve: Serve, make: Make) -> None:
    server = serve()
    for proxy in (server.url, httpx.URL(server.url), httpx.Proxy(server.url)):
        assert make(proxy=proxy).get("http://vllm.invalid/").content == b"ok"
    assert server.connections == 3


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("http://a.test", "", "http://p:1"),
        ("https://a.test", "", "socks5://q:2"),
        ("http://a.test", "*", None),
        ("http://a.test", "b.test, a.test", None),
        ("http://x.a.test", "A.test", None),
        ("http://xa.test", "a.test", "http://p:1"),
        ("http://x.a.test", ".a.test", None),
        ("http://x.a.test", "*.a.test", None),
        ("http://a.test:8000", "a.test:8000", None),
        ("http://a.test:8001", "a.test:8000", "http://p:1"),
        ("http://10.1.2.3", "10.0.0.0/8", None),
        ("http://11.1.2.3", "10.0.0.0/8", "http://p:1"),
        ("http://[::1]:80", "::1", None),
        ("http://[::1]:80", "[::1]", None),
        ("http://a.test", ",", "http://p:1"),
        ("http://a.test", "http://a.test", None),
        ("http://a.test", "https://a.test", "http://p:1"),
        ("https://a.test", "https://a.test", None),
        ("http://a.test", "all://a.test", None),
        ("http://a.test:8000", "http://a.test", None),
        ("http://a.test:8000", "http://a.test:8000/", None),
        ("http://a.test:8001", "http://a.test:8000", "http://p:1"),
        ("http://a.test", "a.test:80", None),
        ("http://x.a.test", "http://a.test", "http://p:1"),
        ("http://x.a.test", "http://*.a.test", None),
        ("http://x.a.test", "http://.a.test", None),
        ("http://10.1.2.3", "http://10.0.0.0/8", None),
        ("http://10.1.2.3:8000", "http://10.1.2.3", None),
        ("http://[fd00::1]:80", "fd00::/8", None),
        ("http://[fd00::1]:80", "http://[fd00::1]:80", None),
        ("http://[fd00::1]:81", "[fd00::1]:80", "http://p:1"),
        ("http://a.test", "://,http://,what ever", "http://p:1"),
        ("unix://localhost/run/vllm.sock:/v1", "", None),
    ],
)
def test_proxy_for(url: str, no_proxy: str, proxy: str | None) -> None:
    proxies = {"http": "p:1", "all": "socks5://q:2", "no": no_proxy}
    assert proxy_for(httpx.URL(url), proxies) == proxy


def test_default_clients(serve: Serve) -> None:
    server = serve()
    with default_http_client() as client:
        assert client.get(server.url).content == b"ok"
        assert client.follow_redirects
        assert client.timeout == httpx.Timeout(600, connect=10, pool=None)

    async def main() -> None:
        async with default_async_http_client(timeout=3) as client:
            assert (await client.get(server.url)).content == b"ok"
            assert client.follow_redirects
            assert client.timeout == httpx.Timeout(3)

    asyncio.run(main())
