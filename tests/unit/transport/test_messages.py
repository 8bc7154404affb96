"""Requests and responses: framings, bodies, hosts."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from tests.unit.transport.sockets import CHUNKED, OK, Both, Peer, Serve, streamed

from vllm_connect._transport._httpx import httpx


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


@pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x46"], ids=["nothing", "an alert"])
def test_plain_http_to_a_server_that_speaks_tls(serve: Serve, both: Both, answer: bytes) -> None:
    """uvicorn ends the connection, others send a TLS alert; what to change is told either way."""

    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(answer)

    with pytest.raises(httpx.RemoteProtocolError, match="URL must begin with https://"):
        both.get(serve(handler).url)


def test_tls_to_a_server_that_speaks_plain_http(serve: Serve, both: Both) -> None:
    def handler(peer: Peer) -> None:
        peer.sock.recv(1 << 16)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(httpx.ConnectError, match="URL must begin with http://"):
        both.get(serve(handler).url.replace("http://", "https://"))
