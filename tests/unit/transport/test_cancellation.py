"""A task may be cancelled in any turn of the loop: the request ends, and its place is free.

Up to Python 3.11, `asyncio.wait_for` and `asyncio.Semaphore` may forget a cancellation that comes in the turn
in which what they wait for is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.clients import AsyncTransport

TURNS = range(26)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a body that has no end."""
    with suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\na\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)


async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server in the same loop, so that connections are made within turns that can be counted."""
    tasks: set[asyncio.Task[None]] = set()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]  # there is one here
        with suppress(asyncio.CancelledError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=512)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def client_of(most: int) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=4)
    async with httpx.AsyncClient(transport=AsyncTransport(limits=limits), timeout=20) as client:
        yield client


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancel_after(count: int, awaitable: Awaitable[object]) -> None:
    """Cancel in a certain turn, and see that it ends thereby."""
    task = asyncio.ensure_future(awaitable)
    await turns(count)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done, f"cancelled after {count} turns of the loop, the request went on"
    assert task.cancelled()


def test_cancellation_while_connecting_is_not_lost() -> None:
    async def main() -> None:
        async with serving(endless) as url:
            for count in TURNS:
                async with client_of(1) as client:
                    await cancel_after(count, client.get(url))

    asyncio.run(main())


def test_cancellation_while_a_host_name_is_looked_up_is_not_lost() -> None:
    async def main() -> None:
        async with serving(endless) as url:
            for count in TURNS:
                async with client_of(1) as client:
                    await cancel_after(count, client.get(url.replace("127.0.0.1", "localhost")))

    asyncio.run(main())


@pytest.mark.parametrize("given_first", [True, False])
def test_cancellation_while_waiting_for_a_place_loses_neither(given_first: bool) -> None:
    """Whether the place is given before the task is cancelled, or in the same turn after it."""

    async def main() -> None:
        async with serving(endless) as url, client_of(1) as client:
            for count in range(4):
                busy = await client.send(client.build_request("GET", url), stream=True)
                waiting = asyncio.ensure_future(client.get(url))
                await turns(12)
                if given_first:
                    await busy.aclose()
                    await turns(count)
                    waiting.cancel()
                else:
                    waiting.cancel()
                    await busy.aclose()
                done, _ = await asyncio.wait([waiting], timeout=10)
                assert done
                assert waiting.cancelled()
                # The one place is free again:
                again = await asyncio.wait_for(client.send(client.build_request("GET", url), stream=True), 10)
                await again.aclose()

    asyncio.run(main())


def test_places_are_given_in_turn_and_late_is_a_timeout() -> None:
    async def main() -> None:
        async with serving(short) as url, client_of(2) as client:
            order: list[int] = []

            async def ask(number: int) -> None:
                await client.get(url)
                order.append(number)

            tasks = [asyncio.ensure_future(ask(number)) for number in range(20)]
            await turns(3)
            for task in tasks[4::3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert sorted(order) == order

            pool = next(iter(client._transport._pools.values()))  # type: ignore[attr-defined]
            await pool._enter(None)
            await pool._enter(None)
            with pytest.raises(httpx.PoolTimeout):
                await client.get(url, timeout=httpx.Timeout(20, pool=0.02))
            pool._leave()
            assert (await client.get(url)).content == b"ok"

    asyncio.run(main())


def test_timeouts_around_many_streams_at_once_all_end_them() -> None:
    async def main() -> None:
        async with serving(endless) as url, client_of(150) as client:

            async def read() -> str:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(client.get(url), 0.05)
                    return "came to an end"
                return "timed out"

            tasks = [asyncio.ensure_future(read()) for _ in range(200)]
            done, hanging = await asyncio.wait(tasks, timeout=30)
            for task in hanging:
                task.cancel()
            assert not hanging
            assert {task.result() for task in done} == {"timed out"}
            # No place was lost: as many streams as there are places can be open at once.
            streams = [await client.send(client.build_request("GET", url), stream=True) for _ in range(150)]
            for stream in streams:
                await stream.aclose()

    asyncio.run(main())
