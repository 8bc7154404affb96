"""Chats, streams, text completions and embeddings through LiteLLM's own functions."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from pydantic import BaseModel

import litellm_vllm_connect
from tests.conftest import SAY, Asker
from vllm_connect import Key
from vllm_connect.sim import SimServer

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


class Place(BaseModel):
    city: str


async def test_a_chat(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    reply = await ask("completion", **at, messages=SAY, top_k=5, extra_body={"min_p": 0.1})
    message = reply.choices[0].message
    assert (message.content, message.reasoning_content) == ("hello there", "I say it.")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    sent = vllm_sim.requests[-1]
    assert sent.json == {"model": "sim-chat", "messages": SAY, "top_k": 5, "min_p": 0.1}
    assert "authorization" not in sent.headers


async def test_it_costs_nothing(ask: Asker, at: dict[str, Any]) -> None:
    reply = await ask("completion", **at, messages=SAY)
    assert litellm.completion_cost(reply) == 0
    assert reply._hidden_params["response_cost"] == 0
    assert litellm.supports_function_calling(at["model"])
    assert litellm.supports_response_schema(at["model"])


async def test_prices_of_a_user_are_kept() -> None:
    model = "vllm-connect/priced"
    prices = {"input_cost_per_token": 1.0, "output_cost_per_token": 0.0, "litellm_provider": "vllm-connect"}
    litellm.register_model({model: {**prices, "mode": "chat"}})
    with SimServer(models=["priced"]) as server:
        reply = litellm.completion(model, SAY, api_base=server.url)
    assert reply._hidden_params["response_cost"] == reply.usage.prompt_tokens > 0


async def test_a_key(ask: Asker) -> None:
    with SimServer(api_key="sk-right") as server:
        at = {"model": "vllm-connect/sim-chat", "api_base": server.url, "api_key": "sk-right"}
        assert (await ask("completion", **at, messages=SAY)).choices[0].message.content == "hello there"


async def test_the_environment_names_the_server(
    ask: Asker, vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", vllm_sim.url)
    reply = await ask("completion", model="vllm-connect/sim-chat", messages=SAY)
    assert reply.choices[0].message.content == "hello there"


async def test_a_stream(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    chunks = await ask.stream(**at, messages=SAY, stream_options={"include_usage": True})
    choices = [choice for chunk in chunks for choice in chunk.choices]  # since 1.110, usage comes without one
    deltas = [choice.delta for choice in choices]
    assert "".join(delta.content or "" for delta in deltas) == "hello there"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "I say it."
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens > 0
    built = litellm.stream_chunk_builder(chunks, messages=SAY)
    assert built.choices[0].message.content == "hello there"
    assert built.choices[0].message.reasoning_content == "I say it."


async def test_what_stands_in_the_last_chunk_is_kept(ask: Asker, at: dict[str, Any]) -> None:
    """vLLM ends a reasoning that max_tokens cuts in the chunk that holds its last token."""
    chunks = await ask.stream(**at, messages=SAY, max_tokens=3)
    reasoning = "".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks)
    assert reasoning == "I say"
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_several_answers_in_a_stream(ask: Asker, at: dict[str, Any]) -> None:
    texts, ends = {0: "", 1: ""}, {}
    for chunk in await ask.stream(**at, messages=SAY, n=2):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert texts == {0: "hello there", 1: "hello there"}
    assert ends == {0: "stop", 1: "stop"}


async def test_a_stream_left_early_ends_at_the_server(at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("pace", seconds=0.05)
    stream = litellm.completion(**at, messages=SAY, stream=True)
    next(stream)
    stream.close()
    assert vllm_sim.wait_for_abort()


async def test_tools(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    strict = {**TOOL, "function": {**TOOL["function"], "strict": True}}
    reply = await ask("completion", **at, messages=WEATHER, tools=[strict], tool_choice="auto")
    assert vllm_sim.requests[-1].json["tools"] == [strict]  # hosted_vllm takes `strict` away
    message = reply.choices[0].message
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Paris"}
    assert reply.choices[0].finish_reason == "tool_calls"
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    await ask("completion", **at, messages=[*WEATHER, message, result], tools=[strict])
    sent = vllm_sim.requests[-1].json["messages"][1]
    assert sent["reasoning"] == message.reasoning_content
    assert set(sent) <= {"role", "content", "tool_calls", "reasoning", "refusal"}


async def test_tools_in_a_stream(ask: Asker, at: dict[str, Any]) -> None:
    chunks = await ask.stream(**at, messages=WEATHER, tools=[TOOL])
    calls = litellm.stream_chunk_builder(chunks, messages=WEATHER).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_a_structured_answer(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    reply = await ask("completion", **at, messages=SAY, response_format=Place)
    assert Place.model_validate_json(reply.choices[0].message.content)
    assert vllm_sim.requests[-1].json["response_format"]["type"] == "json_schema"
    choice = {"choice": ["yes", "no"]}
    reply = await ask("completion", **at, messages=SAY, structured_outputs=choice)
    assert reply.choices[0].message.content in choice["choice"]


async def test_text_completions(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    reply = await ask("text_completion", **at, prompt="Say: hello there")
    assert reply.choices[0].text == "hello there"
    sent = vllm_sim.requests[-1]
    assert (sent.path, sent.json) == ("/v1/completions", {"model": "sim-chat", "prompt": "Say: hello there"})
    reply = await ask("text_completion", **at, prompt=["Say: one", "Say: two"])
    assert [choice.text for choice in reply.choices] == ["one", "two"]


async def test_a_text_completion_in_a_stream(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    chunks = await ask.stream("text_completion", **at, prompt="Say: hello there")
    assert "".join(chunk.choices[0].text or "" for chunk in chunks) == "hello there"
    assert vllm_sim.requests[-1].path == "/v1/completions"


async def test_embeddings(ask: Asker, vllm_sim: SimServer) -> None:
    at = {"model": "vllm-connect/sim-chat", "api_base": vllm_sim.url}
    reply = await ask("embedding", **at, input=["a", "b"], extra_body={"truncate_prompt_tokens": 9})
    assert len(reply.data[0]["embedding"]) == len(reply.data[1]["embedding"]) > 1
    assert vllm_sim.requests[-1].json["truncate_prompt_tokens"] == 9
    assert reply.usage.prompt_tokens > 0
    assert litellm.completion_cost(reply) == 0


async def test_several_servers(ask: Asker) -> None:
    with SimServer(models=["m"]) as first, SimServer(models=["m"]) as second:
        second.fail_always("503", retry_after=60)
        keys = [Key(name="a", url=first.url, weight=0), {"name": "b", "url": second.url}]
        for _ in range(3):
            reply = await ask("completion", model="vllm-connect/m", keys=keys, messages=SAY)
            assert reply.choices[0].message.content == "hello there"
        assert len(first.requests) == 3
        assert len(second.requests) == 1  # it rests


async def test_calls_of_the_same_settings_share_a_client(
    ask: Asker, at: dict[str, Any], made: list[Any]
) -> None:
    for _ in range(3):
        await ask("completion", **at, messages=SAY, temperature=0)
    await ask.stream(**at, messages=SAY)
    assert len(made) == 1


async def test_registering_twice_changes_nothing() -> None:
    others = {"provider": "other", "custom_handler": object()}
    litellm.custom_provider_map = [others, *litellm.custom_provider_map]
    before = list(litellm.custom_provider_map)
    litellm_vllm_connect.register()
    assert litellm.custom_provider_map == before
    assert litellm.provider_list.count("vllm-connect") == 1
