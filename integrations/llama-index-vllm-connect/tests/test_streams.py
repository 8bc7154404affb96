"""Streams that end early, or badly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from llama_index.llms.vllm_connect import VLLM
from vllm_connect import IncompleteStreamError, InternalServerError


def say(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


class Words(BaseModel):
    """Some words."""

    words: list[str]


MANY = json.dumps({"words": [f"word{i}" for i in range(300)]})
STREAMS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("stream_chat", "chat", (say("Count to 500"),)),
    ("stream_complete", "chat", ("Count to 500",)),
    ("stream_structured_predict", "chat", (Words, ChatPromptTemplate(say(f"Say: {MANY}")))),
    ("stream_chat", "completion", (say("Count to 500"),)),
    ("stream_complete", "completion", ("Count to 500",)),
]


@pytest.mark.parametrize(("method", "mode", "arguments"), STREAMS)
@pytest.mark.parametrize("watched", [False, True])
async def test_closing_a_stream_ends_the_request(vllm_sim, ask, request, method, mode, arguments, watched):
    """Even if somebody keeps the events, and with them the exception that tells of the early end."""
    llm = VLLM(base_url=vllm_sim.url, mode=mode, max_tokens=2000)
    if watched:
        request.getfixturevalue("events")
        llm.callback_manager = CallbackManager([LlamaDebugHandler(print_trace_on_end=False)])
    vllm_sim.fail_next("pace", seconds=0.02)
    stream = await ask(llm, method, *arguments)
    await ask.leave_early(stream)
    assert await asyncio.to_thread(vllm_sim.wait_for_abort)
    del stream  # held until here: closing is more than dropping


async def test_closing_a_stream_that_nobody_read(llm, ask, vllm_sim):
    vllm_sim.fail_next("pace", seconds=0.02)
    stream = await ask(llm, "stream_chat", say("Count to 500"))
    await (asyncio.to_thread(stream.close) if ask.kind == "sync" else stream.aclose())
    assert await asyncio.to_thread(vllm_sim.wait_for_abort)
    del stream


async def test_dropping_a_stream_ends_the_request(llm, ask, vllm_sim):
    vllm_sim.fail_next("pace", seconds=0.02)
    stream = await ask(llm, "stream_chat", say("Count to 500"))
    await (asyncio.to_thread(next, stream) if ask.kind == "sync" else anext(stream))
    del stream
    assert await asyncio.to_thread(vllm_sim.wait_for_abort)


async def test_cancelling_ends_the_request(llm, vllm_sim):
    vllm_sim.fail_next("stall", where="headers", seconds=5)
    task = asyncio.create_task(llm.achat(say("Say: x")))
    await asyncio.to_thread(vllm_sim.wait_for_requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(vllm_sim.wait_for_abort)


async def test_an_error_within_a_stream_is_raised(llm, ask, vllm_sim):
    vllm_sim.fail_next("error_chunk", after=4, code=500)
    seen: list[Any] = []
    with pytest.raises(InternalServerError):
        await ask.stream(llm, "stream_chat", say("Say: one two three four"), seen=seen)
    assert seen


async def test_a_stream_that_breaks_off_is_an_error(llm, ask, vllm_sim):
    vllm_sim.fail_next("cut", where="event", after=4)
    with pytest.raises(IncompleteStreamError):
        await ask.stream(llm, "stream_complete", "Say: one two three four")
