"""Responses that are closed, dropped or cancelled before their end."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.transport.sockets import CHUNKED, OK, Both, Make, Peer, Serve

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport
from vllm_connect._transport.connections import BlockingConnection
from vllm_connect._transport.run import run


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


async def read(response: httpx.Response) -> bytes:
    return await response.aread()


@pytest.mark.parametrize("closes", ["response", "client"])
def test_close_from_another_thread_ends_a_waiting_read(serve: Serve, both: Both, closes: str) -> None:
    """At once, while the read timeout is far away; and the server sees it."""
    closed = threading.Event()
    response = both.open(serve(endless(closed)).url)
    stream: Any = response.stream
    if both.loop is None:
        closer = threading.Timer(0.1, stream.close if closes == "response" else both.client.close)
        closer.start()
        with pytest.raises(httpx.ReadError, match=r"closed by another thread|the client was closed"):
            list(both.pieces(response))
        closer.join()
    else:

        def close() -> None:
            asyncio.run(stream.aclose() if closes == "response" else both.transport.aclose())

        closer = threading.Timer(0.1, close)
        closer.start()
        with pytest.raises(httpx.ReadError, match=r"closed by another task|the client was closed"):
            both(read(response))
        closer.join()
    assert closed.wait(10)


def test_close_from_another_task_ends_a_waiting_read(serve: Serve) -> None:
    url = serve(endless(threading.Event())).url

    async def main() -> None:
        async with httpx.AsyncClient(transport=AsyncTransport(), timeout=20) as client:
            response = await client.send(client.build_request("GET", url), stream=True)
            body: Any = response.stream
            reader = asyncio.ensure_future(read(response))
            await asyncio.sleep(0.1)
            await body.aclose()
            with pytest.raises(httpx.ReadError, match="closed by another task"):
                await reader
            with pytest.raises(httpx.ReadError, match="closed by another task"):
                await anext(aiter(body))

    asyncio.run(main())


def test_request_on_a_connection_that_was_closed_by_its_user_is_not_repeated(
    serve: Serve, both: Both
) -> None:
    """Unlike one on a connection that the server closed."""
    requests = []

    def handler(peer: Peer) -> None:
        while head := peer.read()[0]:
            requests.append(head)
            if len(requests) == 1:
                peer.send(OK)

    url = serve(handler).url
    both.get(url)
    close = both.transport.close if both.loop is None else lambda: asyncio.run(both.transport.aclose())
    closer = threading.Timer(0.1, close)
    closer.start()
    with pytest.raises(httpx.ReadError, match="the client was closed"):
        both.get(url)
    closer.join()
    assert len(requests) == 2


def test_descriptor_is_closed_by_the_thread_that_waits_on_it() -> None:
    """Its number might otherwise be another connection's by the time that thread looks at it again."""
    ours, theirs = socket.socketpair()
    with theirs:
        connection = BlockingConnection(ours, b"peer")
        with connection._in_use:  # as while it waits
            connection.close()
            assert ours.fileno() != -1
            assert theirs.recv(1) == b""
        with pytest.raises(ConnectionAbortedError, match="closed by another thread"):
            run(connection.receive(5))
        assert ours.fileno() == -1
