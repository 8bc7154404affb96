"""Gathering without a fixed bound: as many requests at once as the servers do best with.

The servers are of arithmetic, with a clock of their own: so many requests make a batch, which takes so long.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from vllm_connect._bulk import limit as limits
from vllm_connect._bulk.level import START
from vllm_connect.adapters import Limiter, agather_or_cancel, gather_or_cancel
from vllm_connect.types import ServerStatus

_EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Servers:
    """What gathering knows of a client.

    Attributes:
        reason: why the only server rests.
        since: when it began to.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self.reason, self.since = "", _EPOCH

    def servers(self) -> list[ServerStatus]:
        state: Any = "resting" if self.reason else "healthy"
        return [
            ServerStatus(f"key {number}", None, state, self.since, None, self.reason, 0, 0, ())
            for number in range(self._count)
        ]


class BatchServer:
    """Answers a batch of requests at a time.

    Attributes:
        batch: requests in one.
        most: requests at once, at the most.
        levels: requests at once, whenever a batch begins.
        later: after how many batches, and how many requests are in one from then on.
    """

    def __init__(self, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batch = batch
        self.most = 0
        self.levels: list[int] = []
        self.later: tuple[int, int] | None = None
        self._clock = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        monkeypatch.setattr(limits, "monotonic", lambda: self._clock)

    async def answer(self, number: int) -> int:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.most = max(self.most, len(self._waiting))
        await turn
        return number

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        worker = asyncio.create_task(self._run())
        try:
            yield
        finally:
            worker.cancel()

    async def _run(self) -> None:
        while True:
            for _ in range(4):  # whoever has an answer asks again
                await asyncio.sleep(0)
            self.levels.append(len(self._waiting))
            if self.later is not None and len(self.levels) == self.later[0]:
                self.batch = self.later[1]
            batch, self._waiting = self._waiting[: self.batch], self._waiting[self.batch :]
            self._clock += 0.1
            for turn in batch:
                if not turn.done():
                    turn.set_result(None)


Gather = Callable[[BatchServer, Any, int], Awaitable[list[int]]]


async def _gathered(server: BatchServer, client: Any, count: int) -> list[int]:
    return await agather_or_cancel(server.answer, range(count), client=client)


async def _limited(server: BatchServer, client: Any, count: int) -> list[int]:
    limiter = Limiter()

    async def ask(number: int) -> int:
        async with limiter.at_most(None, client):
            return await server.answer(number)

    return await asyncio.gather(*map(ask, range(count)))


both = pytest.mark.parametrize("gather", [_gathered, _limited])


@both
@pytest.mark.parametrize("batch", [4, 32, 200])
async def test_the_level_is_found(gather: Gather, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(batch, monkeypatch)
    async with server.running():
        assert await gather(server, Servers(), 8000) == list(range(8000))
    late = server.levels[len(server.levels) // 2 : -20]
    assert batch <= max(late) <= 3 * batch
    assert server.levels[0] == START


@both
async def test_it_falls_where_waiting_grows(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(64, monkeypatch)

    server.later = (100, 4)  # the same work in sixteen times the time
    async with server.running():
        assert await gather(server, Servers(), 20_000) == list(range(20_000))
    assert max(server.levels[:100]) >= 60
    late = server.levels[-1000:-20]
    assert sum(late) / len(late) < 40


@both
async def test_it_falls_where_servers_refuse(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries refused requests again, unseen: how the servers are doing tells of them."""
    server, client = BatchServer(1000, monkeypatch), Servers()

    async def refuse() -> None:
        while True:
            await asyncio.sleep(0)
            if server.levels and server.levels[-1] > 30:
                client.reason, client.since = "429: too many", client.since + timedelta(seconds=1)

    async with server.running():
        refusing = asyncio.create_task(refuse())
        assert await gather(server, client, 4000) == list(range(4000))
        refusing.cancel()
    late = server.levels[len(server.levels) // 2 : -20]
    assert max(late) < 100  # it would be 500 and more


async def test_several_servers_begin_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(1000, monkeypatch)
    async with server.running():
        await agather_or_cancel(server.answer, range(100), client=Servers(3))  # type: ignore[arg-type]
        assert server.levels[0] == 3 * START
        await agather_or_cancel(server.answer, range(100), client=Servers(2), start=30)  # type: ignore[arg-type]
        assert server.most == 60


async def test_a_number_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(1000, monkeypatch)
    async with server.running():
        await agather_or_cancel(server.answer, range(2000), 5, client=Servers())  # type: ignore[arg-type]
    assert server.most == 5


async def test_who_waits_may_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's turn is lost, be it cancelled while it waits or just when it is let in."""
    server, limiter, chance = BatchServer(3, monkeypatch), Limiter(), random.Random(1)
    client: Any = Servers()
    inside = 0

    async def ask(number: int) -> int:
        nonlocal inside
        async with limiter.at_most(None, client):
            inside += 1
            try:
                return await server.answer(number)
            finally:
                inside -= 1

    async with server.running():
        tasks = [asyncio.create_task(ask(number)) for number in range(600)]
        for _ in range(60):
            await asyncio.sleep(0)
            for task in chance.sample(tasks, 5):
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in results if isinstance(each, int)] != []
        assert inside == 0
        assert await asyncio.gather(*(ask(number) for number in range(50))) == list(range(50))


def test_a_limit_wants_a_number_or_a_client() -> None:
    async def enter() -> None:
        Limiter().at_most(None)

    with pytest.raises(ValueError, match="pass a number, or the client"):
        asyncio.run(enter())


def test_threads() -> None:
    now = most = 0
    lock, barrier = threading.Lock(), threading.Barrier(START)

    def call(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        barrier.wait(10)
        with lock:
            now -= 1
        return number

    client: Any = Servers()
    assert gather_or_cancel(call, range(2 * START), None, client=client) == list(range(2 * START))
    assert most == START


def test_threads_end_with_the_first_error() -> None:
    begun: list[int] = []
    slow = threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        if number == 5:
            raise ValueError("no")
        slow.wait(10)

    client: Any = Servers()
    with pytest.raises(ValueError, match="no"):
        gather_or_cancel(call, range(100), None, client=client)
    slow.set()
    assert len(begun) <= START + 1
