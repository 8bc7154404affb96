"""Chat completions that call tools."""

from __future__ import annotations

import json

import pytest
from tests.operations.answers import (
    PARIS,
    TOOLS,
    WEATHER,
    ask,
    calls,
    content,
    finish,
    reasoning,
    stream,
    streamed_calls,
    user,
)

from vllm_connect import BadRequestError

TWO = 'Call get_weather {"city": "Rome"}\nCall add {"a": 1, "b": 2}'
TWO_CALLS = [("get_weather", '{"city": "Rome"}'), ("add", '{"a": 1, "b": 2}')]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


class TestTools:
    """Tool calls, and what is made of their results."""

    # With vLLM the finish_reason of a call by name is "stop", and the content is null or "".
    @pytest.mark.parametrize(
        ("choice", "ending"),
        [
            pytest.param(None, "tool_calls", id="unset"),
            pytest.param("auto", "tool_calls", id="auto"),
            pytest.param("required", "tool_calls", id="required"),
            pytest.param(NAMED, "stop", id="named"),
        ],
    )
    async def test_call(self, chat, choice, ending):
        asked = "What is the weather in Paris?"
        (answer,) = (await ask(chat, asked, tools=TOOLS, tool_choice=choice)).choices
        assert calls(answer.message) == [PARIS]
        assert answer.finish_reason == ending
        assert answer.message.reasoning == "I call the tool."
        assert not answer.message.content
        (call,) = answer.message.tool_calls
        assert call.type == "function"
        assert call.id
        chunks = await stream(chat, asked, tools=TOOLS, tool_choice=choice)
        assert streamed_calls(chunks) == [PARIS]
        assert finish(chunks) == [ending]
        assert (reasoning(chunks), content(chunks)) == ("I call the tool.", "")

    @pytest.mark.parametrize("choice", ["auto", "none"])
    async def test_no_call(self, chat, choice):
        (answer,) = (await ask(chat, "Say: hello", tools=TOOLS, tool_choice=choice)).choices
        assert (answer.message.content, answer.message.tool_calls) == ("hello", None)
        assert answer.finish_reason == "stop"
        chunks = await stream(chat, "Say: hello", tools=TOOLS, tool_choice=choice)
        assert (content(chunks), streamed_calls(chunks), finish(chunks)) == ("hello", [], ["stop"])

    async def test_two_calls(self, chat):
        (answer,) = (await ask(chat, TWO, tools=TOOLS)).choices
        assert calls(answer.message) == TWO_CALLS
        assert len({call.id for call in answer.message.tool_calls}) == 2
        chunks = await stream(chat, TWO, tools=TOOLS)
        assert streamed_calls(chunks) == TWO_CALLS
        assert finish(chunks) == ["tool_calls"]

    async def test_one_call_at_a_time(self, chat):
        (answer,) = (await ask(chat, TWO, tools=TOOLS, parallel_tool_calls=False)).choices
        assert calls(answer.message) == TWO_CALLS[:1]
        chunks = await stream(chat, TWO, tools=TOOLS, parallel_tool_calls=False)
        assert streamed_calls(chunks) == TWO_CALLS[:1]

    async def test_words_beside_a_call(self, chat):
        asked = 'Say: I will look.\nCall get_weather {"city": "Rome"}'
        (answer,) = (await ask(chat, asked, tools=TOOLS)).choices
        assert answer.message.content.strip() == "I will look."
        assert calls(answer.message) == TWO_CALLS[:1]
        chunks = await stream(chat, asked, tools=TOOLS)
        assert content(chunks).strip() == "I will look."
        assert streamed_calls(chunks) == TWO_CALLS[:1]

    async def test_strict(self, chat):
        strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
        (answer,) = (await ask(chat, "What is the weather in Paris?", tools=[strict])).choices
        assert calls(answer.message) == [PARIS]

    @pytest.mark.parametrize("form", ["object", "dict"])
    async def test_result(self, chat, form):
        """The answer goes back as the SDK's own object, with its reasoning, or as a dictionary."""
        asked = [user("What is the weather in Paris?")]
        message = (await ask(chat, asked, tools=TOOLS)).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
        sent_back = message if form == "object" else message.model_dump(exclude_none=True)
        turns = [*asked, sent_back, result]
        (answer,) = (await ask(chat, turns, tools=TOOLS)).choices
        assert answer.message.content == "The weather in Paris is sunny."
        assert answer.message.reasoning == "I tell the result."
        assert content(await stream(chat, turns, tools=TOOLS)) == "The weather in Paris is sunny."

    async def test_two_turns(self, chat):
        turns = [user("What is the weather in Paris?")]
        for _ in range(2):
            message = (await ask(chat, turns, tools=TOOLS)).choices[0].message
            turns.append(message)
            if not message.tool_calls:
                break
            (call,) = message.tool_calls
            assert json.loads(call.function.arguments) == {"city": "Paris"}
            turns.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        turns.append(user("Say: goodbye"))
        assert (await ask(chat, turns, tools=TOOLS)).choices[0].message.content == "goodbye"

    async def test_unknown_tool(self, chat):
        nobody = {"type": "function", "function": {"name": "nobody"}}
        with pytest.raises(BadRequestError, match="tool"):
            await ask(chat, "Hello", tools=TOOLS, tool_choice=nobody)
