"""Chat: reasoning, events, several answers, metadata, tokens, lifetimes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM, VLLMCompletion

ASK = "Think: one\nSay: two"


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return city


def whole(chunks):
    chunks = list(chunks)
    return add_ai_message_chunks(chunks[0], *chunks[1:])


def test_reasoning_out(model):
    message = model.invoke(ASK)
    assert message.content == "two"
    assert message.additional_kwargs["reasoning_content"] == "one"
    assert message.content_blocks == [
        {"type": "reasoning", "reasoning": "one"},
        {"type": "text", "text": "two"},
    ]
    streamed = whole(model.stream(ASK))
    assert streamed.content == "two"
    assert streamed.additional_kwargs["reasoning_content"] == "one"
    assert streamed.content_blocks == message.content_blocks
    for name in ("model_name", "model_provider", "finish_reason"):
        assert streamed.response_metadata[name] == message.response_metadata[name]
    assert streamed.usage_metadata == message.usage_metadata


def test_v1_content(sim):
    model = ChatVLLM(base_url=sim.url, output_version="v1")
    ask = 'Think: one\nSay: two\nCall get_weather {"city": "Rome"}\nCall get_weather {"city": "Oslo"}'
    bound = model.bind_tools([get_weather])
    for message in (bound.invoke(ask), whole(bound.stream(ask))):
        kinds = [block["type"] for block in message.content]
        assert kinds == ["reasoning", "text", "tool_call", "tool_call"]
        assert [block.get("args") for block in message.content][2:] == [{"city": "Rome"}, {"city": "Oslo"}]
        assert message.content[0]["reasoning"] == "one"


def test_reasoning_goes_round(sim, model):
    model.invoke([HumanMessage(ASK), model.invoke(ASK), HumanMessage("Say: three")])
    assert sim.requests[-1].json["messages"][1] == {"role": "assistant", "content": "two", "reasoning": "one"}
    quiet = ChatVLLM(base_url=sim.url, replay_reasoning="none")
    quiet.invoke([HumanMessage(ASK), AIMessage("two", additional_kwargs={"reasoning_content": "one"})])
    assert "reasoning" not in sim.requests[-1].json["messages"][1]


def test_events(model):
    bound = model.bind_tools([get_weather])
    ask = f'{ASK}\nCall get_weather {{"city": "Rome"}}'
    stream = bound.stream_events(ask, version="v3")
    events = list(stream)
    assert_valid_event_stream(events)
    assert events[-1]["usage"]["output_tokens"] > 0
    message = stream.output
    assert [block["type"] for block in message.content] == ["reasoning", "text", "tool_call"]
    assert message.tool_calls[0]["args"] == {"city": "Rome"}
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert message.response_metadata["model_provider"] == "vllm"
    assert message.id.startswith("lc_run--")
    assert message.usage_metadata == bound.invoke(ask).usage_metadata


async def test_async_events(model):
    stream = await model.astream_events(ASK, version="v3")
    assert_valid_event_stream([event async for event in stream])
    message = await stream.output
    assert [block["type"] for block in message.content] == ["reasoning", "text"]


def test_several_answers_are_not_mixed(sim):
    model = ChatVLLM(base_url=sim.url, n=3)
    result = model.generate([[HumanMessage("Say: hello")]])
    assert [each.text for each in result.generations[0]] == ["hello"] * 3
    assert whole(model.stream("Say: hello")).content == "hello"
    assert model.invoke("Say: hello").content == "hello"
    streaming = ChatVLLM(base_url=sim.url, n=3, streaming=True)
    assert len(streaming.generate([[HumanMessage("Say: hello")]]).generations[0]) == 3


def test_nothing_unset_is_sent(sim, model):
    model.invoke("Hello")
    assert set(sim.requests[-1].json) == {"model", "messages"}
    list(model.stream("Hello"))
    assert set(sim.requests[-1].json) == {"model", "messages", "stream", "stream_options"}
    list(model.stream("Hello", stream_usage=False))
    assert "stream_options" not in sim.requests[-1].json


def test_parameters_arrive(sim):
    model = ChatVLLM(base_url=sim.url, temperature=0, top_k=5, stop=["a"], extra_body={"x": 1})
    model.invoke("Hello", stop=["b"], min_p=0.1, extra_body={"y": 2})
    sent = sim.requests[-1].json
    assert {name: sent[name] for name in ("temperature", "top_k", "stop", "min_p", "x", "y")} == {
        "temperature": 0,
        "top_k": 5,
        "stop": ["b"],
        "min_p": 0.1,
        "x": 1,
        "y": 2,
    }
    with pytest.raises(TypeError, match="top_k"):
        model.invoke("Hello", topk=5)


class Starts(BaseCallbackHandler):
    """Notes what traces are told when a run begins."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.seen.append(f"{serialized} {kwargs}")

    def on_llm_start(self, serialized, prompts, **kwargs):
        self.seen.append(f"{serialized} {kwargs}")


