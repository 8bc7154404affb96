"""The Responses API, converted to chat completions and back, and vLLM's own."""

from __future__ import annotations

import openai
import pytest
from openai.types.responses import Response
from tests.both import each, opened, settled
from tests.operations.answers import MODEL, Joke
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import BadRequestError, ContextLengthError, NotFoundError, UnsupportedOperationError

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
JOKE = Joke(setup="Why did the cats sleep?", punchline="It was tired.")
TWO = 'Call get_weather {"city": "Rome"}\nCall get_weather {"city": "Rome"}'


def asking(asked, **params):
    return {"model": MODEL, "input": asked, "temperature": 0, "max_output_tokens": 200, **params}


async def respond(client, asked, **params):
    return await client("responses.create", **asking(asked, **params))


async def stream(client, asked, **params):
    return await client.stream("responses.create", **asking(asked, **params))


def shape(response):
    """What an output says, without ids."""
    said = []
    for item in response.output:
        if item.type == "reasoning":
            said.append(("reasoning", "".join(part.text for part in item.content)))
        elif item.type == "message":
            said.append(("message", "".join(part.text for part in item.content)))
        else:
            said.append((item.type, item.name, item.arguments))
    return said


def gathered(events):
    """The same, put together from deltas."""
    said = {}
    for event in events:
        if event.type == "response.output_item.added":
            name = (event.item.name,) if event.item.type == "function_call" else ()
            said[event.output_index] = [event.item.type, *name, ""]
        elif event.type.endswith(".delta"):
            said[event.output_index][-1] += event.delta
    return [tuple(item) for _, item in sorted(said.items())]


