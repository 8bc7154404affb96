"""Everyday calls through chat completions and the Responses API alike, and what stands beside them.

They are those that the Bifrost gateway makes of a live vLLM, which mostly checks that some answer came; here
the answers are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.media import tone

from vllm_connect import UnsupportedOperationError
from vllm_connect.sim import SimServer

CHAT, RESPONSES = "chat.completions.create", "responses.create"
WEATHER = {
    "name": "weather",
    "description": "Get the current weather.",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location"],
    },
}
CALCULATE = {
    "name": "calculate",
    "description": "Evaluate an arithmetic expression.",
    "parameters": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
}
TIME = {
    "name": "time",
    "description": "Get the time.",
    "parameters": {
        "type": "object",
        "properties": {"timezone": {"type": "string"}},
        "required": ["timezone"],
    },
}


class Dual:
    """Chat completions and the Responses API behind one face: a list of turns in, an answer out."""

    def __init__(self, client: Any, operation: str) -> None:
        self.client, self.operation = client, operation

    async def ask(
        self, turns: list[Any], *tools: dict[str, Any], choose: Any = None, stream: bool = False
    ) -> Any:
        params: dict[str, Any] = {}
        if self.operation == CHAT:
            params["messages"] = turns
            params["tools"] = [{"type": "function", "function": tool} for tool in tools] or None
            if choose is not None:
                params["tool_choice"] = (
                    choose if choose == "required" else {"type": "function", "function": {"name": choose}}
                )
        else:
            params["input"] = turns
            params["tools"] = [{"type": "function", "strict": False, **tool} for tool in tools] or None
            if choose is not None:
                params["tool_choice"] = (
                    choose if choose == "required" else {"type": "function", "name": choose}
                )
        if stream:
            return await self.client.stream(self.operation, **params)
        return await self.client(self.operation, **params)

    def text(self, answer: Any) -> str:
        return str(answer.choices[0].message.content or "" if self.operation == CHAT else answer.output_text)

    def calls(self, answer: Any) -> dict[str, Any]:
        if self.operation == CHAT:
            found = [call.function for call in answer.choices[0].message.tool_calls or []]
        else:
            found = [item for item in answer.output if item.type == "function_call"]
        return {call.name: json.loads(call.arguments) for call in found}

    def again(self, answer: Any, *results: str) -> list[Any]:
        """The turns to add: the answer as it came, and what its calls gave."""
        if self.operation == CHAT:
            message = answer.choices[0].message
            ids = [call.id for call in message.tool_calls or []]
            told = [
                {"role": "tool", "tool_call_id": call, "content": result}
                for call, result in zip(ids, results, strict=True)
            ]
            return [message, *told]
        calls = [item.call_id for item in answer.output if item.type == "function_call"]
        outputs = [
            {"type": "function_call_output", "call_id": call, "output": result}
            for call, result in zip(calls, results, strict=True)
        ]
        return [*answer.output, *outputs]


@pytest.fixture(params=[CHAT, RESPONSES])
def dual(request: pytest.FixtureRequest, make_client: Callable[..., Any], vllm_sim: SimServer) -> Dual:
    """Each of the two APIs."""
    return Dual(make_client(vllm_sim.url), request.param)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_text_completion(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    prompt = "In fruits, A is for apple and B is for"
    plain = await client("completions.create", prompt=prompt, max_tokens=100)
    assert plain.choices[0].text
    assert plain.usage.completion_tokens
    chunks = await client.stream(
        "completions.create", prompt=prompt, max_tokens=100, stream_options={"include_usage": True}
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == plain.choices[0].text
    assert chunks[-1].usage.to_dict(exclude_none=True) == plain.usage.to_dict(exclude_none=True)


async def test_simple_chat(dual: Dual) -> None:
    answer = await dual.ask([user("What is the capital of France?")])
    assert "paris" in dual.text(answer).lower()
    assert answer.usage.total_tokens
    assert answer.model == "sim-chat"


async def test_chat_stream(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    chunks = await make_client(vllm_sim.url).stream(
        CHAT, messages=[user("What is the capital of France?")], stream_options={"include_usage": True}
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "paris" in text.lower()
    assert chunks[-1].usage.completion_tokens


async def test_tool_calls_streamed(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    question = "What is the weather in San Francisco?"
    chunks = await Dual(client, CHAT).ask([user(question)], WEATHER, stream=True)
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert deltas[0].id
    assert deltas[0].function.name == "weather"
    arguments = "".join(delta.function.arguments or "" for delta in deltas)
    assert json.loads(arguments)["location"] == "San Francisco"
    events = await Dual(client, RESPONSES).ask([user(question)], WEATHER, stream=True)
    (done,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done.arguments == arguments
    streamed = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(streamed) == arguments


async def test_reasoning(dual: Dual) -> None:
    answer = await dual.ask([user("Think: I carry the one.\nSay: 42")])
    if dual.operation == CHAT:
        assert answer.choices[0].message.reasoning == "I carry the one."
    else:
        assert answer.output[0].type == "reasoning"
        assert answer.output[0].content[0].text == "I carry the one."
    assert dual.text(answer).strip() == "42"
    items = await dual.ask([user("Think: I carry the one.\nSay: 42")], stream=True)
    if dual.operation == CHAT:
        pieces = [choice.delta.reasoning or "" for chunk in items for choice in chunk.choices]
    else:
        pieces = [event.delta for event in items if event.type == "response.reasoning_text.delta"]
    assert "".join(pieces) == "I carry the one."


async def test_responses_stream(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    events = await make_client(vllm_sim.url).stream(
        RESPONSES, input="What is the capital of France?", max_output_tokens=300
    )
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert {"response.output_item.added", "response.content_part.added"} <= set(types)
    assert types[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "paris" in events[-1].response.output_text.lower()


async def test_responses_stream_with_tools(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    events = await Dual(make_client(vllm_sim.url), RESPONSES).ask(
        [user("What is the weather in Paris?")], WEATHER, stream=True
    )
    added = [event.item for event in events if event.type == "response.output_item.added"]
    assert "function_call" in [item.type for item in added]


async def test_several_turns(dual: Dual) -> None:
    turns: list[Any] = [user("Hello, my name is Alice.")]
    turns += dual.again(await dual.ask(turns))
    assert "alice" in dual.text(await dual.ask([*turns, user("What is my name?")])).lower()


async def test_tool_call(dual: Dual) -> None:
    calls = dual.calls(await dual.ask([user("What is the weather in New York?")], WEATHER))
    assert calls["weather"]["location"] == "New York"


@pytest.mark.parametrize("parameters", [{"type": "object", "properties": {}}, {"type": "object"}])
async def test_a_tool_without_properties(dual: Dual, parameters: dict[str, Any]) -> None:
    tool = {"name": "ping", "description": "Ping.", "parameters": parameters}
    assert dual.calls(await dual.ask([user("Call ping {}")], tool)) == {"ping": {}}


async def test_several_calls(dual: Dual) -> None:
    question = 'Call weather {"location": "London"}\nCall calculate {"expression": "15 * 23"}'
    calls = dual.calls(await dual.ask([user(question)], WEATHER, CALCULATE))
    assert calls == {"weather": {"location": "London"}, "calculate": {"expression": "15 * 23"}}


async def test_tool_call_to_the_end(dual: Dual) -> None:
    turns: list[Any] = [user("What is the weather in San Francisco?")]
    answer = await dual.ask(turns, WEATHER)
    turns += dual.again(answer, '{"temperature": "22"}')
    assert "22" in dual.text(await dual.ask(turns, WEATHER))


async def test_a_forced_call(dual: Dual) -> None:
    calls = dual.calls(await dual.ask([user("Tell me the time.")], TIME, WEATHER, choose="time"))
    assert isinstance(calls["time"]["timezone"], str)


async def test_three_steps(dual: Dual) -> None:
    turns: list[Any] = [user("What is the weather in Paris?")]
    first = await dual.ask(turns, WEATHER, choose="required")
    assert dual.calls(first)["weather"]["location"] == "Paris"
    turns += dual.again(first, "18 degrees, cloudy")
    second = await dual.ask(turns, WEATHER)
    assert "cloudy" in dual.text(second)
    turns += [*dual.again(second), user("Say: Paris is cloudy.")]
    assert dual.text(await dual.ask(turns)).strip() == "Paris is cloudy."


async def test_embedding(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    texts = ["Hello, world!", "Hi, world!", "Goodnight, moon!"]
    found = await make_client(vllm_sim.url)("embeddings.create", input=texts, encoding_format="float")
    first, near, far = (item.embedding for item in found.data)
    assert len(first) == len(near) == len(far) > 0

    def similarity(other: list[float]) -> float:
        return sum(a * b for a, b in zip(first, other, strict=True))

    assert similarity(near) > similarity(far)


async def test_rerank(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    documents = [
        "Berlin is in Germany.",
        "Paris is the capital of France.",
        "Cats purr.",
        "The sea is blue.",
        "Bread.",
    ]
    found = await make_client(vllm_sim.url)(
        "rerank.create", query="What is the capital of France?", documents=documents, return_documents=True
    )
    scores = [result.relevance_score for result in found.results]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result.index for result in found.results) == [0, 1, 2, 3, 4]
    assert all(result.document == documents[result.index] for result in found.results)
    assert found.results[0].index == 1


async def test_reasoning_over_several_turns(dual: Dual, vllm_sim: SimServer) -> None:
    turns: list[Any] = [user("Think: 255.\nSay: 15 times 17 is 255.")]
    turns += dual.again(await dual.ask(turns))
    assert dual.text(await dual.ask([*turns, user("Say: 510")])).strip() == "510"
    replayed = vllm_sim.requests[-1].json["messages"][1]
    assert replayed["role"] == "assistant"
    assert replayed["reasoning"] == "255."


async def test_list_models(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    page = await make_client(vllm_sim.url)("models.list")
    assert json.loads(page.model_dump_json())["data"][0]["id"] == "sim-chat"
    assert page.key_statuses[0].status == "success"
    assert not page.has_next_page()


async def test_transcription(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    found = await make_client(vllm_sim.url)("audio.transcriptions.create", file=tone(300))
    assert found.text.strip() == "This is a low tone."
    assert found.usage.seconds


@pytest.mark.parametrize(
    "operation",
    ["batches.create", "files.create", "containers.create", "containers.files.create", "videos.create"],
)
async def test_unsupported(make_client: Callable[..., Any], vllm_sim: SimServer, operation: str) -> None:
    with pytest.raises(UnsupportedOperationError) as caught:
        await make_client(vllm_sim.url)(operation)
    assert caught.value.code == "unsupported_operation"
    assert caught.value.provider == "vllm"
    assert vllm_sim.requests == []
