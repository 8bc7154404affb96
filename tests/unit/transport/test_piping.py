"""A body piped to a sink in the turns of the event loop is the same, and ends or breaks in the same way."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.unit.transport.sockets import CHUNKED, Peer, Serve

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport

if sys.platform == "win32":
    LOOPS = [asyncio.new_event_loop]
else:
    import uvloop

    LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

Main = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine with a client, on each kind of loop."""

    def run(main: Main, timeout: httpx.Timeout | None = None) -> None:
        async def with_client() -> None:
            transport = AsyncTransport()
            async with httpx.AsyncClient(transport=transport, timeout=timeout or httpx.Timeout(20)) as client:
                await main(client)

        loop = request.param()
        try:
            loop.run_until_complete(with_client())
        finally:
            loop.close()

    return run


async def opened(client: httpx.AsyncClient, url: str) -> httpx.Response:
    return await client.send(client.build_request("GET", url), stream=True)


def collect(received: list[bytes]) -> Callable[[bytes], bool]:
    return lambda part: received.append(part) is None


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_parts_arrive_one_by_one_and_the_connection_is_kept(run: Run, serve: Serve) -> None:
    parts = [b"a" * size for size in (1, 15, 16, 255, 4096)]

    def handler(peer: Peer) -> None:
        while peer.read()[0]:
            peer.send(CHUNKED + chunk(b"first"))
            for part in parts:
                time.sleep(0.01)
                peer.send(chunk(part))
            peer.send(b"0\r\n\r\n")

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            response = await opened(client, server.url)
            received: list[bytes] = []
            assert not await response.extensions["pipe"](collect(received))
            assert b"".join(received) == b"first" + b"".join(parts)
            await response.aclose()
        assert server.connections == 1

    run(main)


def test_a_sink_that_has_enough_is_given_the_rest_later(run: Run, serve: Serve) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED)
        for number in range(5):
            time.sleep(0.02)
            peer.send(chunk(b"%d" % number))
        peer.send(b"0\r\n\r\n")

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        response = await opened(client, server.url)
        received: list[bytes] = []

        def one(part: bytes) -> bool:
            received.append(part)
            return False

        while await response.extensions["pipe"](one):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # more arrives meanwhile
        assert b"".join(received) == b"01234"

    run(main)


@pytest.mark.parametrize("how", ["closed", "reset", "nonsense"])
def test_a_broken_body_is_an_error_after_what_came(run: Run, serve: Serve, how: str) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED + chunk(b"a"))
        time.sleep(0.05)
        peer.send(chunk(b"b") + (b"zz\r\n" if how == "nonsense" else b""))
        if how == "reset":
            peer.reset()
        elif how == "nonsense":
            assert peer.sees_close()

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        response = await opened(client, server.url)
        received: list[bytes] = []
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await response.extensions["pipe"](collect(received))
        assert received[0] == b"a"
        assert how == "nonsense" or b"".join(received) == b"ab"
        assert response.stream is not None
        await response.aclose()

    run(main)


def test_the_timeout_is_for_each_part(run: Run, serve: Serve) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED)
        for _ in range(6):
            time.sleep(0.12)
            peer.send(chunk(b"a"))
        assert peer.sees_close()

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        response = await opened(client, server.url)
        received: list[bytes] = []
        with pytest.raises(httpx.ReadTimeout):
            await response.extensions["pipe"](collect(received))
        assert b"".join(received) == b"aaaaaa"

    run(main, httpx.Timeout(20, read=0.5))


def test_what_a_sink_raises_is_raised_and_ends_the_connection(run: Run, serve: Serve) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED)
        time.sleep(0.02)
        peer.send(chunk(b"a"))
        assert peer.sees_close()

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        response = await opened(client, server.url)

        def broken(_: bytes) -> bool:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            await response.extensions["pipe"](broken)

    run(main)


def test_a_cancelled_pipe_ends_the_connection(run: Run, serve: Serve) -> None:
    def handler(peer: Peer) -> None:
        peer.read()
        peer.send(CHUNKED + chunk(b"a"))
        assert peer.sees_close()

    server = serve(handler)

    async def main(client: httpx.AsyncClient) -> None:
        response = await opened(client, server.url)
        piping = asyncio.ensure_future(response.extensions["pipe"](lambda _: True))
        await asyncio.sleep(0.05)
        piping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await piping

    run(main)
