"""`kill -9` of one of two live servers: no call that had handed nothing over is lost, and it comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scripts.live.processes import kill, start_again

from vllm_connect import VLLM, AsyncVLLM, IncompleteStreamError, Key

THREADS, TASKS, CALLS = 8, 32, 4
TOKENS = 48


class Calls:
    """What came of many calls at once; the server is killed when enough of them are through."""

    def __init__(self, kill_after: int, kill_now: Callable[[], None]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._lock = threading.Lock()
        self._left = kill_after
        self._kill_now = kill_now

    def ended(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            self._left -= 1
            is_time = self._left == 0
        if is_time:
            self._kill_now()

    def failed(self, error: Exception, chunks: int) -> None:
        if isinstance(error, IncompleteStreamError) and chunks and error.key_name == "twin":
            self.ended("stream broken after its first event")
        else:
            with self._lock:
                self.unexpected.append(f"{type(error).__name__} after {chunks} chunks: {error}")


def request(number: int) -> dict[str, Any]:
    text = f"Say: {number} " + "word " * 20
    return {
        "model": "tiny-chat",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TOKENS,
        "ignore_eos": True,
    }


def call(client: VLLM, calls: Calls, number: int) -> None:
    chunks = 0
    try:
        if number % 2:
            for chunk in client.chat.completions.create(**request(number), stream=True):
                chunks += bool(chunk.choices)
            assert chunks > 1
        else:
            reply = client.chat.completions.create(**request(number))
            assert reply.usage is not None
            assert reply.usage.completion_tokens == TOKENS
    except Exception as error:  # noqa: BLE001  # each is looked at
        calls.failed(error, chunks)
    else:
        calls.ended("whole stream" if number % 2 else "whole answer")


async def acall(client: AsyncVLLM, calls: Calls, number: int) -> None:
    chunks = 0
    try:
        if number % 2:
            async for chunk in await client.chat.completions.create(**request(number), stream=True):
                chunks += bool(chunk.choices)
            assert chunks > 1
        else:
            reply = await client.chat.completions.create(**request(number))
            assert reply.usage is not None
            assert reply.usage.completion_tokens == TOKENS
    except Exception as error:  # noqa: BLE001  # each is looked at
        calls.failed(error, chunks)
    else:
        calls.ended("whole stream" if number % 2 else "whole answer")


def test_a_server_is_killed_and_comes_back(chat_url: str, twin_url: str, capsys: Any) -> None:
    keys = [Key(name="chat", url=chat_url), Key(name="twin", url=twin_url)]
    total = (THREADS + TASKS) * CALLS
    calls = Calls(total // 3, lambda: kill("twin"))
    client = VLLM(keys=keys, max_retries=0)

    async def tasks() -> None:
        async with AsyncVLLM(keys=keys, max_retries=0) as aclient:

            async def several(task: int) -> None:
                for turn in range(CALLS):
                    await acall(aclient, calls, task * CALLS + turn)

            await asyncio.gather(*(several(task) for task in range(TASKS)))

    with ThreadPoolExecutor(THREADS + 1) as pool:
        running = pool.submit(asyncio.run, tasks())
        for _ in pool.map(lambda number: call(client, calls, number), range(THREADS * CALLS)):
            pass
        running.result()
    with capsys.disabled():
        print(f"\nkill -9 under {THREADS} threads and {TASKS} tasks: {dict(calls.outcomes)}")
    assert calls.unexpected == []
    assert calls.outcomes.total() == total
    (status,) = (status for status in client.servers() if status.key_name == "twin")
    assert status.state == "resting"

    come_back(client, start_again("twin"), capsys)


def come_back(client: VLLM, wait_until_it_answers: Callable[[], None], capsys: Any) -> None:
    """Go on calling while the server starts; see when it gets traffic, and through how many probes."""
    threading.Thread(target=(ready := _Ready(wait_until_it_answers)).run, daemon=True).start()
    together: list[int] = []  # requests on the server at once, while it was being tried
    until, back = 0.0, 0.0
    done = threading.Event()

    def traffic(number: int) -> None:
        while not done.is_set():
            client.chat.completions.create(**{**request(number), "max_tokens": 4})

    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(THREADS):
            pool.submit(traffic, number)
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            (twin,) = (status for status in client.servers() if status.key_name == "twin")
            if twin.state == "probing":
                together.append(twin.in_flight)
            if twin.state == "healthy":
                back = time.monotonic()
                break
            if ready.at and not until and twin.until is not None:
                until = ready.at + max(0.0, twin.until.timestamp() - time.time())
            time.sleep(0.001)
        done.set()
    assert back, "it did not come back"
    expected = until or ready.at or back
    with capsys.disabled():
        after = back - (ready.at or back)
        print(f"back {after:.1f} s after it answered, {back - expected:+.1f} s after its rest")
    assert back <= expected + 1
    assert together
    assert set(together) == {1}


class _Ready:
    """When the server answers again."""

    def __init__(self, wait_until_it_answers: Callable[[], None]) -> None:
        self._wait = wait_until_it_answers
        self.at = 0.0

    def run(self) -> None:
        self._wait()
        self.at = time.monotonic()
