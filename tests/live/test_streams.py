"""Streams that only a running server can show: long ones, many at once, given up, and cut off."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
import time

import pytest
from tests.both import each, settled
from tests.operations.answers import content, finish, question, reasoning, stream

from vllm_connect import AsyncVLLM, IncompleteStreamError

LONG = question("Say: hello", ignore_eos=True, max_tokens=1900)
# Where something else keeps the cores busy, a server may hand nothing over for seconds and generate on
# meanwhile; what is tested does not show then. A client that does not close its streams fails every attempt.
ATTEMPTS = 3
BROKEN = {"format": {"type": "json_schema", "name": "broken", "schema": {"type": "nonsense"}}}


async def server_state(client):
    """Requests that run now, and tokens generated since the start."""
    metrics = await client("server.metrics")

    def value(name):
        return float(re.search(rf"^vllm:{name}{{.*}} (\S+)$", metrics, re.MULTILINE)[1])

    return value("num_requests_running"), value("generation_tokens_total")


class TestLongStreams:
    async def test_nothing_is_lost(self, chat):
        options = {"include_usage": True}
        params = {"ignore_eos": True, "max_tokens": 1500, "return_token_ids": True, "stream_options": options}
        chunks = await stream(chat, "Say: hello", **params)
        assert finish(chunks) == ["length"]
        assert chunks[-1].usage.completion_tokens == 1500
        assert reasoning(chunks).startswith("I say it.")
        tokens = [token for chunk in chunks for choice in chunk.choices for token in choice.token_ids or ()]
        assert len(tokens) == 1500

    async def test_it_streams(self, chat):
        """What the server has sent is handed over while it still generates."""
        for _ in range(ATTEMPTS):
            chunks = each(await chat("chat.completions.create", stream=True, **LONG))
            first = await anext(chunks)
            running, _ = await server_state(chat)
            assert finish([first, *[chunk async for chunk in chunks]]) == ["length"]
            if running >= 1:
                return
        pytest.fail("the first chunk never came before the last token")


class TestGivenUp:
    """vLLM aborts a request whose connection is closed: four long ones generate next to nothing."""

    @pytest.mark.parametrize("how", ["close", "with", "drop", "break"])
    async def test_stream(self, chat, how):
        await self.check(chat, how)

    @pytest.mark.parametrize("kind", ["async"])
    async def test_cancelled_task(self, chat):
        await self.check(chat, "cancel")

    @pytest.mark.parametrize("kind", ["async"])
    async def test_cancelled_plain_request(self, chat):
        await self.check(chat, "cancel plain")

    async def check(self, chat, how):
        for _ in range(ATTEMPTS):
            _, before = await server_state(chat)
            for _ in range(4):
                await self.give_up(chat, how)
            gc.collect()
            deadline = time.monotonic() + 60
            while True:
                running, after = await server_state(chat)
                if running == 0 or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.1)
            assert running == 0, "the server goes on generating"
            if after - before < 2 * 1900:
                return
        pytest.fail("the server generated the tokens that nobody wanted, every time")

    async def give_up(self, chat, how):
        create = chat.client.chat.completions.create
        if how == "cancel plain":
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(create(**LONG), 0.3)
            return
        chunks = await settled(create(stream=True, **LONG))
        if how == "cancel":
            task = asyncio.create_task(self.read(chunks))
            await asyncio.sleep(0.3)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        elif how == "break" and chat.kind == "sync":
            for _ in chunks:  # not each(): a generator that is left open would keep the stream open, too
                break
        elif how == "break":
            async for _ in chunks:
                break
        elif how == "with" and chat.kind == "sync":
            with chunks:
                next(chunks)
        elif how == "with":
            async with chunks:
                await anext(chunks)
        else:
            await settled(next(chunks) if chat.kind == "sync" else anext(chunks))
            if how == "close":
                await settled(chunks.close())

    async def read(self, chunks):
        async for _ in chunks:
            pass


class TestCutOff:
    async def test_native_responses(self, native):
        """vLLM has no error event here: it cuts the connection, which must not pass for an end."""
        params = {"model": "tiny-chat", "input": "Say: hello", "text": BROKEN}
        with pytest.raises(IncompleteStreamError, match="connection broke"):
            await native.stream("responses.create", **params)
        assert [event.type for event in native.seen] == ["response.created", "response.in_progress"]


class TestManyAtOnce:
    async def test_twenty_streams(self, chat_url):
        """Twenty texts, no two alike, each complete and none mixed up."""
        async with AsyncVLLM(chat_url, max_retries=0) as client:

            async def one(number):
                chunks = await client.chat.completions.create(
                    stream=True, **question(f"Say: number {number}")
                )
                return [chunk async for chunk in chunks]

            streams = await asyncio.gather(*(one(number) for number in range(20)))
        assert [content(chunks) for chunks in streams] == [f"number {number}" for number in range(20)]
        assert all(finish(chunks) == ["stop"] for chunks in streams)

    @pytest.mark.parametrize("kind", ["sync"])
    async def test_threads(self, chat):
        said = {}

        def one(number):
            chunks = chat.client.chat.completions.create(stream=True, **question(f"Say: number {number}"))
            said[number] = content(list(chunks))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == {number: f"number {number}" for number in range(8)}


class TestEventLoops:
    """One client, several event loops: the second one finds no connection of the first."""

    def test_one_after_another(self, chat_url):
        client = AsyncVLLM(chat_url, max_retries=0)

        async def ask():
            answer = await client.chat.completions.create(**question("Say: hello"))
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(stream=True, **question("Say: hello"))
            ]
            return answer.choices[0].message.content, content(chunks)

        async def last():
            said = await ask()
            await client.close()
            return said

        assert asyncio.run(ask()) == asyncio.run(ask()) == asyncio.run(last()) == ("hello", "hello")

    def test_at_once(self, chat_url):
        client = AsyncVLLM(chat_url, max_retries=0)
        said = []

        async def ask():
            for _ in range(5):
                answer = await client.chat.completions.create(**question("Say: hello"))
                said.append(answer.choices[0].message.content)

        threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(client.close())
        assert said == ["hello"] * 15
