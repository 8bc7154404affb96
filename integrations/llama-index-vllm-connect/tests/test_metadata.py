"""What the server tells of the model: its context, its name and its tokens."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from llama_index.llms.vllm_connect import VLLM
from llama_index.llms.vllm_connect.served import find
from vllm_connect import Key
from vllm_connect.sim import SimServer
from vllm_connect.types import Model


def say(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


def test_metadata_comes_from_the_server_once(vllm_sim, sent):
    with SimServer(models=["llama"], max_model_len=1234) as server:
        llm = VLLM(base_url=server.url)
        for _ in range(3):
            assert llm.metadata.context_window == 1234
        assert llm.metadata.model_name == "llama"
        assert llm.metadata.num_output == 256
        assert llm.metadata.is_chat_model
        assert llm.metadata.is_function_calling_model
        assert [request.path for request in server.requests] == ["/v1/models"]


def test_metadata_that_is_given_is_not_asked_for(vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, model="llama", context_window=100, max_tokens=7)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (100, 7)
    assert not vllm_sim.requests


def test_a_plain_chat_is_one_request(llm, vllm_sim):
    llm.chat(say("Say: x"))
    assert [request.path for request in vllm_sim.requests] == ["/v1/chat/completions"]


async def test_metadata_never_blocks_the_event_loop():
    fault = {"where": "headers", "seconds": 0.3}
    with SimServer(max_model_len=1234) as server:
        server.fail_next("stall", path="/v1/models", **fault)
        llm = VLLM(base_url=server.url)
        begun = time.perf_counter()
        assert llm.metadata.context_window == 3900
        assert time.perf_counter() - begun < 0.2
        for _ in range(100):
            await asyncio.sleep(0.02)
            if llm.metadata.context_window == 1234:
                break
        assert llm.metadata.context_window == 1234
        assert len(server.requests) == 1


async def test_metadata_can_be_awaited():
    with SimServer(max_model_len=1234) as server:
        llm = VLLM(base_url=server.url)
        assert (await llm.aload_metadata()).context_window == 1234
        assert llm.metadata.context_window == 1234


def test_metadata_of_a_server_that_is_down(caplog):
    llm = VLLM(base_url="http://127.0.0.1:9")
    assert llm.metadata.context_window == 3900
    assert llm.metadata.model_name == "unknown"
    assert caplog.text.count("default context") == 1  # and it is not asked again at once


def card(id: str, window: int | None = None, parent: str | None = None) -> Model:
    told: dict[str, Any] = {"id": id, "object": "model", "created": 1, "owned_by": "vllm"}
    return Model.model_validate({**told, "max_model_len": window, "parent": parent})


@pytest.mark.parametrize(
    ("models", "window"),
    [
        ([card("base", 32768), card("lora", parent="base")], 32768),
        ([card("small", 100), card("base", 32768), card("lora", parent="base")], 32768),
        ([card("small", 100), card("base", 32768), card("lora", parent="elsewhere")], 100),
        ([card("base", 32768), card("lora", 50, parent="base")], 50),
        ([card("base"), card("lora", parent="base")], None),
    ],
)
def test_the_context_of_an_adapter_is_that_of_its_base(models, window):
    served = find(models, "lora", [Key(name="a", url="http://a")])
    assert (served.name, served.context_window) == ("lora", window)


async def test_a_default_that_is_handed_out_in_a_loop_is_told_once(vllm_sim, caplog):
    VLLM(base_url=vllm_sim.url, context_window=10).metadata  # noqa: B018
    assert not caplog.records
    with SimServer() as server:
        server.fail_next("stall", path="/v1/models", where="headers", seconds=0.2)
        llm = VLLM(base_url=server.url)
        assert [llm.metadata.context_window for _ in range(3)] == [3900] * 3
        assert caplog.text.count("await llm.aload_metadata() before building") == 1
        await llm.aload_metadata()


async def test_many_that_await_the_metadata_ask_once(llm, vllm_sim, caplog):
    await asyncio.gather(*(llm.aload_metadata() for _ in range(10)))
    assert len(vllm_sim.requests) == 1
    down = VLLM(base_url="http://127.0.0.1:9")
    await asyncio.gather(*(down.aload_metadata() for _ in range(10)))
    assert caplog.text.count("default context") == 1


def test_the_metadata_in_several_loops(llm, vllm_sim):
    for _ in range(2):
        assert asyncio.run(llm.aload_metadata()).context_window == 32768
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "none"},
        {"reasoning_effort": "low"},
        {"enable_thinking": False},
        {"enable_thinking": True, "reasoning_effort": "none"},
        {"additional_kwargs": {"reasoning_effort": "none"}},
        {"additional_kwargs": {"extra_body": {"reasoning_effort": "none"}}},
        {"additional_kwargs": {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}},
    ],
)
async def test_counts_know_the_template_parameters(vllm_sim, ask, fields):
    llm = VLLM(base_url=vllm_sim.url, **fields)
    response = await ask(llm, "chat", say("Say: x"))
    assert await ask(llm, "count_tokens", "Say: x") == response.additional_kwargs["prompt_tokens"]


async def test_counts_are_the_servers(llm, ask):
    messages = [ChatMessage(role="system", content="Be brief."), *say("Say: Größe 🦙")]
    counted = await ask(llm, "count_tokens", messages)
    assert counted == (await ask(llm, "chat", messages)).additional_kwargs["prompt_tokens"]
    assert (
        await ask(llm, "count_tokens", "Say: x")
        == (await ask(llm, "complete", "Say: x")).raw["usage"]["prompt_tokens"]
    )


def test_tokenizer(llm, vllm_sim):
    tokenizer = llm.tokenizer
    assert tokenizer("hello world") == tokenizer("hello world")
    assert len(tokenizer("hello world")) > 1
    assert tokenizer("") == []
    assert len(vllm_sim.requests) == 1
    assert pickle.loads(pickle.dumps(tokenizer))("hello") == tokenizer("hello")
