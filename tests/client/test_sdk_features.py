"""What the OpenAI SDK offers around every operation works here, too."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from tests.both import each, settled
from tests.client.requests import MESSAGES, PLAIN

from vllm_connect import VLLM, AsyncVLLM, UnsupportedOperationError
from vllm_connect.sim import SimServer

QUIET = {"chat_template_kwargs": {"enable_thinking": False}}


class City(BaseModel):
    name: str
    people: int


JSON = [{"role": "user", "content": 'Say: {"name": "Paris", "people": 2}'}]


async def test_results_are_the_official_types(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    assert isinstance(await client("chat.completions.create", messages=MESSAGES), ChatCompletion)
    chunks = await client.stream("chat.completions.create", messages=MESSAGES)
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    assert isinstance(await client("embeddings.create", input="x"), openai.types.CreateEmbeddingResponse)
    assert isinstance(await client("responses.create", input="Say: x"), openai.types.responses.Response)
    assert isinstance(await client("completions.create", prompt="x"), openai.types.Completion)


async def test_parse(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    completion = await client("chat.completions.parse", messages=JSON, response_format=City, **QUIET)
    assert completion.choices[0].message.parsed == City(name="Paris", people=2)
    response = await client("responses.parse", input=JSON[0]["content"], text_format=City, **QUIET)
    assert response.output_parsed == City(name="Paris", people=2)


async def test_parse_of_a_cut_answer(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await make_client(vllm_sim.url)(
            "chat.completions.parse", messages=JSON, response_format=City, max_tokens=2, **QUIET
        )


def test_stream_helpers(vllm_sim: SimServer) -> None:
    with VLLM(vllm_sim.url) as client:
        with client.chat.completions.stream(messages=JSON, response_format=City, **QUIET) as chat:
            events = [event.type for event in chat]
            assert chat.get_final_completion().choices[0].message.parsed == City(name="Paris", people=2)
        assert events[-1] == "content.done"
        with client.responses.stream(input=JSON[0]["content"], text_format=City, **QUIET) as responses:
            types = [event.type for event in responses]
            assert responses.get_final_response().output_parsed == City(name="Paris", people=2)
        assert types[0] == "response.created"
        assert types[-1] == "response.completed"


async def test_async_stream_helpers(vllm_sim: SimServer) -> None:
    async with AsyncVLLM(vllm_sim.url) as client:
        async with client.chat.completions.stream(messages=JSON, response_format=City, **QUIET) as chat:
            async for _ in chat:
                pass
            assert (await chat.get_final_completion()).choices[0].message.parsed == City(
                name="Paris", people=2
            )
        async with client.responses.stream(input=JSON[0]["content"], text_format=City, **QUIET) as responses:
            async for _ in responses:
                pass
            assert (await responses.get_final_response()).output_parsed == City(name="Paris", people=2)


def resource_of(client: Any, operation: str) -> tuple[Any, str]:
    path, _, method = operation.rpartition(".")
    resource = client
    for name in (path or "tokens").split("."):
        resource = getattr(resource, name)
    return resource, method


@pytest.mark.parametrize("operation", PLAIN)
async def test_raw_responses(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, kind: str
) -> None:
    client = make_client(vllm_sim.url)
    result = await client(operation, **PLAIN[operation])
    resource, method = resource_of(client.client, operation)
    raw = getattr(resource.with_raw_response, method)(**PLAIN[operation])
    raw = await raw if kind == "async" else raw
    assert raw.status_code == 200
    assert type(raw.parse()) is type(result)


@pytest.mark.parametrize("operation", PLAIN)
async def test_streamed_responses(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, kind: str
) -> None:
    resource, method = resource_of(make_client(vllm_sim.url).client, operation)
    manager = getattr(resource.with_streaming_response, method)(**PLAIN[operation])
    if kind == "sync":
        with manager as response:
            assert response.status_code == 200
            assert b"".join(response.iter_bytes())
    else:
        async with manager as response:
            assert response.status_code == 200
            assert b"".join([data async for data in response.iter_bytes()])


async def test_a_raw_stream(make_client: Callable[..., Any], vllm_sim: SimServer, kind: str) -> None:
    completions = make_client(vllm_sim.url).client.chat.completions
    raw = completions.with_raw_response.create(messages=MESSAGES, stream=True)
    if kind == "sync":
        assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse()) == "Grüße 👋"
        with completions.with_streaming_response.create(messages=MESSAGES, stream=True) as response:
            lines = list(response.iter_lines())
    else:
        stream = (await raw).parse()
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Grüße 👋"
        async with completions.with_streaming_response.create(messages=MESSAGES, stream=True) as response:
            lines = [line async for line in response.iter_lines()]
    # The look at the first event takes nothing away.
    assert lines[0].startswith('data: {"id"')
    assert "data: [DONE]" in lines


async def test_options_of_a_request(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url, default_headers={"X-Team": "blue"}, default_query={"a": "1"})
    await client(
        "chat.completions.create",
        messages=MESSAGES,
        extra_headers={"X-Request-Id": "42"},
        extra_query={"b": "2"},
        extra_body={"top_k": 3},
    )
    (request,) = vllm_sim.requests
    assert request.headers["x-team"] == "blue"
    assert request.headers["x-request-id"] == "42"
    assert request.json["top_k"] == 3
    assert request.json.keys() == {"messages", "top_k"}


async def test_routes_without_a_resource(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url + "/v1")
    reply = await client("post", path="/embeddings", body={"input": "x"}, cast_to=object)
    assert reply["object"] == "list"
    reply = await client("get", path=f"{vllm_sim.url}/version", cast_to=object)
    assert reply["version"]


class Weather(BaseModel):
    city: str


@pytest.mark.parametrize("once", [False, True])
async def test_tools_made_of_classes_are_parsed(
    make_client: Callable[..., Any], vllm_sim: SimServer, once: bool
) -> None:
    client = make_client(vllm_sim.url)
    tools: Any = [openai.pydantic_function_tool(Weather, name="get_weather")]
    question = 'Call get_weather {"city": "Rome"}'
    completion = await client(
        "chat.completions.parse",
        messages=[{"role": "user", "content": question}],
        tools=iter(tools) if once else tools,
    )
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.parsed_arguments == Weather(city="Rome")
    response = await client("responses.parse", input=question, tools=iter(tools) if once else tools)
    calls = [item for item in response.output if item.type == "function_call"]
    assert [item.parsed_arguments for item in calls] == [Weather(city="Rome")]


@pytest.mark.parametrize("responses_api", ["chat", "native"])
async def test_a_misspelt_parameter_of_responses(
    make_client: Callable[..., Any], vllm_sim: SimServer, responses_api: str
) -> None:
    client = make_client(vllm_sim.url, responses_api=responses_api)
    with pytest.raises((TypeError, openai.OpenAIError), match="did you mean 'temperature'"):
        await client("responses.create", input="Say: x", temprature=0)
    assert vllm_sim.requests == []


class Forecast(BaseModel):
    """What the weather will be."""

    degrees: int


def beside_format(resource: str, tools: Any, **more: Any) -> dict[str, Any]:
    """Arguments of `parse` with tools and a class for the answer."""
    if resource == "responses":
        return {"input": "Say: hi", "text_format": Forecast, "tools": [{"type": "function", **tools}], **more}
    tool = {"type": "function", "function": tools}
    return {"messages": MESSAGES, "response_format": Forecast, "tools": [tool], **more}


LOOK_UP = {"name": "look_up", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.mark.parametrize("resource", ["chat.completions", "responses"])
@pytest.mark.parametrize("more", [{}, {"tool_choice": "auto"}, {"tool_choice": None}])
@pytest.mark.parametrize("face", ["parse", "stream"])
async def test_tools_that_could_never_be_called_are_refused(
    make_client: Callable[..., Any], vllm_sim: SimServer, resource: str, face: str, more: dict[str, Any]
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(UnsupportedOperationError, match="no tool is ever called"):
        await settled(
            attrgetter(f"{resource}.{face}")(client.client)(**beside_format(resource, LOOK_UP, **more))
        )
    assert not vllm_sim.requests


@pytest.mark.parametrize("resource", ["chat.completions", "responses"])
@pytest.mark.parametrize("choice", ["none", "required"])
async def test_tools_that_are_called_always_or_never_go_along_with_a_format(
    make_client: Callable[..., Any], vllm_sim: SimServer, resource: str, choice: str
) -> None:
    client = make_client(vllm_sim.url)
    answer = await client(f"{resource}.parse", **beside_format(resource, LOOK_UP, tool_choice=choice))
    parsed = answer.output_parsed if resource == "responses" else answer.choices[0].message.parsed
    assert isinstance(parsed, Forecast) == (choice == "none")


@pytest.mark.parametrize("operation", ["chat.completions.create", "completions.create", "responses.create"])
async def test_any_true_value_asks_for_a_stream(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    streamed = [item async for item in each(await client(operation, stream=1, **PLAIN[operation]))]
    assert len(streamed) > 1
    assert vllm_sim.requests[-1].json["stream"] is True
