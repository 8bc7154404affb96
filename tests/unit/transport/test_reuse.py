"""Connections that are used again, and what may go wrong with them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.transport.sockets import CHUNKED, OK, Both, Make, Peer, Serve, streamed

from vllm_connect._transport._httpx import httpx


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
