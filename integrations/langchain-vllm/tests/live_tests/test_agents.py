"""Agents and structured answers of a real server: tools beside a format, cut answers, what the model sees."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from pydantic import BaseModel, Field

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import StructuredOutputError
from tests.servers import live_url

ASK = "What is the weather in Oslo?"
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


async def test_an_agent_with_a_response_format_calls_its_tool_and_answers_in_the_format(model):
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
