"""Compare several servers behind our client with LiteLLM's Router: `make bench-servers`.

One or two of the servers fail in one of the ways below while calls follow one another. Both sides ask
simulated servers of the same kind; LiteLLM's Router has its defaults, and three retries. Connecting may take
2 s; LiteLLM, which has no limit for that alone, gets it for the whole call. What is told of each:

    errors    calls that ended in an exception
    seconds   for all calls together
    slow      calls that took longer than 0.3 s
    wasted    requests that reached a server that failed
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal, Protocol

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect.sim import Fault, SimServer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet when it is imported
import litellm
from openai import Timeout

Way = Literal["sync", "async", "streamed"]
WAYS: tuple[Way, ...] = ("sync", "async", "streamed")
MODEL = "sim-chat"
MESSAGES: Any = [{"role": "user", "content": "Say: hello"}]
SLOW = 0.3
CONNECT_SECONDS = 2.0
DEAD_ENGINE = {"code": 500, "message": "EngineCore encountered an issue. See stack trace (above)."}


@dataclass
class Place:
    """A server: where it is, and how many requests reached it."""

    url: str
    count: Callable[[], int] = lambda: 0


Make = Callable[[ExitStack], Place]


def healthy(stack: ExitStack) -> Place:
    """A server that answers."""
    return _simulated(stack, None)


def refusing(stack: ExitStack) -> Place:
    """A port that is bound, and that nobody listens on."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    return Place(f"http://127.0.0.1:{listener.getsockname()[1]}")


def swallowing(stack: ExitStack) -> Place:
    """A server whose backlog is full, so that no connection comes about."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    for _ in range(4):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(address)
    return Place(f"http://127.0.0.1:{address[1]}")


def failing(name: str, **values: Any) -> Make:
    """A server that fails in the simulator's way of that name."""
    return lambda stack: _simulated(stack, Fault(name, path="*", **values))


def _simulated(stack: ExitStack, fault: Fault | None) -> Place:
    server = stack.enter_context(SimServer())
    if fault is not None:
        server.fail_always(fault)
    return Place(server.url, lambda: len(server.requests))


@dataclass(frozen=True)
class Row:
    """A way to fail.

    Attributes:
        title: of its line in the table.
        bad: the servers that fail.
        calls: how many, one after the other.
        ways: of calling.
    """

    title: str
    bad: tuple[Make, ...]
    calls: int = 200
    ways: tuple[Way, ...] = WAYS


ROWS = (
    Row("nothing, and there is one server", ()),
    Row("one of two refuses connections", (refusing,)),
    Row("one of two resets them", (failing("drop", how="rst"),)),
    Row("one of two answers 503", (failing("503"),)),
    Row("one of two has a dead engine, 500", (failing("status", **DEAD_ENGINE),)),
    Row("two of three are dead", (refusing, failing("503")), calls=30),
    Row("one of two swallows connects", (swallowing,), calls=30),
)


class Side(Protocol):
    """A client of several servers."""

    name: str

    def call(self, way: Way, urls: list[str]) -> Callable[[], None]:
        """Return what makes one call."""


class Ours:
    """This project's client."""

    name = "vllm-connect"

    def call(self, way: Way, urls: list[str]) -> Callable[[], None]:
        """See `Side`."""
        keys = [Key(name=str(number), url=url) for number, url in enumerate(urls)]
        timeout = Timeout(60, connect=CONNECT_SECONDS)
        if way == "async":
            loop, client = asyncio.new_event_loop(), AsyncVLLM(keys=keys, timeout=timeout)
            ask = client.chat.completions.create
            return lambda: _check(loop.run_until_complete(ask(model=MODEL, messages=MESSAGES)))
        create = VLLM(keys=keys, timeout=timeout).chat.completions.create
        if way == "streamed":
            return lambda: _check_stream(create(model=MODEL, messages=MESSAGES, stream=True))
        return lambda: _check(create(model=MODEL, messages=MESSAGES))


class Theirs:
    """LiteLLM's Router over its own provider for vLLM servers."""

    name = "LiteLLM Router"

    def call(self, way: Way, urls: list[str]) -> Callable[[], None]:
        """See `Side`."""
        deployments = [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"hosted_vllm/{MODEL}",
                    "api_base": f"{url}/v1",
                    "api_key": "none",
                    "timeout": CONNECT_SECONDS,
                },
            }
            for url in urls
        ]
        router: Any = litellm.Router(model_list=deployments, num_retries=3)
        if way == "async":
            loop = asyncio.new_event_loop()
            ask = router.acompletion
            return lambda: _check(loop.run_until_complete(ask(model=MODEL, messages=MESSAGES)))
        if way == "streamed":
            return lambda: _check_stream(router.completion(model=MODEL, messages=MESSAGES, stream=True))
        return lambda: _check(router.completion(model=MODEL, messages=MESSAGES))


def _check(reply: Any) -> None:
    assert reply.choices[0].message.content == "hello"


def _check_stream(stream: Any) -> None:
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "hello"


@dataclass(frozen=True)
class Result:
    """What a side came to in a row."""

    row: str
    way: Way
    side: str
    errors: int
    seconds: float
    slow: int
    wasted: int


def measure(row: Row, way: Way, side: Side) -> Result:
    """Make the calls of a row."""
    with ExitStack() as stack:
        bad = [make(stack) for make in row.bad]
        call = side.call(way, [*(place.url for place in bad), healthy(stack).url])
        errors, slow, began = 0, 0, time.perf_counter()
        for _ in range(row.calls):
            start = time.perf_counter()
            try:
                call()
            except Exception:  # noqa: BLE001  # whatever it is: the call is lost
                errors += 1
            slow += time.perf_counter() - start > SLOW
        seconds = time.perf_counter() - began
        wasted = sum(place.count() for place in bad)
    return Result(row.title, way, side.name, errors, seconds, slow, wasted)


@contextmanager
def _silence() -> Iterator[None]:
    litellm.suppress_debug_info = True
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def main() -> None:
    """Run all rows and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.several_servers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    results: list[Result] = []
    sides: tuple[Side, ...] = (Ours(), Theirs())
    with _silence():
        for side in sides:  # imports and certificates are nobody's failure
            measure(Row("warm-up", (), calls=3), "sync", side)
        for row in ROWS:
            for way in row.ways:
                results += [measure(row, way, side) for side in sides]
                if not arguments.json:
                    _show(results[-2:], first=len(results) == len(sides))
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))


def _show(results: list[Result], first: bool) -> None:
    ours, theirs = results
    if first:
        print(f"vllm-connect beside LiteLLM {version('litellm')}: errors / seconds / slow calls / wasted\n")
        print("| what fails | calls | vllm-connect | LiteLLM Router |\n|---|---|---|---|")
    cells = [
        f"{result.errors} / {result.seconds:.2f} s / {result.slow} / {result.wasted}"
        for result in (ours, theirs)
    ]
    calls = next(row.calls for row in ROWS if row.title == ours.row)
    print(f"| {ours.row} | {calls} {ours.way} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
