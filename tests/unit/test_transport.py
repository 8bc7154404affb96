"""The transports against small servers on real sockets: one test body for the sync and the async one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import struct
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from vllm_connect import transport as under_test
from vllm_connect._httpx import httpx
from vllm_connect.pool import BlockingPool, LoopPool
from vllm_connect.transport import (
    AsyncTransport,
    Transport,
    default_async_http_client,
    default_http_client,
    proxy_for,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()

    def read(self) -> tuple[bytes, bytes]:
        """Return the head and body of a request, b"" for both if there is none."""
        while b"\r\n\r\n" not in self._data:
            if not (data := self.sock.recv(1 << 16)):
                return b"", b""
            self._data += data
        head = self._take(self._data.index(b"\r\n\r\n") + 4)[:-4]
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"transfer-encoding" in fields:
            body = b""
            while size := int(self._take_line(), 16):
                body += self._take(size)
                self._take(2)
            self._take(2)
            return head, body
        return head, self._take(int(fields.get(b"content-length", 0)))

    def _take_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._take(1)
        return line

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self.sock.recv(1 << 16)
            assert data
            self._data += data
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def serve(self, *answers: bytes) -> None:
        """Answer the requests one after another, with the last answer from then on."""
        remaining = list(answers) or [OK]
        while self.read()[0]:
            self.send(remaining.pop(0) if len(remaining) > 1 else remaining[0])

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def sees_close(self) -> bool:
        """Whether the client closes the connection, before long."""
        self.sock.settimeout(10)
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


class Server:
    """Runs `handler(peer)` in a thread per connection; `errors` holds what the handlers raised."""

    def __init__(self, handler: Callable[[Peer], Any], host: str = "127.0.0.1") -> None:
        self._handler = handler
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
        self.port = self._listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.connections = 0
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._handle, args=(Peer(sock, self.connections),))
            self._threads.append(thread)
            thread.start()

    def _handle(self, peer: Peer) -> None:
        with peer.sock:
            try:
                self._handler(peer)
            except ConnectionError:
                pass
            except Exception as exc:  # noqa: BLE001 - told by `close`
                self.errors.append(exc)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "the client left a connection open"
        assert not self.errors, self.errors


class Both:
    """A client of either kind, driven from sync code."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        timeout = options.pop("timeout", 20)
        if kind == "sync":
            self.transport: Any = Transport(**options)
            self.client: Any = httpx.Client(transport=self.transport, timeout=timeout, follow_redirects=True)
        else:
            self.transport = AsyncTransport(**options)
            self.client = httpx.AsyncClient(transport=self.transport, timeout=timeout, follow_redirects=True)

    def __call__(self, result: Any) -> Any:
        """Wait for whatever a method of the client returned."""
        if self.loop is not None and isinstance(result, Awaitable):
            return self.loop.run_until_complete(result)
        return result

    def get(self, url: str, **options: Any) -> httpx.Response:
        response: httpx.Response = self(self.client.get(url, **options))
        return response

    def post(self, url: str, **options: Any) -> httpx.Response:
        response: httpx.Response = self(self.client.post(url, **options))
        return response

    def open(self, url: str) -> httpx.Response:
        response: httpx.Response = self(self.client.send(self.client.build_request("GET", url), stream=True))
        return response

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        if self.loop is None:
            yield from response.iter_bytes()
            return
        iterator = response.aiter_bytes()
        try:
            while True:
                yield self(iterator.__anext__())
        except StopAsyncIteration:
            pass
        finally:
            self(iterator.aclose())

    def close_response(self, response: httpx.Response) -> None:
        self(response.close() if self.loop is None else response.aclose())

    def close(self) -> None:
        self(self.client.close() if self.loop is None else self.client.aclose())
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


