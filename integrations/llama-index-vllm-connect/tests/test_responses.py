"""The LLM over the Responses API, on either route of the server."""

from __future__ import annotations

import pickle
from itertools import count
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from openai.types.responses import ResponseUsage
from pydantic import BaseModel, ValidationError

from llama_index.llms.vllm_connect import VLLM, VLLMResponses
from llama_index.llms.vllm_connect.messages import wire_messages
from llama_index.llms.vllm_connect.response_params import input_items
from vllm_connect import NotFoundError, UnsupportedOperationError

ASK = [ChatMessage(content="Think: one\nSay: two")]
CALL = 'Call get_weather {"city": "Rome"}'
PATHS = {"auto": "/v1/chat/completions", "chat": "/v1/chat/completions", "native": "/v1/responses"}


class City(BaseModel):
    """A city."""

    name: str


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


WEATHER = FunctionTool.from_defaults(get_weather)


@pytest.fixture(params=PATHS)
def api(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def llm(vllm_sim: Any, api: str) -> VLLMResponses:
    return VLLMResponses(base_url=vllm_sim.url, responses_api=api)


@pytest.fixture
def bodies(sent: Any, api: str) -> Any:
    return lambda: sent(PATHS[api])


async def test_an_answer(llm, ask, bodies):
    response = await ask(llm, "chat", ASK)
    thinking, text = response.message.blocks
    assert (thinking.content, thinking.num_tokens, text.text) == ("one", 1, "two")
    facts = response.additional_kwargs
    assert facts["finish_reason"] == "stop"
    assert isinstance(facts["usage"], ResponseUsage)
    assert facts["total_tokens"] == facts["usage"].total_tokens == response.raw["usage"]["total_tokens"] > 0
    assert (await ask(llm, "complete", "Say: two")).text == "two"
    assert len(bodies()) == 2


async def test_a_stream(llm, ask):
    whole = await ask(llm, "chat", ASK)
    *pieces, last = await ask.stream(llm, "stream_chat", ASK)
    assert "".join(piece.delta for piece in pieces) == "two"
    assert "".join(piece.additional_kwargs.get("thinking_delta", "") for piece in pieces) == "one"
    assert (last.message.blocks, last.delta) == (whole.message.blocks, "")
    assert last.additional_kwargs == whole.additional_kwargs
    texts = await ask.stream(llm, "stream_complete", "Say: two and three")
    assert "".join(text.delta for text in texts) == texts[-1].text == "two and three"


async def test_a_stream_that_is_left(llm, ask, vllm_sim):
    stream = await ask(llm, "stream_chat", [ChatMessage(content="Say: " + "word " * 500)])
    await ask.leave_early(stream)
    assert (await ask(llm, "complete", "Say: two")).text == "two"


async def test_what_is_sent(vllm_sim, api, ask, bodies):
    llm = VLLMResponses(
        base_url=vllm_sim.url,
        responses_api=api,
        instructions="Be brief.",
        max_output_tokens=50,
        reasoning_options={"effort": "low"},
        temperature=0,
        top_k=5,
    )
    assert llm.max_output_tokens == llm.max_tokens == 50
    await ask(llm, "chat", ASK)
    await ask(llm, "chat", ASK, max_output_tokens=40, reasoning_effort="high", instructions="Rhyme.", top_k=6)
    if api == "native":
        told = [
            (body["instructions"], body["max_output_tokens"], body["reasoning"]["effort"], body["top_k"])
            for body in bodies()
        ]
    else:
        told = [
            (
                body["messages"][0]["content"],
                body["max_completion_tokens"],
                body["reasoning_effort"],
                body["top_k"],
            )
            for body in bodies()
        ]
    assert told == [("Be brief.", 50, "low", 5), ("Rhyme.", 40, "high", 6)]


async def test_tools(llm, ask, bodies):
    response = await ask(llm, "chat_with_tools", [WEATHER], user_msg=f"Think: one\n{CALL}")
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Rome"})
    assert response.additional_kwargs["finish_reason"] == "tool_calls"
    parts = await ask.stream(llm, "stream_chat_with_tools", [WEATHER], user_msg=CALL)
    (call,) = llm.get_tool_calls_from_response(parts[-1])
    assert call.tool_kwargs == {"city": "Rome"}
    begun = [llm.get_tool_calls_from_response(part, error_on_no_tool_call=False) for part in parts[:-1]]
    assert {} in [calls[0].tool_kwargs for calls in begun if calls]
    answer = await ask(llm, "predict_and_call", [WEATHER], CALL)
    assert answer.response == "sunny in Rome"
    (tool,) = bodies()[0]["tools"]
    assert (tool.get("function") or tool)["name"] == "get_weather"


async def test_a_tool_that_has_to_be_called(llm, ask, bodies):
    response = await ask(llm, "chat_with_tools", [WEATHER], user_msg="Hello", tool_choice="get_weather")
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "get_weather"
    choice = bodies()[0]["tool_choice"]
    assert (choice.get("function") or choice)["name"] == "get_weather"


@pytest.mark.parametrize("method", ["chat_with_tools", "stream_chat_with_tools"])
async def test_a_call_that_was_cut_is_never_made(llm, ask, method):
    arguments = {"user_msg": CALL, "tool_choice": "get_weather", "max_output_tokens": 3}
    if method == "chat_with_tools":
        response = await ask(llm, method, [WEATHER], **arguments)
    else:
        response = (await ask.stream(llm, method, [WEATHER], **arguments))[-1]
    assert response.additional_kwargs["finish_reason"] == "length"
    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert "get_weather" not in [call.tool_name for call in calls]


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent(llm, bodies, run, streaming):
    agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming, system_prompt="Help.")
    result, events = await run(agent, "What is the weather in Paris?")
    assert str(result) == "The weather in Paris is sunny in Paris."
    (called,) = [event for event in events if type(event) is ToolCallResult]
    assert called.tool_kwargs == {"city": "Paris"}
    assert len(bodies()) == 2
    if streaming:
        deltas = [event.delta for event in events if type(event) is AgentStream]
        assert "".join(deltas) == "The weather in Paris is sunny in Paris."


