"""Chat and complete, plain and streamed, sync and async, and what can go wrong."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import pickle
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from pydantic import SecretStr, ValidationError

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect import ConfigError, InvalidResponseError, Key
from vllm_connect.adapters import clients
from vllm_connect.sim import SimServer

CHAT = "/v1/chat/completions"


def say(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


def test_it_is_an_llm():
    assert issubclass(VLLM, FunctionCallingLLM)
    assert BaseLLM in VLLM.__mro__
    assert VLLM.class_name() == "VLLMConnect_llm"


async def test_chat(llm, ask, sent):
    messages = [ChatMessage(role="system", content="Be brief."), *say("Think: easy\nSay: hello")]
    response = await ask(llm, "chat", messages)
    assert response.message.role == MessageRole.ASSISTANT
    assert response.message.content == "hello"
    assert response.message.blocks == [ThinkingBlock(content="easy", num_tokens=1), TextBlock(text="hello")]
    assert response.raw["usage"]["prompt_tokens"] == response.additional_kwargs["prompt_tokens"] > 0
    assert response.additional_kwargs["finish_reason"] == "stop"
    (body,) = sent()
    assert body == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Think: easy\nSay: hello"},
        ]
    }


async def test_stream_chat(llm, ask, sent):
    responses = await ask.stream(llm, "stream_chat", say("Think: a b\nSay: one two three"))
    assert "".join(response.delta for response in responses) == "one two three"
    assert responses[-1].message.content == "one two three"
    thoughts = [response.additional_kwargs.get("thinking_delta") or "" for response in responses]
    assert "".join(thoughts) == "a b"
    assert responses[-1].message.blocks[0] == ThinkingBlock(content="a b", num_tokens=2)
    assert responses[-1].raw["usage"]["completion_tokens"] > 5
    assert responses[-1].additional_kwargs["finish_reason"] == "stop"
    texts = [response.message.content for response in responses]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert sent()[0]["stream_options"] == {"include_usage": True}


async def test_complete(llm, ask, sent):
    response = await ask(llm, "complete", "Say: hello")
    assert response.text == str(response) == "hello"
    assert response.raw["usage"]["completion_tokens"] == response.additional_kwargs["completion_tokens"]
    assert sent()[0]["messages"] == [{"role": "user", "content": "Say: hello"}]


async def test_stream_complete(llm, ask):
    responses = await ask.stream(llm, "stream_complete", "Say: one two three")
    assert "".join(response.delta for response in responses) == responses[-1].text == "one two three"
    assert responses[-1].raw["usage"]["completion_tokens"] > 2


async def test_fields_and_call_parameters_are_sent(vllm_sim, ask, sent):
    llm = VLLM(
        base_url=vllm_sim.url,
        model="sim-chat",
        temperature=0,
        top_k=20,
        max_tokens=50,
        stop=["never"],
        enable_thinking=False,
        chat_template_kwargs={"a": 1},
        additional_kwargs={"extra_body": {"new": 1}, "user": "me"},
    )
    response = await ask(llm, "chat", say("Say: x"), top_k=5, extra_body={"newer": 2})
    assert response.message.blocks == [TextBlock(text="x")]
    (body,) = sent()
    del body["messages"]
    assert body == {
        "model": "sim-chat",
        "temperature": 0,
        "top_k": 5,
        "max_tokens": 50,
        "stop": ["never"],
        "chat_template_kwargs": {"a": 1, "enable_thinking": False},
        "user": "me",
        "new": 1,
        "newer": 2,
    }


async def test_thinking_can_be_switched_for_one_call(llm, ask):
    response = await ask(llm, "chat", say("Think: a\nSay: x"), enable_thinking=False)
    assert not any(isinstance(block, ThinkingBlock) for block in response.message.blocks)


async def test_constraints(llm, ask):
    response = await ask(
        llm,
        "complete",
        "Is the sky blue?",
        structured_outputs={"choice": ["yes", "no"]},
        enable_thinking=False,
    )
    assert response.text == "yes"


async def test_logprobs(llm, ask):
    response = await ask(llm, "chat", say("Say: a b"), logprobs=True, top_logprobs=2)
    assert response.logprobs
    assert len(response.logprobs[0]) == 2
    streamed = await ask.stream(llm, "stream_chat", say("Say: a b"), logprobs=True)
    told = [token for each in streamed for token in each.logprobs or ()]
    assert [token[0].token for token in told] == [token[0].token for token in response.logprobs]


async def test_unknown_arguments_are_refused(llm, ask, vllm_sim):
    with pytest.raises(ValidationError, match="generate_kwargs"):
        VLLM(base_url=vllm_sim.url, generate_kwargs={})
    with pytest.raises(TypeError, match="top_kk"):
        await ask(llm, "chat", say("Say: x"), top_kk=3)


def test_a_server_is_needed(monkeypatch, vllm_sim):
    for cls in (VLLM, VLLMEmbedding, VLLMRerank):
        with pytest.raises(ConfigError, match=rf"{cls.__name__}\(base_url=.*VLLM_BASE_URL"):
            cls()
    monkeypatch.setenv("VLLM_BASE_URL", vllm_sim.url)
    assert VLLM().complete("Say: x").text == "x"


# Errors


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        ("400", openai.BadRequestError, 1),
        ("401", openai.AuthenticationError, 1),
        ("404", openai.NotFoundError, 1),
        ("500", openai.InternalServerError, 1),
        ("503", openai.InternalServerError, 3),
        ("error_200", openai.InternalServerError, 3),
    ],
)
async def test_one_retry_layer(llm, ask, vllm_sim, fault, error, requests):
    vllm_sim.fail_always(fault)
    with pytest.raises(error):
        await ask(llm, "chat", say("Say: x"))
    # What else is asked of a server that lacks a route is what it is.
    assert [request.method for request in vllm_sim.requests].count("POST") == requests


async def test_a_generation_that_times_out_is_not_sent_again(ask, vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, timeout=0.2)
    vllm_sim.fail_always("stall", where="headers", seconds=1)
    with pytest.raises(openai.APITimeoutError):
        await ask(llm, "chat", say("Say: x"))
    assert len(vllm_sim.requests) == 1


# Life


def test_several_event_loops(vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, max_retries=0)
    for _ in range(3):
        assert asyncio.run(llm.achat(say("Say: x"))).message.content == "x"


@pytest.mark.parametrize("copied", [lambda llm: pickle.loads(pickle.dumps(llm)), copy.copy, copy.deepcopy])
def test_copies_work(vllm_sim, copied, caplog):
    llm = VLLM(base_url=vllm_sim.url, api_key="secret", temperature=0.5, top_k=3)
    llm.complete("Say: x")
    asyncio.run(llm.acomplete("Say: x"))
    again = copied(llm)
    assert (again.temperature, again.top_k, again.api_key) == (0.5, 3, llm.api_key)
    assert again.complete("Say: x").text == "x"
    assert asyncio.run(again.acomplete("Say: x")).text == "x"
    assert vllm_sim.requests[-1].headers["authorization"] == "Bearer secret"
    assert not caplog.records


def test_a_changed_copy_asks_its_own_server(llm):
    with SimServer() as other:
        moved = llm.model_copy(update={"base_url": other.url})
        assert moved.complete("Say: x").text == "x"
        assert len(other.requests) == 1
        assert llm.client is llm.client is not moved.client


def test_a_changed_server_is_asked_anew(llm):
    assert llm.metadata.context_window == 32768
    with SimServer(max_model_len=1234) as other:
        llm.base_url = other.url
        assert llm.metadata.context_window == 1234
        assert llm.complete("Say: x").text == "x"


def test_from_dict_of_to_dict(vllm_sim):
    llm = VLLM(base_url=vllm_sim.url, model="sim-chat", temperature=0.5, stop=["§"], context_window=99)
    again = VLLM.from_dict(llm.to_dict())
    assert again.to_dict() == llm.to_dict()
    assert again.complete("Say: x").text == "x"
    assert VLLM.from_json(llm.to_json()).temperature == 0.5


def test_secrets_are_neither_serialised_nor_shown(vllm_sim, monkeypatch):
    host = vllm_sim.url.removeprefix("http://")
    monkeypatch.setenv("MY_KEY", "hush")
    made = [
        VLLM(base_url=f"http://user:hush@{host}", default_headers={"X": "hush"}),
        VLLM(base_url=vllm_sim.url, api_key="hush"),
        VLLM(keys=[Key(name="a", url=f"http://user:hush@{host}", api_key="hush")]),
        VLLM.from_config({"providers": {"vllm": {"keys": [_bifrost_key(vllm_sim.url)]}}}),
    ]
    for llm in made:
        assert "hush" not in json.dumps(llm.to_dict())
        assert "hush" not in llm.model_dump_json()
        assert "hush" not in repr(llm)
        assert "hush" not in str(llm.to_payload())
    # A reference is no secret.
    again = VLLM.from_dict(VLLM(base_url=vllm_sim.url, api_key="env.MY_KEY").to_dict())
    again.complete("Say: x")
    assert vllm_sim.requests[-1].headers["authorization"] == "Bearer hush"


def _bifrost_key(url: str) -> dict[str, Any]:
    return {"name": "one", "value": "hush", "models": ["*"], "vllm_key_config": {"url": url}}


def test_nothing_of_openai_is_sent(llm, vllm_sim):
    llm.complete("Say: x")
    assert "authorization" not in vllm_sim.requests[-1].headers


async def test_several_servers(ask):
    with SimServer(models="a") as one, SimServer(models="b") as two:
        keys = [
            Key(name="one", url=one.url, models=["a"]),
            Key(name="two", url=two.url, models=["b"], aliases={}),
        ]
        for model in ("a", "b"):
            llm = VLLM(model=model, keys=keys)
            assert (await ask(llm, "complete", "Say: x")).text == "x"
            again = VLLM.from_dict(llm.to_dict())
            assert (await ask(again, "complete", "Say: x")).text == "x"
        assert len(one.requests) == len(two.requests) == 2


async def test_from_config(ask, vllm_sim, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"providers": {"vllm": {"keys": [_bifrost_key(vllm_sim.url)]}}}))
    llm = VLLM.from_config(path, temperature=0)
    assert (await ask(llm, "complete", "Say: x")).text == "x"
    assert vllm_sim.requests[-1].headers["authorization"] == "Bearer hush"
    assert VLLM.from_dict(llm.to_dict()).complete("Say: y").text == "y"


async def test_several_answers(llm, ask):
    """The first is the message, and all of them are in `raw`; a stream is that of the first alone."""
    response = await ask(llm, "chat", say("Say: x y"), n=2)
    assert response.message.content == "x y"
    assert [choice["message"]["content"] for choice in response.raw["choices"]] == ["x y", "x y"]
    streamed = await ask.stream(llm, "stream_chat", say("Say: x y"), n=2)
    assert "".join(each.delta for each in streamed) == streamed[-1].message.content == "x y"
    base = llm.model_copy(update={"mode": "completion"})
    assert len((await ask(base, "complete", "Say: x", n=2)).raw["choices"]) == 2
    texts = await ask.stream(base, "stream_complete", "Say: x", n=2)
    assert (
        "".join(each.delta for each in texts)
        == texts[-1].text
        == (await ask(base, "complete", "Say: x")).text
    )


async def test_an_answer_without_a_choice(ask, canned):
    llm = VLLM(
        base_url=canned({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []})
    )
    with pytest.raises(InvalidResponseError, match="'choices' is empty"):
        await ask(llm, "chat", say("x"))
    with pytest.raises(InvalidResponseError, match="'choices' is empty"):
        await ask(llm.model_copy(update={"mode": "completion"}), "complete", "x")


async def test_logprobs_of_completions(llm, ask):
    response = await ask(llm, "complete", "Say: a b", logprobs=True)
    assert "".join(token[0].token for token in response.logprobs).endswith("a b<|im_end|>")
    base = llm.model_copy(update={"mode": "completion"})
    chat = await ask(base, "chat", say("Say: a b"), logprobs=True)
    assert "".join(token[0].token for token in chat.logprobs) == f"{chat.message.content}<|im_end|>"
    assert chat.additional_kwargs["finish_reason"] == "stop"
    assert chat.message.additional_kwargs == {}


async def test_stream_options_are_added_to(llm, ask, sent):
    for options in ({"continuous_usage_stats": True}, {"include_usage": False}):
        await ask.stream(llm, "stream_chat", say("Say: x"), stream_options=options)
    assert [body["stream_options"] for body in sent()] == [
        {"include_usage": True, "continuous_usage_stats": True},
        {"include_usage": False},
    ]


def test_an_http_client_that_is_given_stays_open(vllm_sim):
    given = openai.DefaultHttpxClient()
    llm = VLLM(base_url=vllm_sim.url, http_client=given)
    llm.complete("Say: x")
    llm.close()
    assert not given.is_closed
    assert llm.complete("Say: x").text == "x"
    given.close()


def test_closed_clients_open_again(llm):
    llm.complete("Say: x")
    llm.close()
    assert llm.complete("Say: x").text == "x"
    asyncio.run(llm.aclose())


# Text completions


async def test_completion_mode(vllm_sim, ask, sent):
    llm = VLLM(base_url=vllm_sim.url, mode="completion", logprobs=True, top_logprobs=2)
    assert not llm.metadata.is_chat_model
    assert not llm.metadata.is_function_calling_model
    response = await ask(llm, "complete", "Say: hello")
    assert "hello" in response.text
    assert len(response.logprobs[0]) == 2
    streamed = await ask.stream(llm, "stream_complete", "Say: hello")
    assert "".join(each.delta for each in streamed) == streamed[-1].text == response.text
    assert streamed[-1].raw["usage"]["completion_tokens"] == response.additional_kwargs["completion_tokens"]
    chat = await ask(llm, "chat", say("Say: hello"))
    assert chat.message.content
    assert (await ask.stream(llm, "stream_chat", say("Say: hello")))[-1].message.content
    bodies = sent("/v1/completions")
    assert bodies[0] == {"prompt": "Say: hello", "max_tokens": 256, "logprobs": 2}
    assert bodies[2]["prompt"] == "user: Say: hello\nassistant: "
    assert not sent(CHAT)


async def test_text_between_two_others(vllm_sim, ask, sent):
    vllm_sim.fail_next("400")  # vLLM itself refuses a suffix
    llm = VLLM(base_url=vllm_sim.url, mode="completion", max_tokens=5)
    with pytest.raises(openai.BadRequestError):
        await ask(llm, "complete", "def f(", suffix="return x")
    assert sent("/v1/completions")[0]["suffix"] == "return x"


def test_threads_share_a_client(vllm_sim, monkeypatch):
    def make_slowly(*arguments: Any) -> Any:
        time.sleep(0.02)
        return make(*arguments)

    make = clients._make
    monkeypatch.setattr(clients, "_make", make_slowly)
    llm = VLLM(base_url=vllm_sim.url)
    llm.close()  # forgets the client that the constructor made
    begin = threading.Barrier(8)

    def first_use(_: int) -> object:
        begin.wait()
        return llm.client

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(first_use, range(8)))
    assert all(client is made[0] for client in made)


# Settings

CLASSES = [VLLM, VLLMEmbedding, VLLMRerank]


@pytest.fixture
def shared() -> Iterator[dict[str, Any]]:
    """What holds locks or connections, and cannot be pickled."""
    client, async_client = openai.DefaultHttpxClient(), openai.DefaultAsyncHttpxClient()
    yield {"http_client": client, "async_http_client": async_client}
    client.close()
    asyncio.run(async_client.aclose())


@pytest.mark.parametrize("cls", CLASSES)
def test_pickling_changes_nothing(cls, vllm_sim, shared):
    limit = {} if cls is VLLMRerank else {"rate_limiter": TokenBucketRateLimiter(requests_per_minute=600)}
    made = cls(base_url=vllm_sim.url, default_headers={"X": "1"}, **shared, **limit)
    before = dict(vars(made))
    again = pickle.loads(pickle.dumps(made))
    assert vars(made) == before
    assert vars(again).keys() == before.keys()
    assert again.http_client is again.async_http_client is None
    assert again.default_headers == {"X": "1"}
    assert again.client is not made.client


@pytest.mark.parametrize("cls", CLASSES)
def test_deep_copies_share_connections(cls, vllm_sim, shared):
    limit = {} if cls is VLLMRerank else {"rate_limiter": TokenBucketRateLimiter(requests_per_minute=600)}
    made = cls(base_url=vllm_sim.url, default_headers={"X": "1"}, **shared, **limit)
    for copied in (copy.deepcopy(made), made.model_copy(deep=True)):
        assert all(getattr(copied, name) is given for name, given in (shared | limit).items())
        assert copied.default_headers is not made.default_headers


def test_what_cannot_be_pickled_gets_its_default(llm, caplog):
    llm.completion_to_prompt = lambda prompt: f"<{prompt}>"
    again = pickle.loads(pickle.dumps(llm))
    assert llm.completion_to_prompt("x") == "<x>"
    assert again.completion_to_prompt is not None
    assert "VLLM.completion_to_prompt cannot be pickled" in caplog.text


def _assign(llm: VLLM, **fields: Any) -> VLLM:
    for name, value in fields.items():
        setattr(llm, name, value)
    return llm


@pytest.mark.parametrize("change", [_assign, lambda llm, **fields: llm.model_copy(update=fields)])
def test_credentials_can_be_changed(llm, vllm_sim, change):
    changed = change(llm, api_key="hush")
    assert isinstance(changed.api_key, SecretStr)
    assert "hush" not in repr(changed)
    changed.complete("Say: x")
    keys = [{"name": "a", "url": vllm_sim.url, "api_key": "hushed"}]
    changed = change(llm, base_url=None, api_key=None, keys=keys)
    assert "hushed" not in repr(changed)
    changed.complete("Say: x")
    authorized = [request.headers["authorization"] for request in vllm_sim.requests]
    assert authorized == ["Bearer hush", "Bearer hushed"]


async def test_settings_that_are_changed_in_place(ask, vllm_sim):
    config = {"providers": {"vllm": {"keys": [_bifrost_key(vllm_sim.url)]}}}
    configured = VLLM.from_config(config)
    await ask(configured, "complete", "Say: x")
    config["providers"]["vllm"]["keys"][0]["value"] = "new"
    keyed = VLLM(keys=[Key(name="a", url=vllm_sim.url)], default_headers={"X": "old"})
    await ask(keyed, "complete", "Say: x")
    keyed.keys[0] = Key(name="a", url=vllm_sim.url, api_key="new")
    keyed.default_headers["X"] = "new"
    for llm in (configured, keyed):
        await ask(llm, "complete", "Say: x")
        assert vllm_sim.requests[-1].headers["authorization"] == "Bearer new"
    assert vllm_sim.requests[-1].headers["x"] == "new"


@pytest.mark.parametrize("cls", CLASSES)
def test_headers_of_requests_are_not_shown(cls, vllm_sim):
    further = {"extra_headers": {"Authorization": "hush"}, "user": "me"}
    made = cls(base_url=vllm_sim.url, additional_kwargs=further)
    assert "hush" not in repr(made) + made.to_json() + made.model_dump_json()
    assert made.to_dict()["additional_kwargs"] == {"user": "me"}
    assert made.additional_kwargs == further


@pytest.mark.parametrize("cls", CLASSES)
def test_refusals_do_not_show_what_was_given(cls, vllm_sim):
    with pytest.raises(ValidationError, match="apikey") as caught:
        cls(base_url=vllm_sim.url, apikey="hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "name", "hint"),
    [
        (VLLM, "api_base", "base_url="),
        (VLLMEmbedding, "api_base", "base_url="),
        (VLLM, "request_timeout", "timeout="),
        (VLLM, "max_new_tokens", "max_tokens="),
        (VLLM, "n", 'additional_kwargs={"n": …}'),
        (VLLM, "extra_body", 'additional_kwargs={"extra_body": …}'),
        (VLLM, "model_name", "model="),
        (VLLMRerank, "model_name", "model="),
        (VLLMEmbedding, "model", "model_name="),
    ],
)
def test_usual_names_are_pointed_to_ours(vllm_sim, cls, name, hint):
    with pytest.raises(ValidationError, match=f"has no {name}=: use {re.escape(hint)}"):
        cls(**{"base_url": vllm_sim.url, name: "x"})


@pytest.mark.parametrize("cls", CLASSES)
def test_a_dump_makes_another(cls, vllm_sim):
    made = cls(base_url=vllm_sim.url)
    assert cls(**made.model_dump()).to_dict() == made.to_dict()
    assert cls.model_validate_json(made.model_dump_json()).to_dict() == made.to_dict()


async def test_token_ids_as_numbers(vllm_sim, ask, sent):
    await ask(VLLM(base_url=vllm_sim.url, logit_bias={123: -100}), "complete", "Say: x")
    assert sent()[0]["logit_bias"] == {"123": -100}


@pytest.mark.parametrize(
    ("own", "given", "template"),
    [
        ({"a": 1}, {}, {"a": 1, "enable_thinking": False}),
        (
            {"a": 1},
            {"extra_body": {"chat_template_kwargs": {"b": 2}}},
            {"a": 1, "b": 2, "enable_thinking": False},
        ),
        ({"a": 1}, {"chat_template_kwargs": {"a": 2}}, {"a": 2, "enable_thinking": False}),
        ({}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, {"enable_thinking": True}),
    ],
)
async def test_template_parameters_in_an_extra_body(vllm_sim, ask, sent, own, given, template):
    further = {"extra_body": {"chat_template_kwargs": own, "new": 1}}
    llm = VLLM(base_url=vllm_sim.url, enable_thinking=False, additional_kwargs=further)
    await ask(llm, "complete", "Say: x", **given)
    assert (sent()[0]["chat_template_kwargs"], sent()[0]["new"]) == (template, 1)
    assert further == {"extra_body": {"chat_template_kwargs": own, "new": 1}}


@pytest.mark.parametrize("mode", ["chat", "completion"])
async def test_streams_have_methods_of_their_own(vllm_sim, ask, sent, mode):
    streaming = VLLM(base_url=vllm_sim.url, mode=mode, additional_kwargs={"stream": True})
    llm = VLLM(base_url=vllm_sim.url, mode=mode, additional_kwargs={"stream_options": {}})
    for call in (ask(streaming, "chat", say("x")), ask(llm, "chat", say("x"), stream=True)):
        with pytest.raises(ValueError, match="use stream_chat"):
            await call
    await ask(llm, "chat", say("Say: x"))
    await ask.stream(streaming, "stream_chat", say("Say: x"))
    whole, streamed = sent() or sent("/v1/completions")
    assert not whole.keys() & {"stream", "stream_options"}
    assert streamed["stream"] is True


@pytest.mark.parametrize(
    "option",
    [
        {"enable_thinking": False},
        {"thinking": False},
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {}},
        {"include_reasoning": False},
        {"mm_processor_kwargs": {}},
    ],
)
def test_base_models_have_no_template(vllm_sim, option):
    (name,) = option
    with pytest.raises(ValidationError, match=f"no place for {name}"):
        VLLM(base_url=vllm_sim.url, mode="completion", **option)


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(image=b"x"),
        AudioBlock(audio=b"x"),
        VideoBlock(video=b"x"),
        DocumentBlock(data=b"x"),
        CitableBlock(title="t", source="s", content=[TextBlock(text="x")]),
        ToolCallBlock(tool_name="f", tool_kwargs={}),
    ],
)
async def test_base_models_take_text_alone(vllm_sim, ask, block):
    llm = VLLM(base_url=vllm_sim.url, mode="completion")
    messages = [ChatMessage(blocks=[TextBlock(text="What is it?"), block])]
    for method in ("chat", "count_tokens"):
        with pytest.raises(ValueError, match=f"no {type(block).__name__}"):
            await ask(llm, method, messages)
    assert not vllm_sim.requests
