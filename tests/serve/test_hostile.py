"""What no well-meaning client sends: it costs little, reaches no server, and gets a clear status."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import pytest
from tests.serve.conftest import Running, Serve

from vllm_connect.serve.http.server import _raise_file_limit
from vllm_connect.sim import SimServer

BODY: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def sent(gateway: Running, *parts: bytes) -> bytes:
    """What comes back when these are sent, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        received = b""
        try:
            for part in parts:
                sock.sendall(part)
            while data := sock.recv(1 << 16):
                received += data
        except ConnectionError:
            pass
        return received


def request(body: Any = BODY, *headers: bytes, host: bytes = b"localhost", path: bytes = b"") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        b"POST %b HTTP/1.1" % (path or b"/v1/chat/completions"),
        b"Host: %b" % host,
        b"Connection: close",
        b"Content-Length: %d" % len(content),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", content])


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


@pytest.mark.parametrize("start", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/audio/transcriptions", b"/models/providers"])
def test_a_body_that_never_begins(serve: Serve, sim: SimServer, start: bytes, path: bytes) -> None:
    gateway = serve(sim, settings={"body_seconds": 0.3})
    reply = sent(gateway, b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b" % (path, start))
    assert status(reply) == 408
    assert not sim.requests


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (b"5;a=", b"a" * 65536),  # an extension of a chunk
        (b"1\r\n{\r\n0\r\n", b"X-Trailer: %b\r\n" % (b"a" * 1000)),
        (b"1\r\n{\r\n0\r\nX-Trailer: ", b"a" * 65536),
    ],
)
def test_chunks_that_bring_no_body(gateway: Running, sim: SimServer, start: bytes, flood: bytes) -> None:
    reply = sent(gateway, CHUNKED, start, *[flood] * 2000)
    assert not reply.startswith(b"HTTP/1.1 200")
    assert not sim.requests


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED.replace(b"chunked", b"xchunked"),
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
        request(BODY, b"Content-Length: 5"),
        request(BODY, b"X-Session-ID: a\r\n b"),
        request(BODY, b"X-Session-ID: a\rX-B: b"),
        request(BODY, b"X-Session-ID: a\0b"),
        request(BODY, b"Host: evil.example"),
        request(BODY, b"Host: localhost", host=b"evil.example"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
)
def test_what_is_no_http(gateway: Running, sim: SimServer, data: bytes) -> None:
    assert status(sent(gateway, data)) == 400
    assert not sim.requests


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**BODY, "stream": "false"}, "stream"),
        ({**BODY, "stream": 1}, "stream"),
        ({**BODY, "stream": {}}, "stream"),
        ({**BODY, "model": ["llama"]}, "model"),
        ({**BODY, "session_id": "a\nb"}, None),
        (b'{"model":"llama","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"model":"llama","seed":' + b"9" * 5000 + b"}", None),
        (b'{"model":"\\ud800"}', None),
        (b'{"model":"\xff"}', None),
    ],
)
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/responses"])
def test_bodies_that_are_wrong(
    gateway: Running, sim: SimServer, path: bytes, body: Any, param: str | None
) -> None:
    reply = sent(gateway, request(body, path=path))
    assert status(reply) == 400
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["param"] == param
    assert not sim.requests


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "baggage", "X-Request-Id", "x-session-token"])
def test_headers_that_go_on_and_are_not_ascii(gateway: Running, sim: SimServer, name: str) -> None:
    assert status(sent(gateway, request(BODY, name.encode() + b": \xff\xe9"))) == 200
    assert "\xff" not in str(sim.requests[-1].headers)


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/models/providers/vllm"])
@pytest.mark.parametrize(
    "origin", [b"Origin: null", b"Origin: http://evil.example", b"Sec-Fetch-Site: cross-site"]
)
def test_forms_of_other_sites(
    gateway: Running, sim: SimServer, content_type: bytes, path: bytes, origin: bytes
) -> None:
    before = gateway.file.path.read_text()
    reply = sent(gateway, request(BODY, b"Content-Type: " + content_type, origin, path=path))
    assert status(reply) == 403
    assert not sim.requests
    assert gateway.file.path.read_text() == before


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"localhost.", 200), (b"localhost.:80", 200), (b"127.0.0.1", 200), (b"[::1]", 200),
        (b"localhost..", 421), (b"evil.example", 421), (b"evil.example.", 421), (b"127.1", 421),
        (b"0.0.0.0", 421), (b"2130706433", 421), (b"localhost, evil.example", 421), (b"", 421),
        (b"localhost@evil.example", 421), (b"127.0.0.1.evil.example", 421), (b"[::1].evil.example", 421),
    ],
)  # fmt: skip
def test_hosts(gateway: Running, host: bytes, expected: int) -> None:
    assert status(sent(gateway, request(BODY, host=host))) == expected


