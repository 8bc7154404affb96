"""What the server tells of the model: its context, its name and its tokens."""

from __future__ import annotations

import asyncio
import pickle
import time

import pytest
from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool

from llama_index.llms.vllm_connect import VLLM
from vllm_connect import ContextLengthError
from vllm_connect.adapters import served
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
        assert [request.path for request in server.requests] == ["/v1/models", "/tokenize"]


def test_metadata_that_is_given_is_not_asked_for(vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, model="llama", context_window=100, max_tokens=7, mode="completion")
    assert (llm.metadata.context_window, llm.metadata.num_output) == (100, 7)
    llm = VLLM(base_url=vllm_sim.url, model="llama", context_window=10000, max_tokens=7)
    assert llm.metadata.num_output == 7 + served.TEMPLATE_TOKENS
    assert not vllm_sim.requests


def test_a_plain_chat_is_one_request(llm, vllm_sim):
    llm.chat(say("Say: x"))
    assert [request.path for request in vllm_sim.requests] == ["/v1/chat/completions"]


async def test_the_first_answer_in_a_loop_is_the_servers():
    with SimServer(max_model_len=131072) as server:
        assert VLLM(base_url=server.url).metadata.context_window == 131072


async def test_a_loop_waits_for_a_slow_server_once_and_not_long(monkeypatch, caplog):
    monkeypatch.setattr(served, "PATIENCE_IN_LOOPS", 0.05)
    with SimServer(max_model_len=1234) as server:
        server.fail_next("stall", path="/v1/models", where="headers", seconds=0.5)
        llm = VLLM(base_url=server.url)
        begun = time.perf_counter()
        assert [llm.metadata.context_window for _ in range(20)] == [3900] * 20
        assert time.perf_counter() - begun < 0.45  # 20 times the patience would be a second
        assert caplog.text.count("set context_window=, or in async code await llm.aload_metadata()") == 1
        assert (await llm.aload_metadata()).context_window == 1234
        assert llm.metadata.context_window == 1234


async def test_every_run_of_an_agent_sends_the_whole_history(sent):
    words = "word " * 100
    history = [ChatMessage(role=role, content=words) for _ in range(20) for role in ("user", "assistant")]
    with SimServer(max_model_len=131072) as server:
        llm = VLLM(base_url=server.url)
        agent = FunctionAgent(tools=[FunctionTool.from_defaults(len, name="count")], llm=llm)
        for _ in range(2):
            await agent.run("hello", chat_history=history)
        bodies = [request.json for request in server.requests if request.path == "/v1/chat/completions"]
        assert [len(body["messages"]) for body in bodies] == [41, 41]


def test_synchronous_programs_are_not_told_to_await(caplog):
    with SimServer(max_model_len=1234) as server:
        llm = VLLM(base_url=server.url)
        engine = SummaryIndex.from_documents([Document(text="x")]).as_query_engine(llm=llm, use_async=True)
        engine.query("What is it?")
    assert "await" not in caplog.text


async def test_metadata_can_be_awaited():
    with SimServer(max_model_len=1234) as server:
        llm = VLLM(base_url=server.url)
        assert (await llm.aload_metadata()).context_window == 1234
        assert llm.metadata.context_window == 1234


def test_metadata_of_a_server_that_is_down(caplog):
    llm = VLLM(base_url="http://127.0.0.1:9")
    assert llm.metadata.context_window == 3900
    assert llm.metadata.model_name == "unknown"
    assert caplog.text.count("is asked again") == 1  # and it is not asked again at once


async def test_many_that_await_the_metadata_ask_once(llm, vllm_sim, caplog):
    await asyncio.gather(*(llm.aload_metadata() for _ in range(10)))
    assert [request.path for request in vllm_sim.requests] == ["/v1/models", "/tokenize"]
    down = VLLM(base_url="http://127.0.0.1:9")
    await asyncio.gather(*(down.aload_metadata() for _ in range(10)))
    assert caplog.text.count("is asked again") == 1


def test_the_metadata_in_several_loops(llm, vllm_sim):
    for _ in range(2):
        assert asyncio.run(llm.aload_metadata()).context_window == 32768
    assert [request.path for request in vllm_sim.requests] == ["/v1/models", "/tokenize"]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "none"},
        {"reasoning_effort": "low"},
        {"enable_thinking": False},
        {"thinking": False},
        {"thinking": True, "reasoning_effort": "none"},
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


@pytest.mark.parametrize("max_tokens", [None, 100, 400])
async def test_packed_prompts_leave_room_for_the_template(vllm_sim, ask, max_tokens):
    """The simulator counts as vLLM does: prompt and answer together have to fit."""
    with SimServer(max_model_len=1000) as server:
        llm = VLLM(base_url=server.url, max_tokens=max_tokens)
        Settings.tokenizer = llm.tokenizer
        helper = await asyncio.to_thread(PromptHelper.from_llm_metadata, llm.metadata)
        prompt = PromptTemplate("Context: {context_str} Query: q")
        chunks = await asyncio.to_thread(helper.repack, prompt, ["word " * 3000], llm=llm)
        assert len(chunks) > 1
        await ask(llm, "chat", say(prompt.format(context_str=chunks[0])))
        over = prompt.format(context_str=chunks[0] + " word" * (1000 - 900 + helper.num_output))
        with pytest.raises(ContextLengthError):
            await ask(llm, "chat", say(over))


