"""Tool calls, in every way that an answer can be had: the same calls in each, whole or not at all."""

from __future__ import annotations

import functools
import operator
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from langchain_vllm import ChatVLLM
from tests.scripted import TOOL_CALL_CASES, chunk, scripted
from tests.servers import simulator


async def streamed(model: ChatVLLM) -> Any:
    return functools.reduce(operator.add, list(model.stream("x")))


async def astreamed(model: ChatVLLM) -> Any:
    return functools.reduce(operator.add, [each async for each in model.astream("x")])


async def added_at_once(model: ChatVLLM) -> Any:
    first, *rest = model.stream("x")
    return first + rest


async def added_to_an_empty_chunk(model: ChatVLLM) -> Any:
    return sum(model.stream("x"), AIMessageChunk(content=""))


async def invoked(model: ChatVLLM) -> Any:
    return model.model_copy(update={"streaming": True}).invoke("x")


async def ainvoked(model: ChatVLLM) -> Any:
    return await model.model_copy(update={"streaming": True}).ainvoke("x")


async def v1_content(model: ChatVLLM) -> Any:
    message = await streamed(model.model_copy(update={"output_version": "v1"}))
    kinds = [block["type"] for block in message.content if block["type"].endswith("tool_call")]
    assert sorted(kinds) == sorted(
        ["tool_call"] * len(message.tool_calls) + ["invalid_tool_call"] * len(message.invalid_tool_calls)
    )
    return message


async def v2_events(model: ChatVLLM) -> Any:
    return [each async for each in model.astream_events("x", version="v2")][-1]["data"]["output"]


async def v3_events(model: ChatVLLM) -> Any:
    return model.stream_events("x", version="v3").output


async def av3_events(model: ChatVLLM) -> Any:
    return await (await model.astream_events("x", version="v3")).output


WAYS = (
    streamed,
    astreamed,
    added_at_once,
    added_to_an_empty_chunk,
    invoked,
    ainvoked,
    v1_content,
    v2_events,
    v3_events,
    av3_events,
)
Way = Callable[[ChatVLLM], Awaitable[Any]]
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
@pytest.mark.parametrize("case", TOOL_CALL_CASES, ids=[case.name for case in TOOL_CALL_CASES])
async def test_pieces_become_the_calls_that_were_meant(case: Any, way: Way) -> None:
    chunks = [chunk({"tool_calls": deltas}) for deltas in case.chunks]
    with scripted(*chunks, chunk({}, "tool_calls")) as url:
        message = await way(ChatVLLM(model="m", base_url=url))
    assert [(call["name"], call["args"]) for call in message.tool_calls] == case.calls
    assert message.invalid_tool_calls == []
    assert len({call["id"] for call in message.tool_calls} - {None, ""}) == len(case.calls)


UNREADABLE = {
    "cut off": '{"path": "/tmp", "pat',
    "a Python literal": "{'path': '/tmp', 'dry': True}",
    "a trailing comma": '{"path": "/tmp",}',
    "an unescaped quote": '{"path": "say "hi"."}',
    "a list": '[{"path": "/tmp"}]',
    "the beginning of null": "nu",
}


@every_way
@pytest.mark.parametrize("finish_reason", ["tool_calls", "length"])
@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_no_object_is_an_invalid_call(arguments: str, finish_reason: str, way: Way) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": arguments}}
    with scripted(chunk({"tool_calls": [call]}), chunk({}, finish_reason)) as url:
        message = await way(ChatVLLM(model="m", base_url=url))
    assert message.tool_calls == []
    [invalid] = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"], invalid["args"]) == ("c1", "f", arguments)
    assert invalid["error"]


@every_way
@pytest.mark.parametrize(
    ("arguments", "finish_reason"),
    [("", "length"), ("", "abort"), ("", "error"), ("", None), ("{}", "length")],  # the last is vLLM's own {}
)
async def test_a_call_that_was_cut_before_its_arguments_is_invalid(
    arguments: str, finish_reason: str | None, way: Way
) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": arguments}}
    with scripted(chunk({"tool_calls": [call]}), chunk({}, finish_reason)) as url:
        message = await way(ChatVLLM(model="m", base_url=url))
    assert message.tool_calls == []
    assert [call["name"] for call in message.invalid_tool_calls] == ["f"]


@every_way
async def test_an_empty_object_before_another_call_is_whole(way: Way) -> None:
    calls = [
        {"index": index, "id": f"c{index}", "function": {"name": f"f{index}", "arguments": "{}"}}
        for index in (0, 1)
    ]
    with scripted(*(chunk({"tool_calls": [call]}) for call in calls), chunk({}, "length")) as url:
        message = await way(ChatVLLM(model="m", base_url=url))
    assert [call["name"] for call in message.tool_calls] == ["f0"]
    assert [call["name"] for call in message.invalid_tool_calls] == ["f1"]


@every_way
async def test_an_end_that_is_told_twice_is_told_once(way: Way) -> None:
    with scripted(chunk({"content": "a"}), chunk({}, "stop"), chunk({}, "stop")) as url:
        message = await way(ChatVLLM(model="m", base_url=url))
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == "m"


def test_a_call_that_is_being_written_can_be_looked_at() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"path": "/t'}}
    with scripted(chunk({"tool_calls": [call]}), chunk({}, "length")) as url:
        first, *_ = ChatVLLM(model="m", base_url=url).stream("x")
    assert first.tool_calls[0]["args"] == {"path": "/t"}


def test_sums_are_what_langchain_knows() -> None:
    with scripted(chunk({"content": "a"}), chunk({"content": "b"}, "stop")) as url:
        message = added = functools.reduce(operator.add, ChatVLLM(model="m", base_url=url).stream("x"))
    assert isinstance(added, AIMessageChunk)
    assert type(message_chunk_to_message(message)) is AIMessage
    assert '"AIMessageChunk"]' in dumps(message)


@pytest.mark.parametrize("max_tokens", [12, 16, 20, 24, 28, 32])
@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
def test_agents_run_no_half_of_a_call(max_tokens: int, stream: bool) -> None:
    ran = []

    def delete_file(path: str = "/", pattern: str = "*") -> str:
        """Delete the files in a folder that match a pattern."""
        ran.append((path, pattern))
        return "ok"

    model = ChatVLLM(
        base_url=simulator().url, max_tokens=max_tokens, chat_template_kwargs={"enable_thinking": False}
    )
    agent: Any = create_agent(model, [delete_file])
    question = 'Call delete_file {"path": "/tmp/old", "pattern": "report-2019-*.csv"}'
    ask = {"messages": [("user", question)]}
    if stream:
        list(agent.stream(ask, {"recursion_limit": 4}, stream_mode="messages"))
    else:
        agent.invoke(ask, {"recursion_limit": 4})
    assert ran == []
