"""The LLM over the Responses API on a real server, by both of its routes."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index.llms.vllm_connect import VLLM, VLLMResponses
from vllm_connect import NotFoundError

SAY = [ChatMessage(content="Think: I look outside.\nSay: The sky is blue today.")]
CALL = 'Call get_weather {"city": "Paris"}'


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny"


WEATHER = FunctionTool.from_defaults(get_weather)


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture(params=["auto", "native"])
def llm(url_of: Any, request: pytest.FixtureRequest) -> VLLMResponses:
    return VLLMResponses(
        base_url=url_of("chat"), responses_api=request.param, temperature=0, max_output_tokens=200
    )


async def test_it_answers_as_chat_completions_do(llm, url_of, ask):
    chat = await ask(VLLM(base_url=url_of("chat"), temperature=0, max_tokens=200), "chat", SAY)
    answer = await ask(llm, "chat", SAY)
    *pieces, last = await ask.stream(llm, "stream_chat", SAY)
    assert answer.message.blocks == last.message.blocks == chat.message.blocks
    for name in ("prompt_tokens", "completion_tokens", "finish_reason"):
        assert answer.additional_kwargs[name] == last.additional_kwargs[name] == chat.additional_kwargs[name]
    assert "".join(piece.delta for piece in pieces) == "The sky is blue today."
    thoughts = [piece.additional_kwargs.get("thinking_delta", "") for piece in pieces]
    assert "".join(thoughts) == "I look outside."
    assert answer.additional_kwargs["usage"].output_tokens_details.reasoning_tokens > 0


async def test_instructions_are_counted(url_of, ask):
    llm = VLLMResponses(base_url=url_of("chat"), instructions="Be brief.", temperature=0)
    answer = await ask(llm, "chat", SAY)
    assert await ask(llm, "count_tokens", SAY) == answer.additional_kwargs["prompt_tokens"]


async def test_a_tool_loop(llm, ask):
    first = await ask(llm, "chat_with_tools", [WEATHER], user_msg=CALL)
    (call,) = llm.get_tool_calls_from_response(first)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris"})
    result = ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.tool_id})
    history = [ChatMessage(content=CALL), first.message, result]
    answer = await ask(llm, "chat_with_tools", [WEATHER], chat_history=history)
    assert "sunny" in answer.message.content


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent(llm, run, streaming):
    agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming)
    result, _ = await run(agent, "What is the weather in Paris?")
    assert "sunny" in str(result)


async def test_a_call_that_was_cut(llm, ask):
    forced = {"user_msg": CALL, "tool_choice": "get_weather", "max_output_tokens": 4}
    whole = await ask(llm, "chat_with_tools", [WEATHER], **forced)
    streamed = (await ask.stream(llm, "stream_chat_with_tools", [WEATHER], **forced))[-1]
    for response in (whole, streamed):
        assert response.additional_kwargs["finish_reason"] == "length"
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        assert "get_weather" not in [call.tool_name for call in calls]


async def test_objects(llm, ask):
    prompt = PromptTemplate("Which city?")
    assert isinstance(await ask(llm, "structured_predict", City, prompt), City)
    assert isinstance((await ask.stream(llm, "stream_structured_predict", City, prompt))[-1], City)


async def test_a_response_that_nobody_keeps(url_of, ask):
    llm = VLLMResponses(base_url=url_of("chat"), previous_response_id="resp_x")
    with pytest.raises(NotFoundError, match="resp_x"):
        await ask(llm, "chat", SAY)
