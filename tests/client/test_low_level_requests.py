"""`client.post` with the SDK's types, as LiteLLM and vLLM's examples call it: checked as `create` is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types import Completion
from openai.types.audio import TranscriptionStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from tests.both import each, settled
from tests.client.requests import MESSAGES
from tests.media import tone

from vllm_connect import IncompleteStreamError, InvalidResponseError
from vllm_connect.sim import SimServer

RAW = {"X-Stainless-Raw-Response": "true"}
FORM = {"Content-Type": "multipart/form-data"}
# path, what is asked, the type of an answer, the type of an item of a stream
KINDS: dict[str, tuple[str, dict[str, Any], Any, Any]] = {
    "chat": ("/chat/completions", {"body": {"messages": MESSAGES}}, ChatCompletion, ChatCompletionChunk),
    "completions": ("/completions", {"body": {"prompt": "Say: hi"}}, Completion, Completion),
    "responses": ("/responses", {"body": {"input": "Say: hi"}}, Response, ResponseStreamEvent),
}
STREAMS = {
    **KINDS,
    "transcriptions": (
        "/audio/transcriptions",
        {"body": {}, "files": {"file": ("a.wav", tone(300))}, "options": {"headers": FORM}},
        None,
        TranscriptionStreamEvent,
    ),
}


async def post(client: Any, kind: str) -> Any:
    path, request, cast_to, _ = KINDS[kind]
    return await settled(client.client.post(path, cast_to=cast_to, **request))


async def items(client: Any, kind: str, *, classes: bool = True, options: Any = None) -> list[Any]:
    """What a stream gives; `classes` says how its type is told."""
    path, request, _, item = STREAMS[kind]
    stream_cls = openai.Stream if client.kind == "sync" else openai.AsyncStream
    how = {"cast_to": object, "stream_cls": stream_cls[item]} if classes else {"cast_to": item}
    if options:
        request = {**request, "options": options}
    body = {**request["body"], "stream": True}
    stream = await settled(client.client.post(path, **{**request, "body": body}, stream=True, **how))
    if options:
        stream = await settled(stream.parse())
    return [item async for item in each(stream)]


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_that_ends_early_is_an_error(
    make_client: Callable[..., Any], vllm_sim: SimServer, kind: str, classes: bool
) -> None:
    client = make_client(vllm_sim.url)
    assert len(await items(client, kind, classes=classes)) > 1
    vllm_sim.fail_next("unfinished")
    with pytest.raises(IncompleteStreamError):
        await items(client, kind, classes=classes)


@pytest.mark.parametrize("kind", STREAMS)
async def test_an_error_event_is_raised(
    make_client: Callable[..., Any], vllm_sim: SimServer, kind: str
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("error_chunk", after=1, shape="flat", code=500)
    with pytest.raises(openai.InternalServerError):
        await items(client, kind)


async def test_a_raw_stream_is_checked_when_it_is_parsed(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    assert len(await items(client, "chat", options={"headers": RAW})) > 1
    vllm_sim.fail_next("done_only")
    with pytest.raises(IncompleteStreamError):
        await items(client, "chat", options={"headers": RAW})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_whole_answer_is_checked(
    make_client: Callable[..., Any], vllm_sim: SimServer, kind: str
) -> None:
    client = make_client(vllm_sim.url, max_retries=0)
    assert isinstance(await post(client, kind), KINDS[kind][2])
    vllm_sim.fail_next("error_200", code=500)
    with pytest.raises(openai.InternalServerError):
        await post(client, kind)
    vllm_sim.fail_next("html", status=200)
    with pytest.raises(InvalidResponseError):
        await post(client, kind)


async def test_the_parser_of_a_request_gets_what_was_read(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    body, options = {"messages": MESSAGES}, {"post_parser": lambda answer: answer.choices[0].message.content}
    call = client.client.post("/chat/completions", cast_to=ChatCompletion, body=body, options=options)
    assert await settled(call) == "Grüße 👋"


async def test_a_stream_class_of_the_callers_own_is_left_alone(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    base: Any = openai.Stream if client.kind == "sync" else openai.AsyncStream

    class Own(base[ChatCompletionChunk]):  # type: ignore[misc]  # chosen at run time
        pass

    body = {"messages": MESSAGES, "stream": True}
    call = client.client.post("/chat/completions", cast_to=object, body=body, stream=True, stream_cls=Own)
    stream = await settled(call)
    assert type(stream) is Own
    assert [item async for item in each(stream)]
