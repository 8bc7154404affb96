"""Responses that are closed, dropped or cancelled before their end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Callable

import pytest
from tests.unit.transport.sockets import CHUNKED, Both, Make, Peer, Serve

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport


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
