"""What the server tells of the model: its context, its name and its tokens."""

from __future__ import annotations

import asyncio
import pickle
import time

from llama_index.core.llms import ChatMessage

from llama_index.llms.vllm_connect import VLLM
from vllm_connect.sim import SimServer


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
