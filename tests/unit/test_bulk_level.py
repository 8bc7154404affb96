"""The level of concurrency, against servers of arithmetic: a batch of so many, each so many seconds long."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_connect._bulk.level import MOST, START, Level


class ModelServer:
    """A server that works on `batch` requests at once; what is beyond that waits."""

    def __init__(
        self,
        batch: int,
        seconds: float = 1.0,
        *,
        refuses_above: int | None = None,
        stands_still_at: int = -1,
        seed: int = 0,
    ) -> None:
        self.batch, self.seconds, self.refuses_above = batch, seconds, refuses_above
        self.random, self.stands_still_at = Random(seed), stands_still_at

    def run(self, level: Level, completions: int) -> tuple[float, list[int]]:
        """Let requests run under the level; returns completions a second of the last half, and all levels."""
        now, running, waiting, done = 0.0, [], 0, 0
        levels, half = [], 0.0
        while done < completions:
            while len(running) + waiting < level.now:
                if self.refuses_above is not None and len(running) + waiting >= self.refuses_above:
                    now += 0.001
                    level.done(now, overloaded=True)
                else:
                    waiting += 1
            while waiting and len(running) < self.batch:
                waiting -= 1
                heapq.heappush(running, now + self.seconds * self.random.uniform(0.8, 1.2))
            if running:
                now = max(now, heapq.heappop(running))
                done += 1
                if done == self.stands_still_at:
                    now += 5 * self.seconds
                half = now if done == completions // 2 else half
                level.done(now)
            levels.append(level.now)
        return (completions - completions // 2) / (now - half), levels


@pytest.mark.parametrize("batch", [1, 3, 8, 40, 128, 256])
def test_throughput_comes_near_the_best(batch: int) -> None:
    level = Level()
    rate, levels = ModelServer(batch).run(level, 6000 + 60 * batch)
    assert rate >= 0.95 * batch
    late = sorted(levels[len(levels) // 2 :])
    assert late[len(late) // 2] <= max(START, 3 * batch)  # and requests do not pile up without end


def test_several_servers_begin_with_more() -> None:
    assert Level(4).now == 4 * Level(1).now
    assert Level(2, most=5).now == 5


def test_an_overload_lowers_the_level_at_once() -> None:
    level = Level(start=8)
    level.done(0.0, overloaded=True)
    assert level.now == 5
    for _ in range(8):  # of the same burst: they began at the level before
        level.done(0.0, overloaded=True)
    assert level.now == 5
    for time in range(1, 60):
        level.done(float(time), overloaded=True)
    assert level.now == 1


def test_a_server_that_refuses_is_not_pressed() -> None:
    _, levels = ModelServer(64, refuses_above=32).run(Level(), 20_000)
    late = levels[len(levels) // 2 :]
    assert sum(level > 32 for level in late) <= 0.1 * len(late)
    assert max(late) >= 16


def test_a_fixed_level_stays() -> None:
    level = Level(fixed=7)
    for time in range(500):
        level.done(float(time), overloaded=time % 3 == 0)
    assert level.now == 7


def test_a_higher_level_is_tried_again_when_a_server_gets_faster() -> None:
    server, level = ModelServer(8), Level()
    server.run(level, 4000)
    small = level.now
    server.batch = 64
    rate, _ = server.run(level, 20_000)
    assert level.now > small
    assert rate >= 0.9 * 64


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=400))
def test_the_level_has_bounds(events: list[tuple[float, bool]]) -> None:
    level, now = Level(2), 0.0
    for seconds, overloaded in events:
        now += seconds
        level.done(now, overloaded=overloaded)
        assert 1 <= level.now <= 2 * MOST


@pytest.mark.parametrize("completion", range(60, 300, 20))
def test_a_moment_of_slowness_does_not_end_the_rise(completion: int) -> None:
    _, levels = ModelServer(64, stands_still_at=completion).run(Level(start=8), 1500)
    assert max(levels) >= 64