@pytest.fixture(autouse=True, scope="module")
def leaks() -> Iterator[None]:
    """Let unclosed sockets show themselves here, as warnings, and not in someone else's tests."""
    yield
    gc.collect()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Iterator[Callable[..., Both]]:
    made: list[Both] = []

    def make(**options: Any) -> Both:
        made.append(Both(kind, **options))
        return made[-1]

    yield make
    for both in made:
        both.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    servers: list[Server] = []

    def serve(handler: Callable[[Peer], Any] = Peer.serve, **options: Any) -> Server:
        servers.append(Server(handler, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def both(make: Callable[..., Both], serve: Callable[..., Server]) -> Both:
    """A client that is closed before the servers are."""
    return make()


Serve = Callable[..., Server]
Make = Callable[..., Both]


# One request


def test_request_and_response(serve: Serve, both: Both) -> None:
    seen = []

    def handler(peer: Peer) -> None:
        seen.append(peer.read())
        peer.send(b"HTTP/1.1 418 Teapot\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\ntea")
        peer.serve()

    server = serve(handler)
    response = both.post(f"{server.url}/a%20b?c=d", content=b"body", headers={"X-Key": "k"})
    assert (response.status_code, response.content) == (418, b"tea")
    assert response.headers.raw == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-Length", b"3")]
    assert (response.http_version, response.reason_phrase) == ("HTTP/1.1", "Teapot")
    head, body = seen[0]
    assert body == b"body"
    assert head.startswith(b"POST /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"X-Key: k" in head


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("GET", CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: 1\r\n\r\n", b"abc"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, b"ok"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""),
        ("HEAD", CHUNKED, b""),
    ],
)
def test_framings_that_keep_the_connection(
    serve: Serve, both: Both, method: str, answer: bytes, body: bytes
) -> None:
    server = serve(lambda peer: peer.serve(answer, OK))
    assert both(both.client.request(method, server.url)).content == body
    assert both.get(server.url).content == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ],
)
def test_answers_that_end_the_connection(serve: Serve, both: Both, answer: bytes) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(answer)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.sees_close()

    server = serve(handler)
    assert [both.get(server.url).content for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 2


def test_large_metadata_header(serve: Serve, both: Both) -> None:
    server = serve(lambda peer: peer.serve(OK.replace(b"Con", b"metadata: " + b"m" * 200_000 + b"\r\nCon")))
    assert len(both.get(server.url).headers["metadata"]) == 200_000


@pytest.mark.parametrize("framing", [b"Content-Length: 3000000\r\n\r\n%b", b"\r\n%b"])
def test_large_body(serve: Serve, both: Both, framing: bytes) -> None:
    body = os.urandom(3_000_000)

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\n" + framing % body)

    assert both.get(serve(handler).url).content == body


def test_large_upload(serve: Serve, both: Both) -> None:
    body = os.urandom(8_000_000)
    seen = []

    def handler(peer: Peer) -> None:
        time.sleep(0.1)  # long enough to fill all buffers on the way
        seen.append(peer.read()[1])
        peer.send(OK)

    both.post(serve(handler).url, content=body)
    assert seen == [body]


def streamed(kind: str, parts: list[bytes]) -> Any:
    async def generate() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return iter(parts) if kind == "sync" else generate()


def test_streamed_uploads(serve: Serve, both: Both, kind: str) -> None:
    seen = []

    def handler(peer: Peer) -> None:
        while (request := peer.read())[0]:
            seen.append(request)
            peer.send(OK)

    server = serve(handler)
    both.post(server.url, content=streamed(kind, [b"one", b"", b"two"]))
    both.post(server.url, content=streamed(kind, [b"one", b"two"]), headers={"Content-Length": "6"})
    both.post(server.url, files={"file": ("a.wav", b"RIFF", "audio/wav")}, data={"model": "whisper"})
    assert [body for _, body in seen[:2]] == [b"onetwo", b"onetwo"]
    assert b"Transfer-Encoding: chunked" in seen[0][0]
    assert b"Content-Length" in seen[2][0]
    assert seen[2][1].count(b"\r\n") > 8
    assert b"RIFF" in seen[2][1]
    assert server.connections == 1


@pytest.mark.parametrize("length", ["5", "7"])
def test_body_of_another_length_than_declared(serve: Serve, both: Both, kind: str, length: str) -> None:
    server = serve(lambda peer: peer.sees_close())
    with pytest.raises(httpx.LocalProtocolError):
        both.post(server.url, content=streamed(kind, [b"one", b"two"]), headers={"Content-Length": length})


def test_header_injection_is_refused(serve: Serve, both: Both) -> None:
    server = serve()
    with pytest.raises(httpx.LocalProtocolError):
        both.get(server.url, headers={"x": "a\r\nEvil: 1"})
    assert server.connections == 0


def test_redirects(serve: Serve, both: Both) -> None:
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 5\r\n\r\nmoved"
    server = serve(lambda peer: peer.serve(moved, OK))
    response = both.post(server.url, json={})
    assert (response.content, response.url.path, server.connections) == (b"ok", "/there", 1)


def test_ipv6(serve: Serve, both: Both) -> None:
    try:
        server = serve(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert both.get(server.url).content == b"ok"


def test_host_names_are_resolved(serve: Serve, both: Both) -> None:
    assert both.get(f"http://localhost:{serve().port}").content == b"ok"


def test_one_piece_for_all_that_has_arrived(serve: Serve, both: Both) -> None:
    go = threading.Event()

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED)
        go.wait(20)
        peer.send(b"3\r\nabc\r\n" * 100 + b"0\r\n\r\n")

    response = both.open(serve(handler).url)
    go.set()
    assert list(both.pieces(response)) == [b"abc" * 100]


# Reuse, and what may go wrong with it


def test_connections_are_reused(serve: Serve, both: Both) -> None:
    server = serve()
    for _ in range(5):
        both.get(server.url)
    assert server.connections == 1


def test_streams_return_their_connection(serve: Serve, both: Both) -> None:
    server = serve(lambda peer: peer.serve(CHUNKED + b"1\r\na\r\n0\r\n\r\n"))
    for _ in range(3):
        response = both.open(server.url)
        assert b"".join(both.pieces(response)) == b"a"
    assert server.connections == 1


def test_idle_connections_expire(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits(keepalive_expiry=0.05))
    server = serve()
    both.get(server.url)
    time.sleep(0.1)
    both.get(server.url)
    assert server.connections == 2


def test_surplus_idle_connections_are_closed(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits(max_keepalive_connections=1))
    server = serve()
    responses = [both.open(server.url) for _ in range(3)]
    for response in responses:
        assert b"".join(both.pieces(response)) == b"ok"
    assert (
        len(both.transport._pool._idle if both.loop is None else both.transport._pools[both.loop]._idle) == 1
    )


def test_no_idle_connections(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits(max_keepalive_connections=0))
    server = serve()
    assert [both.get(server.url).content for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 3


def test_no_limits(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits())
    server = serve()
    assert [both.get(server.url).content for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


def test_closed_idle_connection_is_noticed(serve: Serve, both: Both) -> None:
    closed = threading.Event()

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(OK)
        peer.sock.close()
        closed.set()

    server = serve(handler)
    both.get(server.url)
    assert closed.wait(10)
    both.post(server.url, content=streamed("sync" if both.loop is None else "async", [b"once"]))
    assert server.connections == 2


def stale(answered: list[bytes], end: Callable[[Peer], Any]) -> Callable[[Peer], None]:
    """A server whose first connection dies when its second request has arrived."""

    def handler(peer: Peer) -> None:
        answered.append(peer.read()[1])
        peer.send(OK)
        if peer.number == 1:
            answered.append(b"lost: " + peer.read()[1])
            end(peer)
        else:
            peer.serve()

    return handler


@pytest.mark.parametrize("end", [lambda peer: peer.sock.close(), Peer.reset])
@pytest.mark.parametrize("form", [False, True])
def test_stale_connection_is_replaced(
    serve: Serve, both: Both, end: Callable[[Peer], Any], form: bool
) -> None:
    answered: list[bytes] = []
    server = serve(stale(answered, end))
    both.post(server.url, content=b"first")
    body: Any = {"files": {"file": b"second"}} if form else {"content": b"second"}
    assert both.post(server.url, **body).content == b"ok"
    assert server.connections == 2
    assert [b"first" in answered[0], b"second" in answered[1], b"second" in answered[2]] == [True] * 3
    assert answered[1] == b"lost: " + answered[2]


def test_one_shot_body_is_not_sent_again(serve: Serve, both: Both, kind: str) -> None:
    server = serve(stale([], lambda peer: peer.sock.close()))
    both.post(server.url, content=b"first")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        both.post(server.url, content=streamed(kind, [b"second"]))
    assert server.connections == 1


def test_request_is_sent_again_only_once(serve: Serve, both: Both) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        if peer.number == 1:
            peer.send(OK)
            peer.read()

    server = serve(handler)
    both.get(server.url)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        both.get(server.url)
    assert server.connections == 2


def test_request_is_not_sent_again_once_an_answer_began(serve: Serve, both: Both) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(OK)
        peer.read()
        peer.send(b"HTTP/1.1 2")

    server = serve(handler)
    both.get(server.url)
    with pytest.raises(httpx.RemoteProtocolError):
        both.get(server.url)
    assert server.connections == 1


@pytest.mark.parametrize("end", [lambda peer: peer.sock.close(), Peer.reset])
def test_fresh_connection_that_dies_is_an_error(serve: Serve, both: Both, end: Callable[[Peer], Any]) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        end(peer)

    server = serve(handler)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as caught:
        both.get(server.url)
    assert caught.value.request.url == server.url
    assert server.connections == 1


def test_refusal_of_a_large_upload_is_read(serve: Serve, both: Both) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"

    def handler(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(refusal)
        peer.sock.shutdown(socket.SHUT_RD)
        time.sleep(0.2)
        peer.reset()

    with contextlib.suppress(httpx.ReadError, httpx.WriteError):  # if the reset overtook the answer
        assert both.post(serve(handler).url, content=b"x" * 20_000_000).status_code == 413


@pytest.mark.parametrize(
    "answer",
    [CHUNKED + b"5\r\nhel", CHUNKED + b"1\r\na\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"],
)
def test_cut_body(serve: Serve, both: Both, answer: bytes) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(answer)

    response = both.open(serve(handler).url)
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
        list(both.pieces(response))


# Ending early


def endless(closed: threading.Event) -> Callable[[Peer], None]:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED + b"1\r\na\r\n")
        if peer.sees_close():
            closed.set()

    return handler


def test_early_close_closes_the_socket(serve: Serve, both: Both) -> None:
    closed = threading.Event()
    response = both.open(serve(endless(closed)).url)
    pieces = both.pieces(response)
    assert next(pieces) == b"a"
    both.close_response(response)
    both(asyncio.sleep(0) if both.loop else None)
    assert closed.wait(10)


def test_early_close_before_reading(serve: Serve, both: Both) -> None:
    closed = threading.Event()
    both.close_response(both.open(serve(endless(closed)).url))
    assert closed.wait(10)


@pytest.mark.parametrize("ends", [True, False])
def test_drain(serve: Serve, both: Both, ends: bool) -> None:
    go = threading.Event()

    def handler(peer: Peer) -> None:
        while peer.read()[0]:
            peer.send(CHUNKED + b"6\r\n[DONE]\r\n")
            go.wait(20)
            if ends:
                peer.send(b"0\r\n\r\n")

    server = serve(handler)
    for _ in range(2):
        response = both.open(server.url)
        pieces = both.pieces(response)
        assert next(pieces) == b"[DONE]"
        go.set()
        began = time.monotonic()
        both(response.extensions["drain"](10 if ends else 0.1))
        assert time.monotonic() - began < 9
        both(response.extensions["drain"](10))
        pieces.close()  # type: ignore[attr-defined]
        both.close_response(response)
    assert server.connections == (1 if ends else 2)


def test_dropped_response_closes_the_socket_with_a_warning(serve: Serve, both: Both) -> None:
    closed = threading.Event()
    server = serve(endless(closed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        both.open(server.url)
        gc.collect()
    assert {warning.category for warning in caught} == {ResourceWarning}
    both(asyncio.sleep(0) if both.loop else None)
    assert closed.wait(10)


def test_places_of_ended_responses_are_free_again(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(20, pool=0.1))
    server = serve(lambda peer: endless(threading.Event())(peer))
    for _ in range(3):
        response = both.open(server.url)
        with pytest.raises(httpx.PoolTimeout):
            both.open(server.url)
        both.close_response(response)
        with pytest.raises(httpx.ConnectError):
            both.get("http://127.0.0.1:1/")
        with pytest.raises(httpx.LocalProtocolError):
            both.get(server.url, headers={"x": "\n"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both.open(server.url)
            gc.collect()


def test_cancellation_closes_the_socket(serve: Serve) -> None:
    closed = threading.Event()

    def silent(peer: Peer) -> None:
        peer.read()
        if peer.sees_close():
            closed.set()

    async def main() -> None:
        async with httpx.AsyncClient(transport=AsyncTransport()) as client:
            for url in (serve(silent).url, serve(endless(closed)).url):
                closed.clear()
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.get(url), 0.05)
                assert await asyncio.to_thread(closed.wait, 10)

    asyncio.run(main())


def test_close_from_elsewhere_ends_a_waiting_read(serve: Serve, both: Both) -> None:
    response = both.open(serve(endless(threading.Event())).url)
    assert isinstance(response, httpx.Response)
    if both.loop is None:
        timer = threading.Timer(0.1, response.stream.close)  # type: ignore[union-attr]
        timer.start()
        with pytest.raises(httpx.TransportError):
            list(both.pieces(response))
        timer.join()
    else:

        async def main() -> None:
            asyncio.get_running_loop().call_later(0.1, asyncio.ensure_future, response.stream.aclose())
            with pytest.raises(httpx.TransportError):
                await response.aread()

        both(main())


# Timeouts


def test_connect_errors(both: Both) -> None:
    with pytest.raises(httpx.ConnectError) as caught:
        both.get("http://127.0.0.1:1/")
    assert caught.value.request.url == "http://127.0.0.1:1/"
    with pytest.raises(httpx.ConnectError):
        both.get("http://no-such-host.invalid/")
    with pytest.raises(httpx.ConnectError):
        both.get(f"http://{'a' * 70}.invalid/")


def test_connect_timeout(make: Make) -> None:
    # A listener with a full backlog answers no further connection.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with pytest.raises(httpx.ConnectTimeout):
            make(timeout=httpx.Timeout(20, connect=0.1)).get(f"http://127.0.0.1:{full.getsockname()[1]}/")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 ", CHUNKED, CHUNKED + b"1\r\na\r\n"])
def test_read_timeout(serve: Serve, make: Make, start: bytes) -> None:
    both = make(timeout=httpx.Timeout(20, read=0.1))

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(start)
        assert peer.sees_close()

    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout) as caught:
        both.get(serve(handler).url)
    assert 0.09 < time.monotonic() - began < 10
    assert isinstance(caught.value.request, httpx.Request)


def test_read_timeout_is_for_each_wait(serve: Serve, make: Make) -> None:
    both = make(timeout=httpx.Timeout(20, read=0.5))

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED)
        for _ in range(6):
            time.sleep(0.12)
            peer.send(b"1\r\na\r\n")
        peer.send(b"0\r\n\r\n")

    assert both.get(serve(handler).url).content == b"a" * 6


def test_timeouts_may_change_on_one_connection(serve: Serve, both: Both) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(OK)
        peer.read()
        time.sleep(0.15)
        peer.send(OK)
        peer.read()
        assert peer.sees_close()

    server = serve(handler)
    both.get(server.url, timeout=30)
    both.get(server.url, timeout=None)
    with pytest.raises(httpx.ReadTimeout):
        both.get(server.url, timeout=0.05)


def test_write_timeout(serve: Serve, make: Make) -> None:
    both = make(timeout=httpx.Timeout(20, write=0.1))
    done = threading.Event()
    server = serve(lambda peer: done.wait(20))
    try:
        with pytest.raises(httpx.WriteTimeout):
            both.post(server.url, content=b"x" * 20_000_000)
    finally:
        done.set()


def test_pool_timeout_and_waiting(serve: Serve, make: Make) -> None:
    both = make(limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(20, pool=0.1))
    server = serve()
    response = both.open(server.url)
    list(both.pieces(response))
    first = both.open(server.url)  # has arrived whole, so its connection is free
    second = both.open(server.url)
    for response in (first, second):
        list(both.pieces(response))
    assert server.connections == 1


# Threads, processes, event loops


def test_threads(serve: Serve) -> None:
    server = serve()
    failures: list[BaseException] = []
    with httpx.Client(transport=Transport(), timeout=10) as client:

        def work(number: int) -> None:
            try:
                for i in range(50):
                    assert client.post(f"{server.url}/{number}/{i}", content=b"x").content == b"ok"
            except Exception as exc:  # noqa: BLE001 - asserted below
                failures.append(exc)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert server.connections <= 20


def test_threads_wait_for_their_turn(serve: Serve) -> None:
    server = serve()
    limits = httpx.Limits(max_connections=2)
    with httpx.Client(transport=Transport(limits=limits), timeout=httpx.Timeout(10, pool=None)) as client:
        threads = [
            threading.Thread(target=lambda: [client.get(server.url) for _ in range(20)]) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.connections <= 2


def test_tasks_wait_for_their_turn(serve: Serve) -> None:
    server = serve()

    async def main() -> None:
        transport = AsyncTransport(limits=httpx.Limits(max_connections=2))
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(10, pool=None)) as client:
            await asyncio.gather(*(client.get(server.url) for _ in range(50)))

    asyncio.run(main())
    assert server.connections <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(serve: Serve, both: Both) -> None:
    server = serve()
    both.get(server.url)
    stream = both.open(server.url)
    pid = os.fork()
    if pid == 0:
        try:
            if both.loop is not None:
                both.loop = asyncio.new_event_loop()
            fine = all(both.get(server.url).content == b"ok" for _ in range(3))
            both.close()
        except BaseException:  # noqa: BLE001 - the child must end here
            fine = False
        os._exit(0 if fine else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"".join(both.pieces(stream)) == b"ok"
    both.get(server.url)
    assert server.connections == 2


def test_event_loops_one_after_another(serve: Serve) -> None:
    server = serve()
    transport = AsyncTransport()

    async def main() -> None:
        client = httpx.AsyncClient(transport=transport)
        await asyncio.gather(*(client.get(server.url) for _ in range(3)))
        assert (await client.get(server.url)).content == b"ok"

    for _ in range(3):
        asyncio.run(main())
    assert len(transport._pools) == 1
    asyncio.run(transport.aclose())
    gc.collect()


def test_transports_may_be_dropped(serve: Serve, kind: str) -> None:
    server = serve()
    both = Both(kind)
    both.get(server.url)
    if both.loop is not None:
        both.loop.close()
    del both
    gc.collect()


async def test_garbage_collections_may_come_to_a_socket_first(serve: Serve) -> None:
    """Within one of them, what finalizer runs first is by age, roughly; only a pool's closes its sockets."""
    url, limits = httpx.URL(serve().url), httpx.Limits()
    for pool in (BlockingPool(limits), LoopPool(limits)):
        connection = await pool.connect(url, 5)
        number = connection._sock.fileno()
        connection.itself = connection  # type: ignore[attr-defined]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del connection
            gc.collect()
        assert not caught
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_transport_may_be_dropped_beside_its_loop(serve: Serve) -> None:
    closed = threading.Event()

    def handler(peer: Peer) -> None:
        peer.serve()
        closed.set()

    server = serve(handler)

    async def main() -> None:
        transport = AsyncTransport()
        await httpx.AsyncClient(transport=transport).get(server.url)
        dropped = [transport]
        del transport
        thread = threading.Thread(target=dropped.clear)
        thread.start()
        thread.join()
        gc.collect()
        assert await asyncio.to_thread(closed.wait, 10)

    asyncio.run(main())


def test_event_loops_at_once(serve: Serve) -> None:
    server = serve()
    transport = AsyncTransport()
    failures: list[BaseException] = []

    async def main() -> None:
        client = httpx.AsyncClient(transport=transport, timeout=10)
        for _ in range(2):
            await asyncio.gather(*(client.get(server.url) for _ in range(5)))

    def work() -> None:
        try:
            for _ in range(10):
                asyncio.run(main())
        except Exception as exc:  # noqa: BLE001 - asserted below
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(transport.aclose())
    assert not failures


def test_slow_reader_leaves_the_data_in_the_kernel(serve: Serve) -> None:
    sent: list[int] = []

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            for _ in range(1000):
                peer.send(b"x" * 100_000)
                sent.append(1)

    async def main() -> None:
        client = httpx.AsyncClient(transport=AsyncTransport())
        async with client, client.stream("GET", serve(handler).url) as response:
            async for _ in response.aiter_bytes():
                break
            await asyncio.sleep(0.6)

    asyncio.run(main())
    assert len(sent) < 900


# What the stock transports do


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
    assert stock.made == [{"verify": True, "trust_env": True, "limits": under_test.LIMITS, "proxy": None}]


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
