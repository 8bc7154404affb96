"""What is compared. The sides of a scenario, the stock SDK first and ours last, take turns round by round."""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from statistics import median
from typing import Any, NamedTuple

import openai

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect._keys.fleet import Fleet
from vllm_connect._keys.health import Failure

from .server import BURST, PACED, VECTORS

STOCK, AIOHTTP, OURS = "stock SDK", "stock SDK on aiohttp", "vllm-connect"


# Name -> what does one round and tells what it cost.
Sides = dict[str, Callable[[], float]]


class Row(NamedTuple):
    """One line of the result: ours beside another side."""

    scenario: str
    against: str
    unit: str
    theirs: float
    ours: float
    goal: float | None
    goal_is_ratio: bool

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def on_top(self) -> float:
        return self.ours - self.theirs

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.goal_is_ratio else self.on_top <= self.goal


class Scenario:
    """One comparison.

    Args:
        title: of its line in the table.
        unit: of what the sides measure.
        goal: how many times less we aim at, or with `goal_is_ratio=False` how much more we allow ourselves.
        sides: what to run.
    """

    def __init__(
        self,
        title: str,
        unit: str,
        goal: float | None,
        sides: Sides,
        goal_is_ratio: bool = True,
    ) -> None:
        self.title = title
        self._unit = unit
        self._goal = goal
        self._goal_is_ratio = goal_is_ratio
        self._sides = sides

    def run(self, rounds: int) -> list[Row]:
        costs: dict[str, list[float]] = {name: [] for name in self._sides}
        for count in range(rounds + 1):
            for name, measure in self._sides.items():
                cost = measure()
                if count:  # the first round is the warm-up
                    costs[name].append(cost)
        ours = median(costs.pop(OURS))
        return [
            Row(self.title, name, self._unit, median(theirs), ours,
                self._goal if name == STOCK else None, self._goal_is_ratio)
            for name, theirs in costs.items()
        ]  # fmt: skip


class Work(NamedTuple):
    """The calls of one round.

    Attributes:
        method: e.g. "chat.completions.create".
        arguments: of each call.
        calls: how many.
        units: how many chunks or requests each of them is.
        finish: what a user does with the result.
    """

    method: str
    arguments: dict[str, Any]
    calls: int
    units: int = 1
    finish: Callable[[Any], object] = bool


def _do(client: Any, work: Work) -> None:
    method = attrgetter(work.method)(client)
    for _ in range(work.calls):
        result = method(**work.arguments)
        if "stream" in work.arguments:
            assert sum(1 for _ in result) == work.units
        else:
            work.finish(result)


async def _ado(client: Any, work: Work) -> None:
    method = attrgetter(work.method)(client)
    for _ in range(work.calls):
        result = await method(**work.arguments)
        if "stream" in work.arguments:
            count = 0
            async for _ in result:
                count += 1
            assert count == work.units
        else:
            work.finish(result)


