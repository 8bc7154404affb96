"""Many requests at once: bounded, in order, and none for nothing."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from contextvars import ContextVar

import pytest

from vllm_connect.adapters import (
    Limiter,
    TaskGroup,
    agather_or_cancel,
    closes_with_group,
    gather_or_cancel,
    is_in_event_loop,
)

_context: ContextVar[str] = ContextVar("context", default="")


class Gauge:
    """How many calls go on at once, at the most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_threads_give_results_in_order() -> None:
    assert gather_or_cancel(lambda number: number * 2, range(20)) == [2 * number for number in range(20)]
    assert gather_or_cancel(str, []) == []


def test_only_so_many_threads() -> None:
    gauge, barrier = Gauge(), threading.Barrier(3)

    def call(_: int) -> None:
        with gauge:
            barrier.wait(10)

    gather_or_cancel(call, range(9), 3)
    assert gauge.most == 3


def test_threads_run_in_the_context_of_the_caller() -> None:
    _context.set("mine")
    assert gather_or_cancel(lambda _: _context.get(), range(3)) == ["mine"] * 3


def test_after_an_error_no_thread_begins_another_call() -> None:
    begun: list[int] = []
    slow = threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("no")
        slow.wait(10)

    with pytest.raises(ValueError, match="no"):
        gather_or_cancel(call, range(50), 2)
    slow.set()
    assert len(begun) <= 3  # the thread that failed may have taken one more


async def test_tasks_give_results_in_order() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0.001 * (5 - number))
        return 2 * number

    assert await agather_or_cancel(double, range(5)) == [0, 2, 4, 6, 8]
    assert await agather_or_cancel(double, range(5), 2) == [0, 2, 4, 6, 8]


async def test_only_so_many_tasks() -> None:
    gauge = Gauge()

    async def call(_: int) -> None:
        with gauge:
            await asyncio.sleep(0)

    await agather_or_cancel(call, range(9), 3)
    assert gauge.most == 3


@pytest.mark.parametrize("at_most", [None, 3])
async def test_after_an_error_the_other_tasks_are_cancelled(at_most: int | None) -> None:
    ended: list[int] = []

    async def call(number: int) -> None:
        if number == 1:
            raise ValueError("no")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    with pytest.raises(ValueError, match="no"):
        await agather_or_cancel(call, range(5), at_most)
    begun = 5 if at_most is None else at_most
    assert sorted(ended)[:2] == [0, 2]
    assert len(ended) <= begun


async def test_who_is_cancelled_cancels_the_tasks() -> None:
    ended = []

    async def call(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    task = asyncio.create_task(agather_or_cancel(call, range(3)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1, 2]


async def test_tasks_that_a_framework_leaves_to_themselves_close_with_their_group() -> None:
    ended: list[int] = []
    late: list[asyncio.Task[None]] = []

    async def member(number: int, seconds: float = 0) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            with closes_with_group():
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.append(number)

    async def fail() -> None:
        late.append(asyncio.create_task(member(3, seconds=0.05)))
        await asyncio.sleep(0.01)
        raise ValueError("no")

    async def framework() -> None:
        async with TaskGroup():
            await asyncio.gather(member(1), member(2), fail())

    with pytest.raises(ValueError, match="no"):
        await framework()
    assert sorted(ended) == [1, 2]
    with pytest.raises(asyncio.CancelledError):
        await late[0]
    assert sorted(ended) == [1, 2]  # what comes too late does not begin


async def test_a_group_that_ends_well_cancels_nothing() -> None:
    async def member() -> str:
        with closes_with_group():
            await asyncio.sleep(0)
            return "done"

    async with TaskGroup():
        task = asyncio.create_task(member())
    assert await task == "done"
    assert await member() == "done"  # without a group


async def test_a_limit_is_for_all_tasks_of_a_loop() -> None:
    limiter, gauge = Limiter(), Gauge()

    async def call(_: int) -> None:
        async with limiter.at_most(2):
            with gauge:
                await asyncio.sleep(0)

    await asyncio.gather(agather_or_cancel(call, range(4)), agather_or_cancel(call, range(4)))
    assert gauge.most == 2
    assert limiter.at_most(3) is not limiter.at_most(2)


def test_every_loop_has_a_limit_of_its_own() -> None:
    limiter = Limiter()

    async def enter() -> asyncio.Semaphore:
        async with limiter.at_most(1):
            return limiter.at_most(1)

    assert asyncio.run(enter()) is not asyncio.run(enter())


def test_a_limit_is_neither_copied_nor_pickled() -> None:
    limiter = Limiter()
    for other in (copy.deepcopy(limiter), pickle.loads(pickle.dumps(limiter))):
        assert other is not limiter
        assert other == limiter


async def test_an_event_loop_is_noticed() -> None:
    assert is_in_event_loop()
    assert not await asyncio.to_thread(is_in_event_loop)