@pytest.mark.parametrize("cls", [ChatVLLM, VLLMCompletion])
async def test_headers_of_a_call_are_for_the_server_alone(sim, cls):
    starts, cache = Starts(), InMemoryCache()
    plain = cls(model="sim-chat", base_url=sim.url, cache=cache)
    config = {"callbacks": [starts]}
    for model, headers in (
        (plain, {"extra_headers": {"X-Tenant": "secret1"}}),
        (plain.bind(extra_headers={"X-Tenant": "secret2"}), {}),
    ):
        model.invoke("Say: hello", config, **headers)
        assert sim.requests[-1].headers["x-tenant"].startswith("secret")
        await model.ainvoke("Say: hi", config, **headers)
        list(model.stream("Say: hello", config, **headers))
        assert [chunk async for chunk in model.astream("Say: hello", config, **headers)]
        assert sim.requests[-1].headers["x-tenant"].startswith("secret")
    assert len(starts.seen) == len(sim.requests)
    if cls is ChatVLLM:  # langchain-core's cache of LLMs does not look at the arguments of a call
        assert len(cache._cache) == 4
    assert "secret" not in f"{starts.seen}{list(cache._cache)}"


def test_metadata(model):
    message = model.invoke("Say: hello", logprobs=True, prompt_logprobs=0, return_token_ids=True, stop=["lo"])
    found = message.response_metadata
    assert found["logprobs"]["content"]
    assert found["stop_reason"] == "lo"
    assert found["token_ids"]
    assert found["prompt_token_ids"]
    assert found["prompt_logprobs"]
    streamed = whole(model.stream("Say: hello", logprobs=True, return_token_ids=True, stop=["lo"]))
    for name in ("stop_reason", "token_ids", "prompt_token_ids"):
        assert streamed.response_metadata[name] == found[name]
    assert len(streamed.response_metadata["logprobs"]["content"]) == len(found["logprobs"]["content"])


def test_continuous_usage(sim):
    model = ChatVLLM(base_url=sim.url, stream_options={"continuous_usage_stats": True})
    assert whole(model.stream(ASK)).usage_metadata == model.invoke(ASK).usage_metadata


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        ({"type": "tool", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
        ({"type": "any"}, "required"),
    ],
)
def test_tool_choice(sim, model, choice, sent):
    model.bind_tools([get_weather], tool_choice=choice, parallel_tool_calls=False).invoke("Hello")
    assert sim.requests[-1].json.get("tool_choice") == sent
    assert sim.requests[-1].json["parallel_tool_calls"] is False


def test_tool_choice_of_a_call(sim, model):
    for choice, sent in (("any", "required"), ("get_weather", "get_weather")):
        model.bind_tools([get_weather]).invoke("Hello", tool_choice=choice)
        first = sim.requests[-1].json["tool_choice"]
        model.invoke("Hello", tools=[get_weather], tool_choice=choice)
        assert sim.requests[-1].json["tool_choice"] == first
        assert sent in str(first)


async def test_configured_models_stream_tokens_to_whoever_listens(model):
    configurable = model.configurable_fields(temperature=ConfigurableField(id="temperature"))
    chain = RunnableLambda(lambda text, config: configurable.invoke(text, config))
    for config in ({}, {"configurable": {"temperature": 0.5}}):
        events = chain.astream_events("Say: one two three", config=config, version="v2")
        assert [event["event"] async for event in events].count("on_chat_model_stream") > 2


def test_tool_choice_of_no_tool(model):
    with pytest.raises(ValueError, match="not among the tools: get_weather"):
        model.bind_tools([get_weather], tool_choice="get_time")


def test_no_tools_are_not_sent(sim, model):
    model.bind_tools([]).invoke("Hello")
    assert "tools" not in sim.requests[-1].json
    model.invoke("Hello", tools=None, tool_choice=None)
    assert "tools" not in sim.requests[-1].json
    assert list(model.stream("Hello", tools=None))