async def test_structured_answers(llm, ask, bodies):
    prompt = PromptTemplate("Which city?")
    assert isinstance(await ask(llm, "structured_predict", City, prompt), City)
    *begun, whole = await ask.stream(llm, "stream_structured_predict", City, prompt)
    assert isinstance(whole, City)
    assert not any(isinstance(each, City) for each in begun)
    assert isinstance((await ask(llm.as_structured_llm(City), "chat", ASK)).raw, City)
    for body in bodies():
        shown = body.get("instructions") or body["messages"][0]["content"]
        assert "conforms to this JSON schema" in shown
        format_ = body["text"]["format"] if "text" in body else body["response_format"]
        assert format_["type"] == "json_schema"


async def test_the_schema_ends_the_instructions(vllm_sim, api, ask, bodies):
    llm = VLLMResponses(base_url=vllm_sim.url, responses_api=api, instructions="Be brief.")
    await ask(llm, "structured_predict", City, PromptTemplate("Which city?"))
    (body,) = bodies()
    shown = body.get("instructions") or body["messages"][0]["content"]
    assert shown.startswith("Be brief.\n\nAnswer with one JSON value")
    assert len(body.get("input") or body["messages"][1:]) == 1


async def test_tokens(vllm_sim, api, ask):
    llm = VLLMResponses(base_url=vllm_sim.url, responses_api=api, instructions="Be brief.")
    answer = await ask(llm, "chat", ASK)
    assert await ask(llm, "count_tokens", ASK) == answer.additional_kwargs["prompt_tokens"]


async def test_a_conversation_is_the_same_on_every_route(vllm_sim, sent, ask):
    call = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs={"x": 1})
    messages = [
        ChatMessage(role="system", content="Help."),
        ChatMessage(role="user", blocks=[TextBlock(text="What?"), ImageBlock(url="http://a/b.png")]),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="one"), TextBlock(text="I look."), call]),
        ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(role="assistant", content="It is 2."),
        ChatMessage(role="user", content="Say: hello"),
    ]
    await ask(VLLM(base_url=vllm_sim.url), "chat", messages)
    await ask(VLLMResponses(base_url=vllm_sim.url), "chat", messages)
    first, second = (body["messages"] for body in sent())
    image = second[1]["content"][1]["image_url"]
    assert image.pop("detail") == "auto"  # which is what the server does anyway
    assert second == first
    await ask(VLLMResponses(base_url=vllm_sim.url, responses_api="native"), "chat", messages)
    (body,) = sent("/v1/responses")
    kinds = [item["type"] for item in body["input"]]
    assert kinds == [
        "message",
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
        "message",
        "message",
    ]


def test_items_of_an_assistant():
    call = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs="{}")
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])
    (item,) = input_items(wire_messages([message]))
    assert (item["type"], item["call_id"], item["name"], item["arguments"]) == (
        "function_call",
        "c1",
        "f",
        "{}",
    )
    (item,) = input_items(wire_messages([ChatMessage(role=MessageRole.ASSISTANT, content="")]))
    assert (item["type"], item["content"][0]["text"]) == ("message", "")


