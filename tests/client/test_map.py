"""`map`: one operation on many rows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.both import each

import vllm_connect
from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect.sim import SimServer
from vllm_connect.types import Row


async def rows(client: Any, *args: Any, **kwargs: Any) -> list[Row[Any]]:
    return [row async for row in each(client.client.map(*args, **kwargs))]


@pytest.mark.parametrize("ordered", [True, False])
async def test_chat(make_client: Callable[..., Any], vllm_sim: SimServer, ordered: bool) -> None:
    client = make_client(vllm_sim.url)
    done = await rows(client, "chat", (f"Say: {n}" for n in range(100)), ordered=ordered, temperature=0)
    if ordered:
        assert [row.index for row in done] == list(range(100))
    assert sorted(row.index for row in done) == list(range(100))
    for row in done:
        assert row.input == f"Say: {row.index}"
        assert row.result().choices[0].message.content == str(row.index)
    assert {request.json["temperature"] for request in vllm_sim.requests} == {0}


async def test_every_operation(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    pairs = [{"query": "a", "documents": ["b", "c"]}]
    assert len((await rows(client, "rerank", pairs))[0].result().results) == 2
    score = [{"queries": "a", "documents": ["b", "c"]}]
    assert len((await rows(client, "score", score))[0].result().data) == 2
    assert (await rows(client, "embeddings", ["a"]))[0].result().data[0].embedding
    assert (await rows(client, "classify", ["a"]))[0].result().data[0].label
    assert (await rows(client, "tokenize", ["a"]))[0].result().count == 1
    text = (await rows(client, "completions", ["Say: x"], max_tokens=3))[0].result().choices[0].text
    assert text
    method = client.client.chat.completions.create
    own = [{"messages": [{"role": "user", "content": "Say: x"}], "model": "sim-chat"}]
    assert (await rows(client, method, own, model="other"))[0].result().model == "sim-chat"


async def test_an_error_is_its_row_s(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    inputs = ["Say: a", {"messages": 5}, 7, {"messages": [], "no_such": 1}, "Say: b"]
    done = await rows(client, "chat", inputs)
    assert [type(row.error).__name__ for row in done] == [
        "NoneType", "BadRequestError", "TypeError", "TypeError", "NoneType"
    ]  # fmt: skip
    assert "a row of chat is a text or a mapping of arguments, not int" in str(done[2].error)
    with pytest.raises(vllm_connect.BadRequestError):
        done[1].result()


async def test_bad_arguments_are_refused_before_any_row(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url).client
    with pytest.raises(ValueError, match="one of chat, completions, embeddings"):
        client.map("chats", [])
    with pytest.raises(ValueError, match="concurrency must be at least 1, not 0"):
        client.map("chat", [], concurrency=0)
    with pytest.raises(TypeError, match="concurrency must be a whole number, not str"):
        client.map("chat", [], concurrency="8")
    with pytest.raises(TypeError, match="inputs is one text"):
        client.map("chat", "Say: hello")
    assert vllm_sim.requests == []


async def test_concurrency_is_bounded_and_rows_are_read_as_they_are_needed(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url).client
    running, most, read = 0, 0, 0
    lock = threading.Lock()

    def inputs() -> Iterator[str]:
        nonlocal read
        for number in range(60):
            read += 1
            yield f"Say: {number}"

    def enter(by: int) -> None:
        nonlocal running, most
        with lock:
            running += by
            most = max(most, running)

    def call(**params: Any) -> Any:
        enter(1)
        time.sleep(0.01)
        enter(-1)
        return params

    async def acall(**params: Any) -> Any:
        enter(1)
        await asyncio.sleep(0.01)
        enter(-1)
        return params

    is_async = isinstance(client, AsyncVLLM)
    seen = 0
    given = ({"row": text} for text in inputs())
    async for row in each(client.map(acall if is_async else call, given, concurrency=4)):
        seen += 1
        assert row.result() == {"row": f"Say: {row.index}"}
        assert read <= seen + 4 * 10
    assert (seen, most) == (60, 4)


async def test_a_slow_row_holds_back_only_so_many(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url).client
    read = 0

    def inputs() -> Iterator[dict[str, int]]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield {"number": number}

    gate = threading.Event()

    def call(number: int) -> int:
        if number == 0:
            assert gate.wait(10)
        return number

    async def acall(number: int) -> int:
        if number == 0:
            assert await asyncio.to_thread(gate.wait, 10)
        return number

    function: Any = acall if isinstance(client, AsyncVLLM) else call
    threading.Timer(0.3, gate.set).start()
    done = [row.index async for row in each(client.map(function, inputs(), concurrency=2))]
    assert done == list(range(1000))
    gate.clear()
    threading.Timer(0.3, gate.set).start()
    read = 0
    iterator = aiter(each(client.map(function, inputs(), concurrency=2)))
    await anext(iterator)
    assert read <= 2 * 9 + 2


async def test_servers_share_the_rows(make_client: Callable[..., Any]) -> None:
    with SimServer() as one, SimServer() as two:
        client = make_client(keys=[Key(name="1", url=one.url), Key(name="2", url=two.url)])
        assert len(await rows(client, "chat", ["Say: a"] * 60)) == 60
        assert len(one.requests) + len(two.requests) == 60
        assert min(len(one.requests), len(two.requests)) >= 20


async def test_refusals_are_waited_out(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url, max_retries=2)
    vllm_sim.fail_next("429", times=2, retry_after=0)  # no row can get more than it may retry
    assert [row.error for row in await rows(client, "chat", ["Say: a"] * 30)] == [None] * 30


async def test_async_inputs_and_leaving_early(vllm_sim: SimServer) -> None:
    async def inputs() -> AsyncIterator[str]:
        for number in range(1000):
            await asyncio.sleep(0)
            yield f"Say: {number}"

    async with AsyncVLLM(vllm_sim.url) as client:
        iterator = client.map("chat", inputs(), concurrency=3)
        async for row in iterator:
            if row.index == 9:
                break
        await iterator.aclose()  # type: ignore[attr-defined]  # a generator, by its type any iterator
        await asyncio.sleep(0.1)  # what was on its way when it was cancelled may still arrive
        count = len(vllm_sim.requests)
        assert count <= 10 + 3 * 9
        await asyncio.sleep(0.05)
        assert len(vllm_sim.requests) == count


async def test_an_error_of_the_source_is_raised(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    def broken() -> Iterator[str]:
        yield "Say: a"
        raise OSError("the file is gone")

    async def abroken() -> AsyncIterator[str]:
        yield "Say: a"
        raise OSError("the file is gone")

    client = make_client(vllm_sim.url)
    with pytest.raises(OSError, match="the file is gone"):
        await rows(client, "chat", broken())
    if client.kind == "async":
        with pytest.raises(OSError, match="the file is gone"):
            await rows(client, "chat", abroken())


def test_a_closed_iterator_begins_nothing_more(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        iterator = client.map("chat", (f"Say: {n}" for n in range(1000)), concurrency=2)
        next(iterator)
        iterator.close()  # type: ignore[attr-defined]  # a generator, by its type any iterator
        time.sleep(0.1)
        assert len(vllm_sim.requests) <= 2 * 9 + 2


async def test_progress(
    make_client: Callable[..., Any], vllm_sim: SimServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await rows(make_client(vllm_sim.url), "chat", ["Say: a", 5], progress=True)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "errors=1" in shown
    assert "tokens/s=" in shown
