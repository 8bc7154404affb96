"""How streams end, well and badly; nothing that arrived is lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES, PLAIN, STREAMED, fault

from vllm_connect import VLLM, APITimeoutError, AsyncVLLM, IncompleteStreamError, VLLMError
from vllm_connect.sim import Fault, SimServer

CHAT = "chat.completions.create"
LONG = [{"role": "user", "content": "Count to 500"}]
# Native chat and completions, what is converted from chat, and what vLLM streams in its own shape.
operations = pytest.mark.parametrize("operation", STREAMED)


def text(items: list[Any]) -> str:
    """The text of a stream of any operation."""
    parts = []
    for item in items:
        if hasattr(item, "type"):
            parts.append(item.delta if item.type.endswith("text.delta") else "")
            continue
        for choice in item.choices:
            parts.append(choice.text if hasattr(choice, "text") else choice.delta.content)
    return "".join(part or "" for part in parts)


@operations
async def test_a_good_stream(make_client: Callable[..., Any], vllm_sim: SimServer, operation: str) -> None:
    client = make_client(vllm_sim.url)
    assert text(await client.stream(operation, **PLAIN[operation]))
    assert len(vllm_sim.requests) == 1


@operations
@pytest.mark.parametrize("how", ["bytewise", "burst", "crlf", "no_space", "comments", "no_done"])
async def test_a_stream_in_another_form(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, how: str
) -> None:
    client = make_client(vllm_sim.url)
    plain = text(await client.stream(operation, **PLAIN[operation]))
    assert text(await client.stream(operation, **PLAIN[operation], **fault(how))) == plain


async def test_a_delta_that_is_null(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    assert text(await client.stream(CHAT, messages=MESSAGES, **fault("null_delta"))) == "Grüße 👋"
    events = await client.stream("responses.create", input="Say: hello", **fault("null_delta"))
    assert events[-1].response.output_text == "hello"


@operations
@pytest.mark.parametrize("shape", ["nested", "flat"])
async def test_an_error_first_is_raised_by_create(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, shape: str
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(openai.BadRequestError) as caught:
        await client(
            operation, stream=True, **PLAIN[operation], **fault(f"error_chunk; shape={shape}; code=400")
        )
    assert caught.value.http_status == 200
    assert len(vllm_sim.requests) == 1


@operations
async def test_an_error_first_is_retried_like_its_status(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("error_chunk", code=503)
    assert text(await client.stream(operation, **PLAIN[operation]))
    assert len(vllm_sim.requests) == 2


@operations
@pytest.mark.parametrize("shape", ["nested", "flat"])
async def test_an_error_in_the_middle_is_raised_after_what_came_before(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, shape: str
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.stream(
            operation, **PLAIN[operation], **fault(f"error_chunk; after=2; code=503; shape={shape}")
        )
    assert caught.value.status_code == 503
    assert client.seen
    assert len(vllm_sim.requests) == 1


@operations
@pytest.mark.parametrize(
    "how", ["done_only", "unfinished", "cut", "cut; where=character", "cut; how=rst", "cut; where=between"]
)
async def test_a_stream_that_is_not_complete(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, how: str
) -> None:
    if how == "cut; where=character" and operation in ("completions.create", "audio.transcriptions.create"):
        how = "cut; after=2"  # their answers are plain ASCII
    client = make_client(vllm_sim.url, max_retries=0)
    with pytest.raises(IncompleteStreamError) as caught:
        await client.stream(operation, **PLAIN[operation], **fault(how))
    assert caught.value.operation == operation
    assert isinstance(caught.value, openai.APIError)
    assert len(vllm_sim.requests) == 1


async def test_a_cut_after_the_finish_is_still_a_cut(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(IncompleteStreamError):
        await client.stream(CHAT, messages=MESSAGES, **fault("cut; where=finish"))
    assert text(client.seen) == "Grüße 👋"


async def test_everything_before_a_cut_is_handed_over(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(IncompleteStreamError):
        await client.stream(CHAT, messages=LONG, **fault("cut; after=40"))
    assert len(client.seen) == 40


async def test_a_cut_before_the_first_event_is_retried(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("cut", after=0)
    assert text(await client.stream(CHAT, messages=MESSAGES)) == "Grüße 👋"
    assert len(vllm_sim.requests) == 2


async def test_responses_tell_of_the_failure_before_raising(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Count to 50", **fault("cut; after=20"))
    last = client.seen[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert [event.sequence_number for event in client.seen] == list(range(len(client.seen)))


async def test_a_native_responses_stream_that_is_cut(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, responses_api="native")
    events = await client.stream("responses.create", input="Say: hello")
    assert events[-1].type == "response.completed"
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Say: hello", **fault("cut; after=4; where=between"))


@pytest.mark.parametrize("where", ["headers", "first", "middle"])
async def test_a_stall_is_a_timeout_and_not_sent_again(
    make_client: Callable[..., Any], vllm_sim: SimServer, where: str
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(APITimeoutError) as caught:
        await client.stream(CHAT, messages=MESSAGES, timeout=0.2, **fault(f"stall; where={where}; seconds=3"))
    assert isinstance(caught.value, openai.APITimeoutError)
    assert caught.value.operation == CHAT
    assert len(vllm_sim.requests) == 1
    assert vllm_sim.wait_for_abort()


async def test_a_timeout_of_a_look_up_is_sent_again(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, timeout=0.2)
    vllm_sim.fail_next(Fault.of("stall; seconds=3; path=/tokenize"))
    assert (await client("tokenize", prompt="hello")).count
    assert len(vllm_sim.requests) == 2


@operations
async def test_closing_a_stream_stops_the_server(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, kind: str
) -> None:
    client = make_client(vllm_sim.url)
    params = {**PLAIN[operation], **fault("pace; seconds=0.05")}
    stream = await client(operation, stream=True, **params)
    if kind == "sync":
        next(iter(stream))
        stream.close()
    else:
        await anext(aiter(stream))
        await stream.close()
    assert vllm_sim.wait_for_abort()


def test_dropping_a_stream_stops_the_server(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        stream = client.chat.completions.create(messages=LONG, stream=True, **fault("pace; seconds=0.05"))
        next(iter(stream))
        del stream
        assert vllm_sim.wait_for_abort()


def test_dropping_a_stream_that_was_never_read_stops_the_server(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        stream = client.chat.completions.create(messages=LONG, stream=True, **fault("pace; seconds=0.05"))
        del stream
        assert vllm_sim.wait_for_abort()


@pytest.mark.parametrize("begun", [False, True])
async def test_dropping_an_async_stream_stops_the_server(vllm_sim: SimServer, begun: bool) -> None:
    async with AsyncVLLM(vllm_sim.url) as client:
        params = fault("pace; seconds=0.05")
        stream = await client.chat.completions.create(messages=LONG, stream=True, **params)
        if begun:
            await anext(aiter(stream))
        del stream
        assert await asyncio.to_thread(vllm_sim.wait_for_abort)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_a_task_stops_the_server(vllm_sim: SimServer, stream: bool) -> None:
    async with AsyncVLLM(vllm_sim.url) as client:

        async def ask() -> None:
            params: Any = {"messages": LONG, "stream": stream, **fault("stall; where=headers; seconds=5")}
            await client.chat.completions.create(**params)

        task = asyncio.create_task(ask())
        await asyncio.to_thread(vllm_sim.wait_for_requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(vllm_sim.wait_for_abort)
        assert len(vllm_sim.requests) == 1


async def test_a_finished_stream_leaves_its_connection_for_the_next_request(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    for _ in range(3):
        await client.stream(CHAT, messages=MESSAGES)
    assert len({request.client for request in vllm_sim.requests}) == 1


async def test_two_calls_in_one_delta(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("f", "g")]
    question = [{"role": "user", "content": 'Call f {"a": 1}\nCall g {"b": 2}'}]
    client = make_client(vllm_sim.url)
    chunks = await client.stream(CHAT, messages=question, tools=tools, **fault("calls_together"))
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert [call.function.name for call in calls] == ["f", "g"]
    responses_tools = [
        {"type": "function", "name": name, "parameters": {}, "strict": False} for name in ("f", "g")
    ]
    events = await client.stream(
        "responses.create", input=question[0]["content"], tools=responses_tools, **fault("calls_together")
    )
    output = events[-1].response.output
    called = [(item.name, item.arguments) for item in output if item.type == "function_call"]
    assert called == [("f", '{"a": 1}'), ("g", '{"b": 2}')]


async def test_older_reasoning(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    chunks = await client.stream(CHAT, messages=MESSAGES, **fault("reasoning_content"))
    assert "".join(chunk.choices[0].delta.reasoning or "" for chunk in chunks) == "I say it."
    answer = await client(CHAT, messages=MESSAGES, **fault("reasoning_content"))
    assert answer.choices[0].message.reasoning == "I say it."
    assert answer.to_dict()["choices"][0]["message"]["reasoning_content"] == "I say it."  # as it was sent


async def test_errors_of_streams_are_all_ours(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client("http://127.0.0.1:9", max_retries=0)
    with pytest.raises(VLLMError):
        await client.stream(CHAT, messages=MESSAGES)