def check_order(events):
    """What holds of every stream of events."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    for beginning in ("output_item", "content_part"):
        assert types.count(f"response.{beginning}.added") == types.count(f"response.{beginning}.done")
    assert gathered(events) == shape(events[-1].response)


HELLO = [("reasoning", "I say it."), ("message", "hello world")]
CALL = [("reasoning", "I call the tool."), ("function_call", "get_weather", '{"city": "Paris"}')]


class Common:
    """What both ways can do."""

    @pytest.fixture
    def client(self, chat, native):
        return {"chat": chat, "native": native}[self.way]

    @covers("responses.create", PLAIN)
    async def test_plain(self, client):
        response = await respond(client, "Say: hello world")
        assert isinstance(response, Response)
        assert shape(response) == HELLO
        assert response.output_text == "hello world"
        assert (response.object, response.status, response.model) == ("response", "completed", MODEL)
        assert (response.error, response.incomplete_details) == (None, None)
        assert response.id.startswith("resp_")
        usage = response.usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (17, 15, 32)
        assert usage.output_tokens_details.reasoning_tokens == 6
        assert usage.input_tokens_details.cached_tokens >= 0

    @covers("responses.create", STREAM)
    async def test_stream(self, client):
        events = await stream(client, "Say: hello world")
        check_order(events)
        assert events[-1].type == "response.completed"
        assert shape(events[-1].response) == HELLO
        assert events[-1].response.status == "completed"
        assert events[-1].response.usage.output_tokens == 15
        assert {event.type for event in events} == {
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        }

    async def test_conversation(self, client):
        turns = [
            {"role": "user", "content": "My name is Alice."},
            {"role": "assistant", "content": "Hello Alice"},
            {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
        ]
        assert (await respond(client, turns)).output_text == "Your name is Alice."

    async def test_instructions(self, client):
        bare = await respond(client, "Say: hello")
        told = await respond(client, "Say: hello", instructions="You are a helpful assistant.")
        assert told.output_text == "hello"
        assert told.usage.input_tokens > bare.usage.input_tokens
        assert told.instructions == "You are a helpful assistant."

    async def test_tool_call(self, client):
        response = await respond(client, "What is the weather in Paris?", tools=[WEATHER])
        assert shape(response) == CALL
        assert response.output[-1].call_id
        assert response.output[-1].status == "completed"

    async def test_tool_call_streamed(self, client):
        events = await stream(client, "What is the weather in Paris?", tools=[WEATHER])
        check_order(events)
        assert shape(events[-1].response) == CALL
        (done,) = (event for event in events if event.type == "response.function_call_arguments.done")
        assert done.arguments == '{"city": "Paris"}'

    @pytest.mark.parametrize("form", ["objects", "dicts"])
    async def test_tool_result(self, client, form):
        """All output items go back, reasoning among them."""
        question = {"role": "user", "content": "What is the weather in Paris?"}
        output = (await respond(client, [question], tools=[WEATHER])).output
        result = {"type": "function_call_output", "call_id": output[-1].call_id, "output": "sunny"}
        items = output if form == "objects" else [item.model_dump(exclude_none=True) for item in output]
        turns = [question, *items, result]
        assert (await respond(client, turns, tools=[WEATHER])).output_text == "The weather in Paris is sunny."
        events = await stream(client, turns, tools=[WEATHER])
        assert events[-1].response.output_text == "The weather in Paris is sunny."

    async def test_reasoning_goes_back(self, client):
        question = {"role": "user", "content": "Say: hello world"}
        first = await respond(client, [question])
        assert shape(first) == HELLO
        turns = [question, *first.output, {"role": "user", "content": "Say: goodbye"}]
        assert (await respond(client, turns)).output_text == "goodbye"

    @covers("responses.parse")
    async def test_parse(self, client):
        asked = asking("Tell me a joke about cats.", text_format=Joke)
        response = await client("responses.parse", **asked)
        assert response.output_parsed == Joke.model_validate_json(response.output_text)

    async def test_json_schema(self, client):
        text = {"format": {"type": "json_schema", "name": "joke", "schema": Joke.model_json_schema()}}
        response = await respond(client, "Tell me a joke about cats.", text=text)
        assert Joke.model_validate_json(response.output_text) == JOKE

    @covers("responses.stream")
    async def test_stream_helper(self, client):
        async with opened(client.client.responses.stream(**asking("Say: hello world"))) as events:
            deltas = [
                event.delta async for event in each(events) if event.type == "response.output_text.delta"
            ]
            final = await settled(events.get_final_response())
        assert "".join(deltas) == final.output_text == "hello world"

    async def test_cut(self, client):
        response = await respond(client, "Count to 9", max_output_tokens=12)
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output_text == "1 2 3 "

    async def test_context_length(self, client):
        with pytest.raises(ContextLengthError):
            await respond(client, "word " * 3000)

    async def test_unknown_model(self, client):
        with pytest.raises(NotFoundError, match="nobody"):
            await respond(client, "Hello", model="nobody")

    async def test_impossible_schema(self, client):
        text = {"format": {"type": "json_schema", "name": "broken", "schema": {"type": "nonsense"}}}
        with pytest.raises(BadRequestError, match="nonsense"):
            await respond(client, "Say: hello", text=text)

    async def test_vllms_own_parameters(self, client):
        response = await respond(
            client, "Say: hello", chat_template_kwargs={"enable_thinking": False}, stop=["l"], top_k=5
        )
        assert shape(response) == [("message", "he")]


class TestResponses(Common):
    """Converted to chat completions and back, the default."""

    way = "chat"

    async def test_two_tool_calls(self, client):
        response = await respond(client, TWO, tools=[WEATHER])
        assert len(shape(response)) == 3
        events = await stream(client, TWO, tools=[WEATHER])
        check_order(events)
        assert shape(events[-1].response) == shape(response)
        assert len({item.call_id for item in response.output[1:]}) == 2

    async def test_cut_stream(self, client):
        events = await stream(client, "Count to 9", max_output_tokens=12)
        check_order(events)
        assert events[-1].type == "response.incomplete"
        assert events[-1].response.incomplete_details.reason == "max_output_tokens"
        assert events[-1].response.output[-1].status == "incomplete"

    async def test_error_inside_a_stream(self, client):
        text = {"format": {"type": "json_schema", "name": "broken", "schema": {"type": "nonsense"}}}
        with pytest.raises(BadRequestError, match="nonsense") as raised:
            await stream(client, "Say: hello", text=text)
        assert raised.value.http_status == 200
        assert raised.value.operation == "responses.create"

    async def test_logprobs(self, client):
        include = ["message.output_text.logprobs"]
        response = await respond(client, "Say: hello world", include=include, top_logprobs=1)
        logprobs = response.output[-1].content[0].logprobs
        assert "".join(one.token for one in logprobs) == "hello world"
        events = await stream(client, "Say: hello world", include=include, top_logprobs=1)
        (done,) = (event for event in events if event.type == "response.output_text.done")
        assert [one.token for one in done.logprobs] == [one.token for one in logprobs]

    async def test_state_is_refused(self, client):
        with pytest.raises(UnsupportedOperationError, match="conversation"):
            await respond(client, "Hello", conversation="conv_1")

    async def test_raw_response(self, client):
        raw = await client("responses.with_raw_response.create", **asking("Say: hello"))
        assert raw.http_response.request.url.path == "/v1/chat/completions"
        assert (await settled(raw.parse())).output_text == "hello"


class TestNativeResponses(Common):
    """vLLM's own /v1/responses."""

    way = "native"

    async def test_raw_response(self, client):
        raw = await client("responses.with_raw_response.create", **asking("Say: hello"))
        assert raw.http_response.request.url.path == "/v1/responses"
        assert (await settled(raw.parse())).output_text == "hello"

    async def test_cut_stream(self, client):
        """vLLM calls the terminal event "completed" even so; the response in it says it right."""
        events = await stream(client, "Count to 9", max_output_tokens=12)
        check_order(events)
        assert events[-1].response.status == "incomplete"
        assert events[-1].response.incomplete_details.reason == "max_output_tokens"

    async def test_nothing_is_stored(self, client):
        with pytest.raises(openai.NotFoundError, match="resp_1"):
            await respond(client, "Hello", previous_response_id="resp_1")
