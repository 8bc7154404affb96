"""Compare `ChatVLLM` with langchain-openai's `ChatOpenAI`, as `python -m benchmarks` compares the clients.

Run it where langchain-vllm and langchain-openai are installed: `make bench-langchain`.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langchain_vllm import ChatVLLM

from .framework import compare
from .scenarios import OURS

_HISTORY = [
    message
    for turn in range(20)
    for message in (HumanMessage(f"Turn {turn}: why is the sky blue?"), AIMessage("It is the light. " * 10))
]
_QUESTION = _HISTORY[:1]


def main() -> None:
    """Run everything."""
    with closing(asyncio.new_event_loop()) as loop:
        compare(
            f"ChatVLLM beside langchain-openai {version('langchain-openai')}",
            _models,
            {
                "stream": _stream,
                "astream": lambda model: loop.run_until_complete(_astream(model)),
                "v3 events": _events,
            },
            ("invoke", lambda model: model.invoke(_HISTORY)),
        )


def _models(url: str, name: str) -> dict[str, Any]:
    theirs = ChatOpenAI(model=name, base_url=f"{url}/v1", api_key="none", stream_usage=True)
    return {"langchain-openai": theirs, OURS: ChatVLLM(model=name, base_url=url)}


def _stream(model: Any) -> None:
    for _ in model.stream(_QUESTION):
        pass


async def _astream(model: Any) -> None:
    async for _ in model.astream(_QUESTION):
        pass


def _events(model: Any) -> None:
    for _ in model.stream_events(_QUESTION, version="v3"):
        pass


if __name__ == "__main__":
    main()