def cpu_time() -> float:
    """Seconds of CPU, user and system, that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(run: Callable[[], object], units: float) -> float:
    """The CPU time that a run costs for each of its units."""
    gc.collect()
    before = cpu_time()
    run()
    return (cpu_time() - before) / units


class Clients:
    """The clients of both sides, each made once, as a program would."""

    def __init__(self, url: str) -> None:
        stock: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none"}
        self._loop = asyncio.new_event_loop()
        self._sync: dict[str, Any] = {STOCK: openai.OpenAI(**stock), OURS: VLLM(url)}
        self._async: dict[str, Any] = {STOCK: openai.AsyncOpenAI(**stock), OURS: AsyncVLLM(url)}
        try:
            on_aiohttp = openai.AsyncOpenAI(**stock, http_client=openai.DefaultAioHttpClient())
        except RuntimeError:  # aiohttp is not installed
            return
        self._async = {STOCK: self._async[STOCK], AIOHTTP: on_aiohttp, OURS: self._async[OURS]}

    def close(self) -> None:
        for client in self._sync.values():
            client.close()
        for client in self._async.values():
            self._loop.run_until_complete(client.close())
        self._loop.close()

    def scenarios(
        self,
        title: str,
        unit: str,
        work: Work,
        goal: float,
        *,
        async_goal: float | None = None,
        our_work: Work | None = None,
    ) -> list[Scenario]:
        """A sync and an async scenario of the same work."""
        units = work.calls * work.units / {"µs": 1e6, "ms": 1e3}[unit]

        def sides(clients: dict[str, Any], run: Callable[[Any, Work], object]) -> Sides:
            works = {OURS: our_work or work}
            return {
                name: partial(measured, partial(run, client, works.get(name, work)), units)
                for name, client in clients.items()
            }

        def run_async(client: Any, work: Work) -> None:
            self._loop.run_until_complete(_ado(client, work))

        return [
            Scenario(f"{title}, sync", unit, goal, sides(self._sync, _do)),
            Scenario(f"{title}, async", unit, async_goal or goal, sides(self._async, run_async)),
        ]


_CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant."},
    *(
        {"role": role, "content": f"Turn {turn}: {'the quick brown fox jumps over the lazy dog. ' * 4}"}
        for turn in range(1, 21)
        for role in ("user", "assistant")
    ),
][:40]
_QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
_TEXTS = [f"Text number {i} is about something else." for i in range(VECTORS)]


def _stream(name: str, count: int, calls: int) -> Work:
    arguments = {"model": name, "messages": _QUESTION, "stream": True}
    return Work("chat.completions.create", arguments, calls, count)


def burst(clients: Clients, url: str) -> list[Scenario]:
    """A stream that arrives in one burst, per chunk."""
    return clients.scenarios("chunk of a burst", "µs", _stream("burst", BURST, 1), 8)


def paced(clients: Clients, url: str) -> list[Scenario]:
    """A stream of which each chunk arrives alone, per chunk."""
    # Ours needs no aiohttp, so the goal for "with aiohttp" is the one for all async streams.
    return clients.scenarios("chunk that arrives alone", "µs", _stream("paced", PACED, 1), 2.5, async_goal=3)


def request(clients: Clients, url: str) -> list[Scenario]:
    """A request of 40 messages and its reply."""
    work = Work("chat.completions.create", {"model": "reply", "messages": _CONVERSATION}, 10)
    return clients.scenarios("request of 40 messages", "ms", work, 4)


def short_request(clients: Clients, url: str) -> list[Scenario]:
    """A request of two messages and its reply."""
    work = Work("chat.completions.create", {"model": "reply", "messages": _CONVERSATION[:2]}, 50)
    return clients.scenarios("request of two messages", "ms", work, 4)


def embeddings(clients: Clients, url: str) -> list[Scenario]:
    """256 embeddings of 1024 numbers, as lists."""
    work = Work("embeddings.create", {"model": "bge", "input": _TEXTS}, 2)
    return clients.scenarios("embeddings, lists", "ms", work, 4)


def numpy(clients: Clients, url: str) -> list[Scenario]:
    """256 embeddings of 1024 numbers, as a numpy array."""
    import numpy

    def as_array(response: Any) -> object:
        return numpy.array([item.embedding for item in response.data], dtype=numpy.float32)

    asked = {"model": "bge", "input": _TEXTS}
    # As many in a row as embedding a corpus takes: the first call of a turn finds cold caches.
    work = Work("embeddings.create", asked, 16, finish=as_array)
    our_work = Work("embeddings.create", {**asked, "as_numpy": True}, 16, finish=lambda made: made.array)
    return clients.scenarios("embeddings, numpy", "ms", work, 15, our_work=our_work)


_IMPORT = """
from time import process_time
start = process_time()
import openai
stock = process_time()
import vllm_connect
print((stock - start) * 1e3, (process_time() - start) * 1e3)
"""

_READY = """
from time import process_time
start = process_time()
from {module} import {name}
client = {name}(base_url="http://127.0.0.1/v1", api_key="none")
client.chat.completions.create
print((process_time() - start) * 1e3)
"""


def imports(clients: Clients, url: str) -> list[Scenario]:
    """The import on top of the SDK's, and with all that a client loads until it can chat."""
    last = 0.0

    def stock() -> float:
        nonlocal last
        alone, last = _child(_IMPORT)
        return alone

    alone: Sides = {STOCK: stock, OURS: lambda: last}
    ready = _both(_READY)
    return [
        Scenario("import", "ms", 50, alone, goal_is_ratio=False),
        Scenario("import, until it can chat", "ms", 50, ready, goal_is_ratio=False),
    ]


_CALL = """
import os, resource, sys
from {module} import {name}
client = {name}(base_url={url!r}, api_key="none")
client.chat.completions.create(model="reply", messages=[{{"role": "user", "content": "Hi"}}])
try:
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
"""


def memory(clients: Clients, url: str) -> list[Scenario]:
    """Memory of a fresh process after one call, on top of the SDK's."""

    sides = _both(_CALL, url=f"{url}/v1")
    return [Scenario("memory after a call", "MB", 5, sides, goal_is_ratio=False)]


_CHOICES = 20_000
# Microseconds, by the number of servers: choosing one, and giving its place back.
_CHOICE_GOALS = {1: 5.0, 4: 6.0, 16: 8.0, 64: 15.0}


def choosing(clients: Clients, url: str) -> list[Scenario]:
    """What choosing one of 1, 4, 16 and 64 servers costs a call, one of them dead."""

    def nothing() -> float:
        return measured(lambda: [None for _ in range(_CHOICES)], _CHOICES) * 1e6

    def choose(servers: int) -> float:
        fleet = Fleet([Key(name=str(number), url=f"http://gpu{number}") for number in range(servers)])
        if servers > 1:
            dead = fleet.place(key_name="0").admission
            dead.failed(Failure("connection refused", retry_after=3600))
            dead.end()

        def run() -> None:
            for _ in range(_CHOICES):
                admission = fleet.place("llama").admission
                admission.succeeded()
                admission.end()

        return measured(run, _CHOICES) * 1e6

    titles = {servers: f"choosing one of {servers} servers" for servers in _CHOICE_GOALS}
    titles[1] = "the choice of a client of one"
    return [
        Scenario(titles[servers], "us", goal, {STOCK: nothing, OURS: partial(choose, servers)},
                 goal_is_ratio=False)
        for servers, goal in _CHOICE_GOALS.items()
    ]  # fmt: skip


def _both(code: str, **values: str) -> Sides:
    """A program for each side, which prints what it cost."""

    def run(module: str, name: str) -> float:
        return _child(code.format(module=module, name=name, **values))[0]

    return {STOCK: partial(run, "openai", "OpenAI"), OURS: partial(run, "vllm_connect", "VLLM")}


def _child(code: str) -> list[float]:
    """The numbers that a Python process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return [float(word) for word in done.stdout.split()]


SCENARIOS: dict[str, Callable[[Clients, str], list[Scenario]]] = {
    "burst": burst,
    "paced": paced,
    "request": request,
    "short-request": short_request,
    "embeddings": embeddings,
    "numpy": numpy,
    "import": imports,
    "memory": memory,
    "choosing": choosing,
}
