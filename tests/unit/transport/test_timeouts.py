"""Connecting, reading, writing and waiting for a connection take a bounded time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from tests.unit.transport.sockets import CHUNKED, OK, Both, Make, Peer, Serve

from vllm_connect._transport._httpx import httpx


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
