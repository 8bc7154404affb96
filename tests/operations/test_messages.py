"""Anthropic's Messages."""

from __future__ import annotations

import pytest
from tests.operations.answers import MODEL, user
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import BadRequestError, ContextLengthError, NotFoundError
from vllm_connect.types import Message, TextBlock, ThinkingBlock, ToolUseBlock

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def question(asked, **params):
    return {"model": MODEL, "messages": [user(asked)], "max_tokens": 200, "temperature": 0, **params}


class TestMessages:
    """Answers in Anthropic's shapes."""

    @covers("messages.create", PLAIN)
    async def test_answer(self, chat):
        message = await chat("messages.create", **question("Say: hello"))
        assert isinstance(message, Message)
        thinking, text = message.content
        assert isinstance(thinking, ThinkingBlock)
        assert isinstance(text, TextBlock)
        assert text.text == message.text == "hello"
        assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
        assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
        assert message.usage.input_tokens > 0 < message.usage.output_tokens

    @covers("messages.create", STREAM)
    async def test_stream(self, chat):
        events = await chat.stream("messages.create", **question("Say: hello"))
        assert events[0].message.content == []
        assert [event.index for event in events if event.type == "content_block_start"] == [0, 1]
        texts = [event.delta.text for event in events if event.type == "content_block_delta"]
        assert "".join(text for text in texts if text) == "hello"
        assert events[-2].delta.stop_reason == "end_turn"
        assert events[-2].usage.output_tokens > 0
        assert events[-1].type == "message_stop"

    async def test_system_and_thinking(self, chat):
        params = question("Say: hello", system="Be brief.", thinking={"type": "disabled"})
        message = await chat("messages.create", **params)
        assert [block.type for block in message.content] == ["text"]

    async def test_tool(self, chat):
        params = question("What is the weather in Paris?", tools=[TOOL])
        message = await chat("messages.create", **params)
        (call,) = (block for block in message.content if isinstance(block, ToolUseBlock))
        assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
        assert message.stop_reason == "tool_use"

    async def test_an_answer_goes_back(self, chat):
        params = question("What is the weather in Paris?", tools=[TOOL])
        message = await chat("messages.create", **params)
        result = {"type": "tool_result", "tool_use_id": message.content[-1].id, "content": "sunny"}
        turns = [
            *params["messages"],
            {
                "role": "assistant",
                "content": [block for block in message.content if block.type == "tool_use"],
            },
            {"role": "user", "content": [result]},
        ]
        counted = await chat("messages.count_tokens", model=MODEL, messages=turns, tools=[TOOL])
        assert counted.input_tokens > message.usage.input_tokens

    async def test_cut(self, chat):
        message = await chat("messages.create", **question("Say: hello", max_tokens=2))
        assert message.stop_reason == "max_tokens"

    @covers("messages.count_tokens")
    async def test_count(self, chat):
        counted = await chat("messages.count_tokens", model=MODEL, messages=[user("Say: hello")])
        tokens = await chat("tokenize", model=MODEL, messages=[user("Say: hello")])
        assert counted.input_tokens == tokens.count

    async def test_errors(self, chat):
        with pytest.raises(NotFoundError, match="nobody"):
            await chat("messages.create", **question("Say: hello", model="nobody"))
        with pytest.raises(BadRequestError, match="max_tokens"):
            await chat("messages.create", **question("Say: hello", max_tokens=None))
        with pytest.raises(BadRequestError):
            await chat.stream("messages.create", **question("Say: hello", top_p=2))
        with pytest.raises(ContextLengthError):
            await chat("messages.create", **question("word " * 3000))
        with pytest.raises(TypeError, match="max_token"):
            await chat("messages.create", **question("Say: hello", max_completion_tokens=3))
