"""Compare LlamaIndex's `VLLM` of ours with its `OpenAILike`, as `python -m benchmarks` compares the clients.

Run it where llama-index-vllm-connect and llama-index-llms-openai-like are installed:
`make bench-llama-index`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.vllm_connect import VLLM

from .report import run, show
from .scenarios import OURS, Scenario, Sides, measured
from .server import BURST, PACED, running

_ROUNDS = 7
_REQUESTS = 10
_HISTORY = [
    ChatMessage(role=role, content=f"Turn {turn}: {'why is the sky blue? ' * 8}")
    for turn in range(20)
    for role in ("user", "assistant")
]


def main() -> None:
    """Run everything."""
    loop = asyncio.new_event_loop()
    with running() as url:
        rows = [row for scenario in _scenarios(url, loop) for row in run(scenario, _ROUNDS)]
    loop.close()
    show(rows, _ROUNDS, f"VLLM beside llama-index-llms-openai-like {version('llama-index-llms-openai-like')}")


def _scenarios(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Scenario]:
    def llms(name: str) -> dict[str, Any]:
        theirs = OpenAILike(model=name, api_base=f"{url}/v1", api_key="none", is_chat_model=True)
        return {"OpenAILike": theirs, OURS: VLLM(model=name, base_url=url)}

    def scenario(title: str, name: str, units: int, act: Callable[[Any], object], unit: str) -> Scenario:
        scale = units / {"µs": 1e6, "ms": 1e3}[unit]
        sides: Sides = {side: partial(measured, partial(act, llm), scale) for side, llm in llms(name).items()}
        return Scenario(title, unit, None, sides)

    def astream(llm: Any) -> None:
        loop.run_until_complete(_astream(llm))

    for title, name, count in (
        ("chunk of a burst", "burst", BURST),
        ("chunk that arrives alone", "paced", PACED),
    ):
        yield scenario(f"{title}, stream_chat", name, count, _stream, "µs")
        yield scenario(f"{title}, astream_chat", name, count, astream, "µs")
    yield scenario("request of 40 messages, chat", "reply", _REQUESTS, _chat, "ms")


def _stream(llm: Any) -> None:
    for _ in llm.stream_chat(_HISTORY[:1]):
        pass


async def _astream(llm: Any) -> None:
    async for _ in await llm.astream_chat(_HISTORY[:1]):
        pass
    await asyncio.sleep(0)  # what a side leaves for the loop to close is its own cost


def _chat(llm: Any) -> None:
    for _ in range(_REQUESTS):
        llm.chat(_HISTORY)


if __name__ == "__main__":
    main()
