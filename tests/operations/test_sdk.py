"""What the OpenAI SDK offers around a chat completion, with vLLM's fields in it."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.both import each, opened, settled
from tests.operations.answers import (
    MODEL,
    PARIS,
    QUIET,
    TOOLS,
    WEATHER,
    Joke,
    ask,
    calls,
    question,
    say,
    user,
)
from tests.operations.catalogue import covers

import vllm_connect


class TestSDK:
    """Helpers, raw responses, options and types."""

    async def test_types_are_the_sdks(self, chat):
        assert isinstance(chat.client, (openai.OpenAI, openai.AsyncOpenAI))
        assert isinstance(await ask(chat, "Say: hello"), ChatCompletion)
        for chunk in await chat.stream("chat.completions.create", **question("Say: hello")):
            assert isinstance(chunk, ChatCompletionChunk)

    async def test_stream_class(self, chat):
        stream = await chat("chat.completions.create", stream=True, **question("Say: hello"))
        assert isinstance(stream, (openai.Stream, openai.AsyncStream))
        async with opened(stream) as entered:
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in each(entered)]) == "hello"

    @covers("chat.completions.parse")
    async def test_parse(self, chat):
        asked = question("Tell me a joke about cats.", response_format=Joke)
        message = (await chat("chat.completions.parse", **asked)).choices[0].message
        assert message.parsed == Joke.model_validate_json(message.content)
        assert message.reasoning == "I answer."

    async def test_parse_of_what_was_cut(self, chat):
        asked = question("Tell me a joke about cats.", response_format=Joke, max_tokens=15)
        with pytest.raises(openai.LengthFinishReasonError):
            await chat("chat.completions.parse", **asked)

    async def test_parse_tools(self, chat):
        function = {**WEATHER["function"], "strict": True}
        function["parameters"] = {**function["parameters"], "additionalProperties": False}
        strict = [{"type": "function", "function": function}]
        asked = question("What is the weather in Paris?", tools=strict)
        message = (await chat("chat.completions.parse", **asked)).choices[0].message
        assert message.tool_calls[0].function.parsed_arguments == {"city": "Paris"}

    @covers("chat.completions.stream")
    async def test_stream_helper(self, chat):
        manager = chat.client.chat.completions.stream(**question("Say: hello world"))
        async with opened(manager) as stream:
            events = [event async for event in each(stream)]
            final = await settled(stream.get_final_completion())
        deltas = [event.delta for event in events if event.type == "content.delta"]
        assert "".join(deltas) == "hello world"
        assert [event.content for event in events if event.type == "content.done"] == ["hello world"]
        (choice,) = final.choices
        assert (choice.message.content, choice.finish_reason) == ("hello world", "stop")
        assert choice.message.reasoning == "I say it."
        assert final.id == next(event.chunk.id for event in events if event.type == "chunk")

    async def test_stream_helper_parses(self, chat):
        asked = question("Tell me a joke about cats.", response_format=Joke)
        async with opened(chat.client.chat.completions.stream(**asked)) as stream:
            final = await settled(stream.get_final_completion())
        message = final.choices[0].message
        assert message.parsed == Joke.model_validate_json(message.content)

    async def test_stream_helper_gathers_tool_calls(self, chat):
        asked = question("What is the weather in Paris?", tools=TOOLS)
        async with opened(chat.client.chat.completions.stream(**asked)) as stream:
            events = [event async for event in each(stream)]
            final = await settled(stream.get_final_completion())
        assert calls(final.choices[0].message) == [PARIS]
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        assert [(event.name, event.arguments) for event in done] == [PARIS]

    async def test_raw_response(self, chat):
        raw = await chat("chat.completions.with_raw_response.create", **question("Say: hello"))
        assert raw.status_code == 200
        assert raw.headers["content-type"] == "application/json"
        assert json.loads(raw.content)["choices"][0]["message"]["content"] == "hello"
        reply = await settled(raw.parse())
        assert isinstance(reply, ChatCompletion)
        assert reply.choices[0].message.reasoning == "I say it."

    async def test_raw_stream(self, chat):
        raw = await chat("chat.completions.with_raw_response.create", stream=True, **question("Say: hello"))
        assert raw.headers["content-type"].startswith("text/event-stream")
        chunks = [chunk async for chunk in each(await settled(raw.parse()))]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"

    async def test_streaming_response(self, chat):
        create = chat.client.chat.completions.with_streaming_response.create
        async with opened(create(**question("Say: hello"))) as response:
            assert response.status_code == 200
            reply = await settled(response.parse())
        assert reply.choices[0].message.content == "hello"
        async with opened(create(stream=True, **question("Say: hello"))) as response:
            lines = [line async for line in each(response.iter_lines())]
        assert lines[0].startswith("data: {")
        assert [line for line in lines if line][-1] == "data: [DONE]"

    async def test_with_options(self, chat):
        other = chat.client.with_options(
            timeout=60, max_retries=0, default_headers={"X-Request-Id": "from-options"}
        )
        assert type(other) is type(chat.client)
        reply = await settled(other.chat.completions.create(**question("Say: hello")))
        assert reply.id == "chatcmpl-from-options"
        assert reply.choices[0].message.content == "hello"

    async def test_extra_body(self, chat):
        assert await say(chat, "Say: hello", extra_body={**QUIET, "stop": ["l"]}) == "he"

    async def test_unset_markers_are_not_sent(self, chat):
        unset = {"stop": openai.omit, "seed": openai.NOT_GIVEN, "min_tokens": None, "tools": None}
        assert await say(chat, "Say: hello", **unset) == "hello"

    @pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
    async def test_reasoning_sent_back(self, chat, name):
        turns = [
            user("Say: one"),
            {"role": "assistant", "content": "one", name: "I say it."},
            user("Say: two"),
        ]
        raw = await chat("chat.completions.with_raw_response.create", **question(turns))
        assert json.loads(raw.http_response.request.content)["messages"] == turns
        assert (await settled(raw.parse())).choices[0].message.content == "two"

    async def test_message_sent_back(self, chat):
        """Its set fields, the reasoning among them, and none of its nulls, at which vLLM takes offence."""
        message = (await ask(chat, "Say: one")).choices[0].message
        turns = [user("Say: one"), message, user("Say: two")]
        raw = await chat("chat.completions.with_raw_response.create", **question(turns))
        sent = json.loads(raw.http_response.request.content)["messages"][1]
        assert sent == {"role": "assistant", "content": "one", "reasoning": "I say it."}
        assert (await settled(raw.parse())).choices[0].message.content == "two"

    async def test_what_vllm_lacks(self, chat):
        with pytest.raises(vllm_connect.UnsupportedOperationError, match=r"images\.generate"):
            await chat("images.generate", prompt="a cat")
        with pytest.raises(vllm_connect.UnsupportedOperationError, match=r"models\.retrieve"):
            await chat("models.retrieve", model=MODEL)