@pytest.fixture
def storing(canned) -> Any:
    """A server that keeps responses, and what it got."""
    numbers, requests = count(1), []

    def answer(body: Any) -> Any:
        requests.append(body)
        part = {"type": "output_text", "text": "hello", "annotations": []}
        item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
        response = {
            "id": f"resp_{next(numbers)}",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "output": [item],
            "status": "completed",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        if not body.get("stream"):
            return response
        begun = {**response, "output": [], "status": "in_progress"}
        return [
            {"type": "response.created", "sequence_number": 0, "response": begun},
            {"type": "response.completed", "sequence_number": 1, "response": response},
        ]

    return canned(answer), requests


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
async def test_going_on_from_the_last_response(storing, ask, method):
    url, requests = storing
    fields = {"model": "m", "context_window": 4096, "previous_response_id": "resp_0"}
    llm = VLLMResponses(base_url=url, track_previous_responses=True, **fields)
    for _ in range(3):
        if method == "chat":
            response = await ask(llm, "chat", ASK)
        else:
            response = (await ask.stream(llm, "stream_chat", ASK))[-1]
        assert response.message.content == "hello"
    assert [body["previous_response_id"] for body in requests] == ["resp_0", "resp_1", "resp_2"]
    assert all(body["store"] is True for body in requests)
    await ask(llm, "chat", ASK, previous_response_id="resp_1")
    assert requests[-1]["previous_response_id"] == "resp_1"
    await ask(VLLMResponses(base_url=url, responses_api="native", **fields), "chat", ASK)
    assert requests[-1]["previous_response_id"] == "resp_0"


async def test_a_server_that_keeps_nothing_says_so(vllm_sim, ask):
    llm = VLLMResponses(base_url=vllm_sim.url, previous_response_id="resp_x")
    with pytest.raises(NotFoundError, match="resp_x"):
        await ask(llm, "chat", ASK)
    only_chat = llm.model_copy(update={"responses_api": "chat"})
    with pytest.raises(UnsupportedOperationError, match="previous_response_id"):
        await ask(only_chat, "chat", ASK)


WRONG: dict[str, Any] = {
    "built_in_tools": [{"type": "web_search"}],
    "thinking": True,
    "max_output_tokens": "fit",
    "mode": "completion",
}
WRONG_SAYS = {
    "built_in_tools": "OpenAI runs those",
    "thinking": "use enable_thinking=",
    "max_output_tokens": "leave it out",
    "mode": "Input should be 'chat'",
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_it_does_not_have(vllm_sim, ask, name):
    says = WRONG_SAYS[name]
    with pytest.raises(ValidationError, match=says):
        VLLMResponses(base_url=vllm_sim.url, **{name: WRONG[name]})
    if name != "mode":
        with pytest.raises((TypeError, ValueError), match=says):
            await ask(VLLMResponses(base_url=vllm_sim.url), "chat", ASK, **{name: WRONG[name]})
    assert not vllm_sim.requests


async def test_tools_that_are_no_functions_are_refused(llm, ask, vllm_sim):
    with pytest.raises(ValueError, match="'web_search' is none of yours"):
        await ask(llm, "chat", ASK, tools=[{"type": "web_search"}])
    with pytest.raises(ValueError, match="not both"):
        await ask(llm, "chat", ASK, max_tokens=1, max_output_tokens=2)
    assert not vllm_sim.requests


async def test_log_probabilities(llm, ask):
    response = await ask(llm, "chat", ASK, logprobs=True, top_logprobs=2)
    assert "".join(token[0].token for token in response.logprobs).strip() == "two"
    assert {len(token) for token in response.logprobs} == {2}


def test_it_is_saved(vllm_sim):
    llm = VLLMResponses(
        base_url=vllm_sim.url,
        responses_api="native",
        instructions="Be brief.",
        max_output_tokens=5,
        track_previous_responses=True,
    )
    for copied in (
        VLLMResponses.from_dict(llm.to_dict()),
        VLLMResponses.from_json(llm.to_json()),
        pickle.loads(pickle.dumps(llm)),
        llm.model_copy(),
    ):
        assert type(copied) is VLLMResponses
        assert (copied.instructions, copied.max_output_tokens) == ("Be brief.", 5)
        assert copied.client.responses_api == "native"
    assert llm.class_name() != VLLM.class_name()