@pytest.mark.parametrize(
    "path",
    [b"//v1/chat/completions", b"/v1//chat/completions", b"/static/../app.py", b"/static/%2e%2e/app.py",
     b"/static/..%2f..%2fgateway.py", b"/v1/chat/completions/"],
)  # fmt: skip
def test_paths_that_are_none(gateway: Running, sim: SimServer, path: bytes) -> None:
    for method in (b"GET", b"POST"):
        assert status(sent(gateway, request(BODY, path=path).replace(b"POST", method, 1))) == 404
    assert not sim.requests


@pytest.mark.parametrize(
    "value",
    [b"Bearer", b"Bearer ", b"bearer wrong", b"Basic", b"Basic !!!", b"Basic OnNr", b"sk-one", b"\xff"],
)
def test_odd_credentials(serve: Serve, sim: SimServer, value: bytes) -> None:
    gateway = serve(sim, settings={"api_keys": ("sk-one",)})
    assert status(sent(gateway, request(BODY, b"Authorization: " + value))) == 401
    assert not sim.requests


def test_pipelined_requests_are_answered_in_their_order(gateway: Running) -> None:
    bodies = [{**BODY, "stream": True}, BODY, {**BODY, "stream": True}]
    parts = [request(body).replace(b"Connection: close\r\n", b"") for body in bodies[:-1]]
    reply = sent(gateway, b"".join([*parts, request(bodies[-1])]))
    kinds = [part.split(b";")[0].split(b"\r\n")[0] for part in reply.split(b"content-type: ")[1:]]
    assert kinds == [b"text/event-stream", b"application/json", b"text/event-stream"]
    assert reply.count(b"data: [DONE]") == 2


def test_many_idle_connections_leave_room_for_a_request(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim, settings={"max_connections": 600, "head_seconds": 20})
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(500)]
    try:
        assert gateway.post("/v1/chat/completions", BODY).status_code == 200
    finally:
        for sock in idle:
            sock.close()


def test_the_limit_of_open_files_is_raised() -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(512, before[1])
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
        _raise_file_limit(soft + 100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(soft + 100, before[1])
        _raise_file_limit(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"identity, gzip", b"GZIP"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/audio/transcriptions"])
def test_a_compressed_body(gateway: Running, sim: SimServer, encoding: bytes, path: bytes) -> None:
    body = gzip.compress(json.dumps(BODY).encode())
    reply = sent(gateway, request(body, b"Content-Encoding: %b" % encoding, path=path))
    assert status(reply) == 415
    assert b"must not be compressed" in reply
    assert b"accept-encoding: identity\r\n" in reply
    assert not sim.requests


def test_a_body_that_says_that_it_is_not_compressed(gateway: Running) -> None:
    assert status(sent(gateway, request(BODY, b"Content-Encoding: identity"))) == 200


class TestAbsoluteTarget:
    """A target with a host of its own, as proxies are sent: Host says nothing then (RFC 9112, 3.2.2)."""

    @pytest.mark.parametrize(
        "target", [b"http://evil.example", b"http://evil.example:80", b"http://10.0.0.1"]
    )
    def test_of_another_host(self, gateway: Running, sim: SimServer, target: bytes) -> None:
        reply = sent(gateway, request(path=target + b"/v1/chat/completions"))
        assert status(reply) == 421
        assert not sim.requests

    @pytest.mark.parametrize("target", [b"http://localhost", b"http://127.0.0.1:8080", b"http://[::1]:80"])
    def test_of_its_own(self, gateway: Running, target: bytes) -> None:
        reply = sent(gateway, request(host=b"evil.example", path=target + b"/v1/chat/completions"))
        assert status(reply) == 200


class TestHTTP10:
    """HTTP/1.0, which nginx speaks to what stands behind it unless told otherwise, has no chunks."""

    @staticmethod
    def ask(gateway: Running, body: Any) -> tuple[bytes, bytes]:
        """Head and content of a reply, whose end is the connection's."""
        data = request(body).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Connection: close\r\n", b"")
        head, _, content = sent(gateway, data).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        return head, content

    def test_a_stream(self, gateway: Running) -> None:
        text = "some words " * 40
        body = {**BODY, "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 60}
        head, content = self.ask(gateway, body)
        assert status(head) == 200
        assert b"content-length" not in head.lower()
        whole = gateway.post("/v1/chat/completions", body).text
        assert content.endswith(b"data: [DONE]\n\n")
        assert len(whole.split("\n\n")) == len(content.split(b"\n\n")) > 10
        assert all(event.startswith(b"data: ") for event in content.split(b"\n\n") if event)

    def test_a_stream_that_breaks(self, gateway: Running, sim: SimServer) -> None:
        sim.fail_always("cut")
        _, content = self.ask(gateway, {**BODY, "stream": True})
        assert b'"error"' in content
        assert b"[DONE]" not in content

    def test_a_whole_answer(self, gateway: Running) -> None:
        head, content = self.ask(gateway, BODY)
        assert b"content-length: %d\r\n" % len(content) in head
        assert json.loads(content)["choices"]
