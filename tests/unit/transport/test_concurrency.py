"""Threads, processes, event loops, and garbage collection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import warnings

import pytest
from tests.unit.transport.sockets import Both, Peer, Serve

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport, Transport
from vllm_connect._transport.pool import BlockingPool, LoopPool


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
    for kind in (BlockingPool, LoopPool):
        pool = kind(limits)
        connection = await pool.connect(url, 5)
        number = connection._sock.fileno()
        inode = os.fstat(number).st_ino
        connection.itself = connection  # type: ignore[attr-defined]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del connection, pool
            gc.collect()
        assert not caught
        with contextlib.suppress(OSError):  # else another thread was given the number
            assert os.fstat(number).st_ino != inode


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