@pytest.mark.parametrize("status", ["400", "422", "500"])
async def test_what_a_strict_template_refuses_is_counted_as_text(vllm_sim, ask, status):
    llm = VLLM(base_url=vllm_sim.url, max_retries=0)
    whole = await ask(llm, "count_tokens", say("Say: Größe"))
    vllm_sim.fail_next(status, path="/tokenize")
    counted = await ask(llm, "count_tokens", say("Say: Größe"))
    assert counted > 0
    assert abs(counted - whole) < 16
    assert "prompt" in vllm_sim.requests[-1].json


@pytest.mark.parametrize("status", ["404", "401"])
async def test_counts_without_a_server_that_counts_are_estimates(vllm_sim, ask, status, caplog):
    vllm_sim.fail_always(status, path="/tokenize")
    llm = VLLM(base_url=vllm_sim.url, max_retries=0)
    assert await ask(llm, "count_tokens", say("Say: hello world")) > 8
    assert [request.method for request in vllm_sim.requests].count("POST") == 1
    down = VLLM(base_url="http://127.0.0.1:9", max_retries=0)
    assert await ask(down, "count_tokens", "Say: hello world") > 8
    assert caplog.text.count("are an estimate") == 2


async def test_the_tokenizer_never_blocks_an_event_loop(llm, vllm_sim):
    tokenizer = llm.tokenizer
    text = "How many tokens are these words?"
    estimates = len(tokenizer(text))
    assert not vllm_sim.requests
    exact = await asyncio.to_thread(tokenizer, text)
    assert len(exact) <= estimates <= 3 * len(exact)
    assert tokenizer(text) == exact  # it is remembered
    known = len(await asyncio.to_thread(tokenizer, text + " And these?"))
    assert known <= len(tokenizer(text + " Or those?")) <= 1.3 * known
    assert len(vllm_sim.requests) == 2


def test_the_tokenizer_never_fails(vllm_sim, caplog):
    tokenizer = VLLM(base_url="http://127.0.0.1:9", max_retries=0).tokenizer
    assert [bool(tokenizer(text)) for text in ("one", "two", "")] == [True, True, False]
    assert caplog.text.count("are estimated") == 1


@pytest.mark.parametrize("most", [1, 200, 256, 300, 1000, 1500, 1900])
def test_whatever_fills_the_context_leaves_room_for_the_answer(vllm_sim, most):
    window, template = 2048, served.TEMPLATE_TOKENS
    llm = VLLM(base_url=vllm_sim.url, model="llama", context_window=window, max_tokens=most)
    room = window - most - template
    told = llm.metadata
    assert told.context_window - told.num_output == room  # packed prompts
    assert told.context_window - 256 <= room or told.context_window <= 256 + template  # chat engines
    assert ChatMemoryBuffer.from_defaults(llm=llm).token_limit <= room  # agents
    assert told.context_window == window or most > 256 - template


def test_an_answer_that_leaves_no_room_is_the_servers_to_refuse(vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, model="llama", context_window=2048, max_tokens=5000)
    assert llm.metadata.context_window == 2048


@pytest.mark.parametrize("ask", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_a_long_conversation_fits_beside_a_long_answer(ask):
    with SimServer(max_model_len=2048) as server:
        llm = VLLM(base_url=server.url, max_tokens=1000)
        engine = SimpleChatEngine.from_defaults(llm=llm)
        engine._memory = ChatMemoryBuffer.from_defaults(
            [
                ChatMessage(role=role, content="word " * 150)
                for _ in range(10)
                for role in ("user", "assistant")
            ],
            token_limit=engine._memory.token_limit,
            tokenizer_fn=llm.tokenizer,
        )
        answer = getattr(engine, ask)("Say: hello")
        answer = await answer if ask.startswith("a") else answer
        if ask == "stream_chat":
            assert "".join(answer.response_gen) == "hello"
        elif ask == "astream_chat":
            assert "".join([each async for each in answer.async_response_gen()]) == "hello"
        else:
            assert str(answer) == "hello"
        sent = server.requests[-1].json
        assert len(sent["messages"]) >= 3  # and not more of it is forgotten than need be


async def test_a_server_that_comes_up_is_asked_again(monkeypatch, caplog):
    with SimServer() as server:
        port = int(server.url.rsplit(":", 1)[1])
    llm = VLLM(base_url=f"http://127.0.0.1:{port}")
    assert llm.metadata.context_window == 3900
    assert caplog.text.count("is asked again in 30 seconds") == 1
    with SimServer(max_model_len=1234, port=port):
        assert llm.metadata.context_window == 3900
        monkeypatch.setattr(served, "ASK_AGAIN_AFTER", 0)
        assert llm.metadata.context_window == 1234
