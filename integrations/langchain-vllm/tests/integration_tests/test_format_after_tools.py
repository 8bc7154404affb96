"""Tools beside a forced format: the tool is called, then the answer has the format, in every face."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from pydantic import BaseModel, Field

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import StructuredOutputError
from tests.answering import Body, Said, answering, called


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    condition: str = Field(description="one word")


ANSWER = '{"city": "Oslo", "condition": "sunny"}'
FORMAT = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": Weather.model_json_schema()}}
ASK = "What is the weather in Oslo?"


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny"


def as_vllm(path: str, body: Body) -> Said:
    """The format binds from the first token on, unless a call is forced."""
    constrained = bool(body.get("response_format") or body.get("structured_outputs"))
    choice = body.get("tool_choice", "auto")
    asked = any(message["role"] == "tool" for message in body["messages"])
    may_call = bool(body.get("tools")) and choice != "none" and not (constrained and choice == "auto")
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if may_call and not asked:
        return Said({"reasoning": "I ask.", **called("get_weather", '{"city": "Oslo"}')}, ("tool_calls",))
    if may_call and "Weather" in names:  # LangChain's tool strategy
        return Said(called("Weather", ANSWER, "c2"), ("tool_calls",))
    text = ANSWER if constrained and asked else '{"city": "?", "condition": "invented"}'
    return Said({"reasoning": "I answer.", "content": text if constrained else "It is sunny in Oslo."})


@pytest.fixture
def server():
    with answering(as_vllm) as running:
        yield running


@pytest.fixture
def model(server):
    return ChatVLLM(model="m", base_url=server.url, max_retries=0)


STRATEGIES = {"the default": Weather, "provider": ProviderStrategy(Weather), "tool": ToolStrategy(Weather)}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
async def test_an_agent_calls_its_tools_before_it_answers(server, model, strategy):
    agent = create_agent(model, tools=[get_weather], response_format=strategy)
    question = {"messages": [("user", ASK)]}
    results = [agent.invoke(question), await agent.ainvoke(question)]
    results.append(list(agent.stream(question, stream_mode="values"))[-1])
    results.append([state async for state in agent.astream(question, stream_mode="values")][-1])
    list(agent.stream(question, stream_mode="messages"))
    for result in results:
        assert result["structured_response"] == Weather(city="Oslo", condition="sunny")
        assert [message.type for message in result["messages"]][:3] == ["human", "ai", "tool"]
    for body in server.chats:
        both = body.get("tools") and body.get("response_format")
        assert not both or body["tool_choice"] == "none"


async def faces(chain: Any) -> list[Any]:
    """The message by every face."""
    streamed = list(chain.stream(ASK))
    astreamed = [chunk async for chunk in chain.astream(ASK)]
    events = chain.bound.stream_events(ASK, version="v3", **chain.kwargs)
    assert_valid_event_stream(list(events))
    return [
        chain.invoke(ASK),
        await chain.ainvoke(ASK),
        chain.batch([ASK])[0],
        add_ai_message_chunks(streamed[0], *streamed[1:]),
        add_ai_message_chunks(astreamed[0], *astreamed[1:]),
        events.output,
    ]


async def test_tools_bound_with_a_format_are_called(server, model):
    for message in await faces(model.bind_tools([get_weather], response_format=FORMAT)):
        assert [call["name"] for call in message.tool_calls] == ["get_weather"]
        assert message.content_blocks[0]["reasoning"] == "I ask."
        assert message.usage_metadata["total_tokens"] == 15
    assert len(server.chats) == 6


@pytest.mark.parametrize("bound", ["bind_tools", "the model's own", "extra_body", "structured_outputs"])
async def test_where_no_tool_is_called_the_answer_has_the_format(bound):
    def answer(path: str, body: Body) -> Said:
        constrained = body.get("response_format") or body.get("structured_outputs")
        return Said({"reasoning": "Hm. ", "content": ANSWER if constrained else "It is sunny."})

    with answering(answer) as server:
        fields = {"response_format": FORMAT} if bound == "the model's own" else {}
        model = ChatVLLM(model="m", base_url=server.url, **fields)
        chain = {
            "bind_tools": lambda: model.bind_tools([get_weather], response_format=FORMAT),
            "the model's own": lambda: model.bind_tools([get_weather]),
            "extra_body": lambda: model.bind_tools([get_weather], extra_body={"response_format": FORMAT}),
            "structured_outputs": lambda: model.bind_tools([get_weather], structured_outputs={"json": {}}),
        }[bound]()
        for message in await faces(chain):
            assert message.text == ANSWER
            assert message.content_blocks[0]["reasoning"] == "Hm. Hm. "
            assert message.response_metadata["finish_reason"] == "stop"
            assert message.usage_metadata["input_tokens"] == 20  # of both
            assert message.usage_metadata["output_tokens"] == 10
        for first, second in zip(server.chats[::2], server.chats[1::2], strict=True):
            assert not {"response_format", "structured_outputs"} & first.keys()
            assert (second["tool_choice"], second["tools"]) == ("none", first["tools"])
            if bound == "bind_tools":  # the model reads the format when it binds
                assert "one word" in second["messages"][0]["content"]
            assert second["messages"][-1:] == first["messages"]


def test_with_structured_output_lets_its_tools_be_called(server, model):
    chain = model.with_structured_output(Weather, tools=[get_weather], include_raw=True)
    for result in (chain.invoke(ASK), list(chain.stream(ASK))[-1] | {"raw": chain.invoke(ASK)["raw"]}):
        assert [call["name"] for call in result["raw"].tool_calls] == ["get_weather"]
        assert isinstance(result["parsing_error"], StructuredOutputError)
    answered = [
        HumanMessage(ASK),
        chain.invoke(ASK)["raw"],
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert chain.invoke(answered)["parsed"] == Weather(city="Oslo", condition="sunny")
    assert (
        list(model.with_structured_output(Weather, tools=[get_weather]).stream(answered))[-1].condition
        == "sunny"
    )
    assert [body["messages"][0]["role"] == "system" for body in server.chats] == [False] * 5 + [True] + [
        False,
        True,
    ]


@pytest.mark.parametrize("choice", ["any", "get_weather", "none"])
def test_a_choice_that_says_which_is_obeyed(server, model, choice):
    message = model.bind_tools([get_weather], tool_choice=choice, response_format=FORMAT).invoke(ASK)
    (body,) = server.chats
    if choice == "none":
        assert body["response_format"] == FORMAT
        assert not message.tool_calls
    else:
        assert "response_format" not in body  # beside a named tool vLLM refuses some of them
        assert message.tool_calls


def test_a_structural_tag_says_itself_where_calls_are(server, model):
    tag = {"type": "structural_tag", "structures": [], "triggers": []}
    for fields in ({"response_format": tag}, {"structured_outputs": {"structural_tag": json.dumps(tag)}}):
        model.bind_tools([get_weather], **fields).invoke(ASK)
        assert fields.items() <= server.chats[-1].items()
        assert "tool_choice" not in server.chats[-1]


def test_a_draft_that_was_cut_while_thinking_is_not_asked_again():
    for reason, words in (("length", "max_tokens"), ("abort", "aborted")):
        with answering(lambda path, body, reason=reason: Said({"reasoning": "Well"}, (reason,))) as server:
            chain = ChatVLLM(model="m", base_url=server.url).with_structured_output(
                Weather, tools=[get_weather]
            )
            with pytest.raises(StructuredOutputError, match=words):
                chain.invoke(ASK)
            with pytest.raises(StructuredOutputError, match=words):
                list(chain.stream(ASK))
            assert len(server.chats) == 2


def test_several_answers_are_refused(model):
    with pytest.raises(ValueError, match="n is 1"):
        model.bind_tools([get_weather], response_format=FORMAT, n=2).invoke(ASK)


def test_a_stream_that_is_left_early_asks_nothing_more(server, model):
    stream = model.bind_tools([get_weather], response_format=FORMAT).stream(ASK)
    next(stream)
    stream.close()
    assert len(server.chats) == 1
    asyncio.run(_leave(model))
    assert len(server.chats) == 2


async def _leave(model: ChatVLLM) -> None:
    stream = model.bind_tools([get_weather], response_format=FORMAT).astream(ASK)
    await anext(stream)
    await stream.aclose()
