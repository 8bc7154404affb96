"""Event loops, threads, forks, connections: where and how long a client works."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES, fault

from vllm_connect import VLLM, AsyncVLLM
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"


def test_it_is_the_openai_client(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        assert isinstance(client, openai.OpenAI)
    assert client.is_closed()
    assert isinstance(AsyncVLLM(vllm_sim.url), openai.AsyncOpenAI)


def test_one_async_client_in_several_event_loops(vllm_sim: SimServer) -> None:
    client = AsyncVLLM(vllm_sim.url)

    async def ask() -> str | None:
        answer = await client.chat.completions.create(messages=MESSAGES)
        async for _ in await client.chat.completions.create(messages=MESSAGES, stream=True):
            pass
        return answer.choices[0].message.content

    for _ in range(3):
        assert asyncio.run(ask()) == "Grüße 👋"
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: asyncio.run(ask()), range(4))) == ["Grüße 👋"] * 4
    asyncio.run(client.close())
    gc.collect()


def test_one_client_in_many_threads(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> str | None:
            messages: Any = [{"role": "user", "content": f"Say: {number}"}]
            return client.chat.completions.create(messages=messages).choices[0].message.content

        assert list(pool.map(ask, range(64))) == [str(number) for number in range(64)]
    assert len(vllm_sim.requests) == 64


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_client_made_before_a_fork_works_after_it(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        client.chat.completions.create(messages=MESSAGES)
        child = os.fork()
        if child == 0:
            try:
                answer = client.chat.completions.create(messages=MESSAGES)
                os._exit(0 if answer.choices[0].message.content == "Grüße 👋" else 1)
            except BaseException:  # noqa: BLE001  # a child must not run on into the test runner
                os._exit(2)
        # Parent and child at once: neither may take the other's answer off a shared connection.
        for _ in range(5):
            assert client.chat.completions.create(messages=MESSAGES).choices[0].message.content == "Grüße 👋"
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0


async def test_a_connection_that_died_idle_is_replaced_at_once(
    make_client: Callable[..., Any], vllm_sim: SimServer, waited: list[float]
) -> None:
    client = make_client(vllm_sim.url, max_retries=0)
    await client(CHAT, messages=MESSAGES)
    vllm_sim.fail_next("drop_reused")
    assert (await client(CHAT, messages=MESSAGES)).choices
    assert waited == []
    first, _, third = [request.client for request in vllm_sim.requests]
    assert first != third


async def test_a_server_that_closes_idle_connections(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, max_retries=0)
    for _ in range(3):
        assert (await client(CHAT, messages=MESSAGES, **fault("close_after"))).choices


async def test_a_new_connection_that_dies_is_not_replaced_silently(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, max_retries=0)
    vllm_sim.fail_next("drop")
    with pytest.raises(openai.APIConnectionError):
        await client(CHAT, messages=MESSAGES)
    assert len(vllm_sim.requests) == 1


async def test_a_new_connection_that_dies_is_retried(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, max_retries=1)
    vllm_sim.fail_next("drop")
    assert (await client(CHAT, messages=MESSAGES)).choices
    assert len(vllm_sim.requests) == 2


async def test_many_streams_at_once(vllm_sim: SimServer) -> None:
    async with AsyncVLLM(vllm_sim.url) as client:

        async def ask(number: int) -> str:
            stream = await client.chat.completions.create(
                messages=[{"role": "user", "content": f"Say: {number}"}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        answers = await asyncio.gather(*(ask(number) for number in range(50)))
    assert answers == [str(number) for number in range(50)]


def test_copies_share_connections(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        client.with_options(timeout=5).chat.completions.create(messages=MESSAGES)
        client.copy(max_retries=0).chat.completions.create(messages=MESSAGES)
        client.chat.completions.create(messages=MESSAGES)
    assert len({request.client for request in vllm_sim.requests}) == 1


def test_no_thread_is_left_behind(vllm_sim: SimServer) -> None:
    before = threading.active_count()
    with VLLM(vllm_sim.url) as client:
        client.models.list()
        client.chat.completions.create(messages=MESSAGES)
    assert threading.active_count() == before