def test_tokens(sim, model):
    ids = model.get_token_ids("one two three")
    assert ids
    assert model.get_num_tokens("one two three") == len(ids)
    count = model.get_num_tokens_from_messages([HumanMessage("one two three")])
    assert count == model.invoke("one two three").usage_metadata["input_tokens"]
    assert model.get_num_tokens_from_messages([HumanMessage("one")], [get_weather]) > 0
    assert "tools" in sim.requests[-1].json
    assert model.get_num_tokens_from_messages([]) == 0
    own = ChatVLLM(base_url=sim.url, custom_get_token_ids=lambda text: [1, 2])
    assert own.get_num_tokens("whatever") == 2


async def test_profile(model):
    assert model.profile["tool_calling"]
    assert model.refresh_profile()["max_input_tokens"] == 32768
    assert (await ChatVLLM(base_url=model.base_url).arefresh_profile())["max_input_tokens"] == 32768


async def test_profile_of_several_servers(sim):
    """A key may know the model by another name, and any of the servers may be asked."""
    with SimServer(models=["small"], max_model_len=4096) as other:
        keys = [
            {"name": "a", "url": sim.url, "aliases": {"mine": "sim-chat"}},
            {"name": "b", "url": other.url, "aliases": {"mine": "small"}},
        ]
        assert ChatVLLM(model="mine", keys=keys[:1]).refresh_profile()["max_input_tokens"] == 32768
        assert ChatVLLM(model="mine", keys=keys).refresh_profile()["max_input_tokens"] == 4096
        assert (await ChatVLLM(model="mine", keys=keys).arefresh_profile())["max_input_tokens"] == 4096
    assert "max_input_tokens" not in ChatVLLM(model="nobody", base_url=sim.url).refresh_profile()


def test_profile_of_an_adapter():
    """vLLM gives the card of a LoRA adapter a parent, and no length."""
    base = SimpleNamespace(id="base", max_model_len=4096, parent=None)
    adapter = SimpleNamespace(id="mine", max_model_len=None, parent="base")
    model = ChatVLLM(model="mine", base_url="http://a")
    assert model._with_context([adapter, base], model._client().keys)["max_input_tokens"] == 4096
    nameless = SimpleNamespace(id="base", max_model_len=None, parent=None)
    model = ChatVLLM(model="mine", base_url="http://a")
    assert "max_input_tokens" not in model._with_context([adapter, nameless], model._client().keys)


async def test_models_made_per_call_share_connections(sim):
    configurable = ChatVLLM(base_url=sim.url).configurable_fields(temperature=ConfigurableField(id="t"))
    for number in range(10):
        configurable.invoke("Say: x", {"configurable": {"t": number / 10}})
        ChatVLLM(base_url=sim.url, temperature=number / 10).invoke("Say: x")
    for number in range(10):
        await configurable.ainvoke("Say: x", {"configurable": {"t": number / 10}})
        await ChatVLLM(base_url=sim.url, temperature=number / 10).ainvoke("Say: x")
    assert len({request.client for request in sim.requests}) <= 2


def test_second_event_loop(model):
    async def ask():
        pieces = [chunk.content async for chunk in model.astream("Say: hi")]
        return (await model.ainvoke("Say: hello")).content, pieces

    for _ in range(3):
        content, pieces = asyncio.run(ask())
        assert (content, "".join(pieces)) == ("hello", "hi")


def test_leaving_a_stream_ends_the_generation(sim, model):
    for _ in model.stream("Count to 9000"):
        break
    assert sim.wait_for_abort()


async def test_cancelling_a_task_ends_the_generation(sim, model):
    async def read():
        async for _ in model.astream("Count to 9000"):
            started.set()

    started = asyncio.Event()
    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(sim.wait_for_abort)


async def test_leaving_an_event_stream_ends_the_generation(sim, model):
    events = model._stream_chat_model_events([HumanMessage("Count to 9000")])
    next(events)
    events.close()
    assert sim.wait_for_abort()


def test_several_servers(sim):
    keys = [{"name": "a", "url": sim.url, "aliases": {"mine": "sim-chat"}}]
    model = ChatVLLM(model="mine", keys=keys)
    assert model.invoke("Say: hello").response_metadata["model_name"] == "mine"
    assert sim.requests[-1].json["model"] == "sim-chat"


def test_the_output_of_generate_counts_all_conversations(model):
    result = model.generate([[HumanMessage("Say: one")], [HumanMessage("Say: two")]])
    messages = [answers[0].message for answers in result.generations]
    total = sum(message.usage_metadata["total_tokens"] for message in messages)
    assert result.llm_output["token_usage"]["total_tokens"] == total
    assert result.llm_output["model_name"] == "sim-chat"
