"""Agents and structured answers of a real server: tools beside a format, cut answers, what the model sees."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from vllm_connect import VLLM

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import InvalidToolCallsError, StructuredOutputError
from langchain_vllm.middleware import InvalidToolCallMiddleware
from tests.servers import live_url

ASK = "What is the weather in Oslo?"
SERVERS = ["chat", "strict"]  # the latter's chat template refuses what is out of order
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    condition: Literal["sunny", "rainy"] = Field(description="one word")


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"The weather in {city} is sunny."


@pytest.fixture
def model() -> ChatVLLM:
    return ChatVLLM(model="tiny-chat", base_url=live_url("chat"), temperature=0, max_tokens=120)


@pytest.mark.parametrize("server", SERVERS)
async def test_an_agent_with_a_response_format_calls_its_tool_and_answers_in_the_format(server):
    model = ChatVLLM(base_url=live_url(server), temperature=0, max_tokens=120)
    agent: Any = create_agent(model, tools=[get_weather], response_format=Weather)
    question = {"messages": [("user", ASK)]}
    for result in (
        agent.invoke(question),
        await agent.ainvoke(question),
        list(agent.stream(question, stream_mode="values"))[-1],
        [state async for state in agent.astream(question, stream_mode="values")][-1],
    ):
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
        assert result["messages"][1].tool_calls[0]["args"] == {"city": "Oslo"}
        assert isinstance(result["structured_response"], Weather)


async def test_tools_beside_a_structure_in_every_face(model):
    chain = model.bind_tools([get_weather], response_format=_format())
    streamed = list(chain.stream(ASK))
    astreamed = [chunk async for chunk in chain.astream(ASK)]
    for message in (
        chain.invoke(ASK),
        await chain.ainvoke(ASK),
        add_ai_message_chunks(streamed[0], *streamed[1:]),
        add_ai_message_chunks(astreamed[0], *astreamed[1:]),
    ):
        assert [call["name"] for call in message.tool_calls] == ["get_weather"]
    call = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "c1"}
    history = [HumanMessage(ASK), AIMessage("", tool_calls=[call]), ToolMessage("sunny", tool_call_id="c1")]
    for message in (chain.invoke(history), _sum(list(chain.stream(history)))):
        assert Weather.model_validate_json(message.text)
        assert not message.tool_calls


def _format() -> dict[str, Any]:
    wire = {"name": "Weather", "schema": Weather.model_json_schema()}
    return {"type": "json_schema", "json_schema": wire}


def _sum(chunks: list[Any]) -> Any:
    return add_ai_message_chunks(chunks[0], *chunks[1:])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_answer_that_max_tokens_cuts_is_an_error(method):
    model = ChatVLLM(base_url=live_url("chat"), temperature=0, max_tokens=6, **QUIET)
    chain = model.with_structured_output(Weather, method=method)
    for face in (
        chain.invoke,
        lambda ask: list(chain.stream(ask)),
        lambda ask: asyncio.run(chain.ainvoke(ask)),
    ):
        with pytest.raises(StructuredOutputError, match="max_tokens"):
            face(ASK)


def test_an_answer_that_a_stop_string_cuts_is_an_error():
    model = ChatVLLM(base_url=live_url("chat"), temperature=0, max_tokens=100, stop=["condition"], **QUIET)
    with pytest.raises(StructuredOutputError, match="'condition'"):
        model.with_structured_output(Weather).invoke(ASK)


def test_the_model_reads_the_schema_that_binds_it(model):
    def prompt_tokens(**options: Any) -> int:
        chain = model.with_structured_output(Weather, include_raw=True, **options)
        return chain.invoke(ASK)["raw"].usage_metadata["input_tokens"]

    plain = model.invoke(ASK).usage_metadata["input_tokens"]
    assert prompt_tokens(show_schema=False) == plain  # vLLM itself shows nothing of it
    assert prompt_tokens() > plain


def test_the_schema_comes_from_the_prefix_cache(model):
    chain = model.with_structured_output(Weather, include_raw=True)
    chain.invoke(ASK)
    usage = chain.invoke("What is the weather in Rome?")["raw"].usage_metadata
    assert usage["input_token_details"]["cache_read"] > 0


@pytest.mark.parametrize("server", SERVERS)
async def test_an_agent_calls_its_tool_and_answers(server):
    model = ChatVLLM(base_url=live_url(server), temperature=0, max_tokens=120)
    agent: Any = create_agent(model, tools=[get_weather], system_prompt="Answer briefly.")
    question = {"messages": [("user", ASK)]}
    for result in (
        agent.invoke(question),
        await agent.ainvoke(question),
        list(agent.stream(question, stream_mode=["messages", "values"]))[-1][1],
        [state async for state in agent.astream(question, stream_mode=["messages", "values"])][-1][1],
    ):
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
        further = {"messages": [*result["messages"], ("user", "Say: thanks")]}
        assert agent.invoke(further)["messages"][-1].text


made: list[str] = []


@tool("get_weather")
def noting_weather(city: str) -> str:
    """Get the weather in a city."""
    made.append(city)
    return f"The weather in {city} is sunny."


def cut_faces(chain: Any) -> dict[str, Any]:
    async def events(version: str) -> Any:
        if version == "v3":
            return await (await chain.astream_events(ASK, version="v3")).output
        return [event async for event in chain.astream_events(ASK, version="v2")][-1]["data"]["output"]

    async def astreamed() -> Any:
        return _sum([chunk async for chunk in chain.astream(ASK)])

    return {
        "invoke": lambda: chain.invoke(ASK),
        "ainvoke": lambda: asyncio.run(chain.ainvoke(ASK)),
        "stream": lambda: _sum(list(chain.stream(ASK))),
        "astream": lambda: asyncio.run(astreamed()),
        "v2 events": lambda: asyncio.run(events("v2")),
        "v3 events": lambda: chain.stream_events(ASK, version="v3").output,
        "async v3 events": lambda: asyncio.run(events("v3")),
    }


@pytest.mark.parametrize("face", list(cut_faces(None)))
def test_a_tool_call_that_max_tokens_cuts_is_invalid(face):
    """Wherever the cut falls: a call is whole, invalid, or not there yet."""
    seen = set()
    for most in range(4, 40, 2):
        model = ChatVLLM(base_url=live_url("chat"), temperature=0, max_tokens=most, **QUIET)
        message = cut_faces(model.bind_tools([noting_weather]))[face]()
        for call in message.tool_calls:
            assert call["args"] == {"city": "Oslo"}
        if message.response_metadata["finish_reason"] == "length":
            seen.add("invalid" if message.invalid_tool_calls else "nothing yet")
        assert len(message.tool_calls) + len(message.invalid_tool_calls) <= 1
    assert "invalid" in seen or face in (
        "invoke",
        "ainvoke",
    )  # of a whole answer vLLM's parser leaves it text


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("mode", ["values", "messages"])
def test_half_a_call_runs_nothing_and_the_model_is_told(server, mode):
    made.clear()
    for most in (12, 16, 20, 24, 28):
        model = ChatVLLM(base_url=live_url(server), temperature=0, max_tokens=most, **QUIET)
        middleware = [InvalidToolCallMiddleware(max_in_a_row=2)]
        agent: Any = create_agent(model, tools=[noting_weather], middleware=middleware)
        with suppress(InvalidToolCallsError):  # as it may end, with so few tokens
            list(agent.stream({"messages": [("user", ASK)]}, stream_mode=mode))
    assert set(made) <= {"Oslo"}


def test_a_stream_of_events_that_is_left_ends_the_generation():
    model = ChatVLLM(base_url=live_url("strict"), temperature=0, max_tokens=1900).bind(ignore_eos=True)
    server = VLLM(live_url("strict")).server
    _, before = server_state(server)
    for _ in model.stream_events("Say: hello", version="v3").reasoning:
        break
    until = time.monotonic() + 10
    while server_state(server)[0] and time.monotonic() < until:
        time.sleep(0.1)
    running, after = server_state(server)
    assert running == 0
    assert after - before < 1500


def server_state(server: Any) -> tuple[float, float]:
    """Requests that run now, and tokens generated since the start."""
    metrics = server.metrics()

    def value(name: str) -> float:
        return float(re.findall(rf"^vllm:{name}{{.*}} (\S+)$", metrics, re.MULTILINE)[0])

    return value("num_requests_running"), value("generation_tokens_total")
