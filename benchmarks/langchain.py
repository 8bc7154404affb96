"""Compare `ChatVLLM` with langchain-openai's `ChatOpenAI`, as `python -m benchmarks` compares the clients.

Run it where langchain-vllm and langchain-openai are installed: `make bench-langchain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langchain_vllm import ChatVLLM

from .report import run, show
from .scenarios import OURS, Scenario, Sides, measured
from .server import BURST, PACED, running

_ROUNDS = 7
_REQUESTS = 10
_HISTORY = [
    message
    for turn in range(20)
    for message in (HumanMessage(f"Turn {turn}: why is the sky blue?"), AIMessage("It is the light. " * 10))
]


def main() -> None:
    """Run everything."""
    loop = asyncio.new_event_loop()
    with running() as url:
        rows = [row for scenario in _scenarios(url, loop) for row in run(scenario, _ROUNDS)]
    loop.close()
    show(rows, _ROUNDS, f"ChatVLLM beside langchain-openai {version('langchain-openai')}")


def _scenarios(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Scenario]:
    def models(name: str) -> dict[str, Any]:
        theirs = ChatOpenAI(model=name, base_url=f"{url}/v1", api_key="none", stream_usage=True)
        return {"langchain-openai": theirs, OURS: ChatVLLM(model=name, base_url=url)}

    def scenario(title: str, name: str, units: int, act: Callable[[Any], object], unit: str) -> Scenario:
        scale = units / {"µs": 1e6, "ms": 1e3}[unit]
        sides: Sides = {
            side: partial(measured, partial(act, model), scale) for side, model in models(name).items()
        }
        return Scenario(title, unit, None, sides)

    def astream(model: Any) -> None:
        loop.run_until_complete(_drain(model.astream(_HISTORY[:1])))

    for title, name, count in (
        ("chunk of a burst", "burst", BURST),
        ("chunk that arrives alone", "paced", PACED),
    ):
        yield scenario(f"{title}, stream", name, count, _stream, "µs")
        yield scenario(f"{title}, astream", name, count, astream, "µs")
        yield scenario(f"{title}, v3 events", name, count, _events, "µs")
    yield scenario("request of 40 messages, invoke", "reply", _REQUESTS, _invoke, "ms")


def _stream(model: Any) -> None:
    for _ in model.stream(_HISTORY[:1]):
        pass


def _events(model: Any) -> None:
    for _ in model.stream_events(_HISTORY[:1], version="v3"):
        pass


def _invoke(model: Any) -> None:
    for _ in range(_REQUESTS):
        model.invoke(_HISTORY)


async def _drain(chunks: AsyncIterator[object]) -> None:
    async for _ in chunks:
        pass


if __name__ == "__main__":
    main()
