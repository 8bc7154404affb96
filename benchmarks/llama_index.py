"""Compare LlamaIndex's `VLLM` of ours with its `OpenAILike`, as `python -m benchmarks` compares the clients.

Run it where llama-index-vllm-connect and llama-index-llms-openai-like are installed:
`make bench-llama-index`.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from importlib.metadata import version
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.vllm_connect import VLLM

from .framework import compare
from .scenarios import OURS

_HISTORY = [
    ChatMessage(role=role, content=f"Turn {turn}: {'why is the sky blue? ' * 8}")
    for turn in range(20)
    for role in ("user", "assistant")
]
_QUESTION = _HISTORY[:1]


def main() -> None:
    """Run everything."""
    with closing(asyncio.new_event_loop()) as loop:
        compare(
            f"VLLM beside llama-index-llms-openai-like {version('llama-index-llms-openai-like')}",
            _llms,
            {"stream_chat": _stream, "astream_chat": lambda llm: loop.run_until_complete(_astream(llm))},
            ("chat", lambda llm: llm.chat(_HISTORY)),
        )


def _llms(url: str, name: str) -> dict[str, Any]:
    theirs = OpenAILike(model=name, api_base=f"{url}/v1", api_key="none", is_chat_model=True)
    return {"OpenAILike": theirs, OURS: VLLM(model=name, base_url=url)}


def _stream(llm: Any) -> None:
    for _ in llm.stream_chat(_QUESTION):
        pass


async def _astream(llm: Any) -> None:
    async for _ in await llm.astream_chat(_QUESTION):
        pass
    await asyncio.sleep(0)  # what a side leaves for the loop to close is its own cost


if __name__ == "__main__":
    main()
