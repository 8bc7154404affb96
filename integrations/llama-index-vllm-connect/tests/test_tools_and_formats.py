"""Tools beside a forced format: vLLM holds an answer to the format, so that no tool would be called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index.llms.vllm_connect import VLLM


class Weather(BaseModel):
    city: str
    condition: str


FORMAT = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": Weather.model_json_schema()}}
HELLO = [ChatMessage(content="Hi")]


def get_weather(city: str = "Oslo") -> str:
    """Get the weather in a city."""
    return f"sunny in {city}"


@pytest.fixture
def bodies() -> list[Any]:
    return []


@pytest.fixture
def llm(canned: Any, bodies: list[Any]) -> VLLM:
    """An LLM on a server that does as vLLM: a format binds the answer, else the tool is called, once."""

    def answer(body: Any) -> Any:
        bodies.append(body)
        asked = any(message["role"] == "tool" for message in body["messages"])
        asked = asked or "sunny" in json.dumps(body["messages"])
        choice = body.get("tool_choice", "auto")
        forced = choice == "required" or isinstance(choice, dict)
        bound = body.get("response_format") or body.get("structured_outputs")
        end, message = "stop", {"content": "It is sunny."}
        if body.get("tools") and (forced or not (bound or asked or choice == "none")):
            function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
            call = {"index": 0, "id": f"c{len(bodies)}", "type": "function", "function": function}
            end, message = "tool_calls", {"content": None, "tool_calls": [call]}
        elif bound:
            condition = "sunny" if asked else "invented"
            message = {"content": json.dumps({"city": "Oslo", "condition": condition})}
        told = {"id": "c", "created": 1, "model": "m"}
        if body.get("stream"):
            pairs = ((message, None), ({}, end))
            choices = [{"index": 0, "delta": delta, "finish_reason": reason} for delta, reason in pairs]
            return [{**told, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": end}
        return {**told, "object": "chat.completion", "choices": [choice]}

    return VLLM(base_url=canned(answer), model="m", context_window=4096)


@pytest.fixture
def together(bodies: list[Any]) -> Any:
    """Whether a request had tools that the model may call beside a format."""

    def any_together() -> bool:
        return any(
            body.get("tools") and body.get("tool_choice") == "auto" and body.get("response_format")
            for body in bodies
        )

    return any_together


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("how", ["output_cls", "as_structured_llm", "workflow"])
async def test_an_agent_calls_its_tool_and_answers_in_the_format(llm, run, together, how, streaming):
    if how == "output_cls":
        agent: Any = FunctionAgent(tools=[get_weather], llm=llm, output_cls=Weather, streaming=streaming)
    elif how == "workflow":
        agent = AgentWorkflow.from_tools_or_functions([get_weather], llm=llm, output_cls=Weather)
    else:
        agent = FunctionAgent(tools=[get_weather], llm=llm.as_structured_llm(Weather), streaming=streaming)
    answer, events = await run(agent, "What is the weather in Oslo?")
    results = [event for event in events if type(event).__name__ == "ToolCallResult"]
    assert [result.tool_output.content for result in results] == ["sunny in Oslo"]
    told = json.loads(str(answer)) if how == "as_structured_llm" else answer.structured_response
    assert told == {"city": "Oslo", "condition": "sunny"}
    assert not together()


async def test_a_structured_llm_with_tools(llm, ask, bodies, together):
    structured = llm.as_structured_llm(Weather)
    tool = FunctionTool.from_defaults(get_weather)
    response = await ask(structured, "chat_with_tools", [tool], user_msg="Weather?")
    (call,) = structured.get_tool_calls_from_response(response)
    assert call.tool_kwargs == {"city": "Oslo"}
    response = await ask(structured, "chat_with_tools", [tool], user_msg="It is sunny. Weather?")
    assert response.raw == Weather(city="Oslo", condition="sunny")
    streamed = await ask.stream(structured, "stream_chat_with_tools", [tool], user_msg="Weather?")
    assert structured.get_tool_calls_from_response(streamed[-1])
    streamed = await ask.stream(structured, "stream_chat_with_tools", [tool], user_msg="sunny. Weather?")
    assert streamed[-1].raw == Weather(city="Oslo", condition="sunny")
    assert not together()


@pytest.mark.parametrize(
    "forced",
    [
        {"response_format": FORMAT},
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"extra_body": {"structured_outputs": {"regex": "a+"}}},
    ],
)
async def test_both_in_one_request_are_refused(llm, ask, bodies, forced):
    tool = FunctionTool.from_defaults(get_weather)
    for method in ("chat_with_tools", "stream_chat_with_tools"):
        with pytest.raises(ValueError, match="as_structured_llm"):
            await ask(llm, method, [tool], user_msg="Weather?", **forced)
    always = llm.model_copy(update={"additional_kwargs": forced})
    with pytest.raises(ValueError, match="output_cls"):
        await ask(always, "chat_with_tools", [tool], user_msg="Weather?")
    assert not bodies


@pytest.mark.parametrize(
    "goes", [{"tool_required": True}, {"tool_choice": "none"}, {"tool_choice": "get_weather"}]
)
async def test_a_forced_call_goes_with_a_format_and_so_does_none(llm, ask, bodies, goes):
    tool = FunctionTool.from_defaults(get_weather)
    await ask(llm, "chat_with_tools", [tool], user_msg="Weather?", response_format=FORMAT, **goes)
    assert len(bodies) == 1


async def test_a_structural_tag_leaves_room_for_calls(llm, ask, bodies):
    tag = {"structural_tag": json.dumps({"type": "structural_tag", "format": {"type": "any_text"}})}
    tool = FunctionTool.from_defaults(get_weather)
    await ask(llm, "chat_with_tools", [tool], user_msg="Weather?", structured_outputs=tag)
    assert len(bodies) == 1


@pytest.fixture
def reacting(canned: Any, bodies: list[Any]) -> VLLM:
    """An LLM that acts in the words of ReAct, unless a format binds its answer."""

    def answer(body: Any) -> Any:
        bodies.append(body)
        seen = "Observation: sunny in Oslo" in json.dumps(body["messages"])
        if body.get("response_format"):
            text = json.dumps({"city": "Oslo", "condition": "sunny" if seen else "invented"})
        elif seen:
            text = "Thought: I can answer without using any more tools.\nAnswer: It is sunny."
        else:
            text = 'Thought: I look.\nAction: get_weather\nAction Input: {"city": "Oslo"}'
        told = {"id": "c", "created": 1, "model": "m"}
        if body.get("stream"):
            parts = [text[start : start + 9] for start in range(0, len(text), 9)]
            deltas = [({"content": part}, None) for part in parts] + [({}, "stop")]
            choices = [{"index": 0, "delta": delta, "finish_reason": reason} for delta, reason in deltas]
            return [{**told, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {**told, "object": "chat.completion", "choices": [choice]}

    return VLLM(base_url=canned(answer), model="m", context_window=4096)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_react_agent_acts_before_its_answer_is_put_into_a_format(
    reacting: VLLM, bodies: list[Any], streaming: bool
) -> None:
    agent = ReActAgent(
        tools=[FunctionTool.from_defaults(get_weather)],
        llm=reacting.as_structured_llm(Weather),
        streaming=streaming,
    )
    result = await agent.run("What is the weather in Oslo?")
    assert Weather.model_validate_json(str(result)) == Weather(city="Oslo", condition="sunny")
    assert [bool(body.get("response_format")) for body in bodies] == [False, False, True]


@pytest.mark.parametrize("ask", ["chat", "stream_chat"])
def test_a_chat_that_is_no_agents_is_asked_once(reacting: VLLM, bodies: list[Any], ask: str) -> None:
    answer: Any = getattr(reacting.as_structured_llm(Weather), ask)(HELLO)
    assert (answer if ask == "chat" else list(answer)[-1]).message.content
    assert len(bodies) == 1
