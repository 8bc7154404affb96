"""`thinking=` and `max_tokens="fit"`: as a field and per call, in every method."""

from __future__ import annotations

import pickle

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError

from llama_index.llms.vllm_connect import VLLM
from vllm_connect import UnsupportedOperationError

ASK = [ChatMessage(content="Think: one\nSay: two")]
OFF, ON = {"enable_thinking": False}, {"enable_thinking": True}


class City(BaseModel):
    name: str


@pytest.fixture(params=["chat", "stream_chat", "complete", "stream_complete"])
def answer(request, ask):
    async def answered(llm, **kwargs):
        prompt = ASK if request.param.endswith("chat") else ASK[0].content
        if request.param.startswith("stream"):
            return (await ask.stream(llm, request.param, prompt, **kwargs))[-1]
        return await ask(llm, request.param, prompt, **kwargs)

    return answered


async def test_thinking(vllm_sim, answer, sent):
    llm = VLLM(base_url=vllm_sim.url, thinking=False)
    await answer(llm)
    await answer(llm, thinking=True)
    await answer(llm, thinking=None)
    await answer(VLLM(base_url=vllm_sim.url), thinking=64)
    assert [body.get("chat_template_kwargs") for body in sent()] == [OFF, ON, None, ON]
    assert sent()[-1]["thinking_token_budget"] == 64
    assert not any("thinking" in body for body in sent())


async def test_as_much_as_the_context_leaves(vllm_sim, answer, sent):
    llm = VLLM(base_url=vllm_sim.url)
    for response in (
        await answer(VLLM(base_url=vllm_sim.url, max_tokens="fit")),
        await answer(llm, max_tokens="fit"),
    ):
        left = llm.metadata.context_window - response.raw["usage"]["prompt_tokens"]
        assert sent()[-1]["max_tokens"] == left


def test_metadata_with_all_that_is_left_is_that_without_a_limit(vllm_sim):
    assert VLLM(base_url=vllm_sim.url, max_tokens="fit").metadata == VLLM(base_url=vllm_sim.url).metadata


@pytest.mark.parametrize(
    ("fields", "given", "template"),
    [
        ({"chat_template_kwargs": {**OFF, "a": 1}}, {"thinking": True}, {**ON, "a": 1}),
        ({"enable_thinking": False}, {"thinking": True}, ON),
        ({"thinking": False}, {"enable_thinking": True}, ON),
        ({"thinking": True}, {"chat_template_kwargs": OFF}, OFF),
        ({}, {"thinking": True, "chat_template_kwargs": OFF}, OFF),
        (
            {"additional_kwargs": {"extra_body": {"chat_template_kwargs": OFF}}},
            {"thinking": True, "extra_body": {"chat_template_kwargs": {"a": 1}}},
            {**ON, "a": 1},
        ),
    ],
)
async def test_the_words_of_a_call_win(vllm_sim, ask, sent, fields, given, template):
    await ask(VLLM(base_url=vllm_sim.url, **fields), "chat", ASK, **given)
    assert sent()[-1]["chat_template_kwargs"] == template


async def test_a_parameter_of_a_call_wins_over_a_fields_extra_body(vllm_sim, answer, sent):
    llm = VLLM(base_url=vllm_sim.url, additional_kwargs={"extra_body": {"top_k": 3, "seed": 1}})
    await answer(llm, top_k=5)
    await answer(llm, top_k=5, extra_body={"seed": 2})
    await answer(llm)
    assert [(body["top_k"], body["seed"]) for body in sent()] == [(5, 1), (5, 2), (3, 1)]


async def test_structured_answers(vllm_sim, ask, sent):
    llm = VLLM(base_url=vllm_sim.url, thinking=False, max_tokens="fit")
    prompt = PromptTemplate("Which city?")
    assert isinstance(await ask(llm, "structured_predict", City, prompt), City)
    assert isinstance((await ask.stream(llm, "stream_structured_predict", City, prompt))[-1], City)
    assert isinstance((await ask(llm.as_structured_llm(City), "chat", ASK)).raw, City)
    assert [body["chat_template_kwargs"] for body in sent()] == [OFF] * 3
    assert all(body["max_tokens"] > 1000 for body in sent())


@pytest.mark.parametrize("fields", [{"thinking": False}, {"thinking": 5}, {"max_tokens": "fit"}])
def test_they_are_saved(vllm_sim, fields):
    ((name, value),) = fields.items()
    llm = VLLM(base_url=vllm_sim.url, **fields)
    for copied in (
        VLLM.from_dict(llm.to_dict()),
        VLLM.from_json(llm.to_json()),
        pickle.loads(pickle.dumps(llm)),
        llm.model_copy(),
    ):
        assert (getattr(copied, name), type(getattr(copied, name))) == (value, type(value))


@pytest.mark.parametrize("thinking", ["no", -1, 1.5, {"type": "enabled"}])
async def test_what_thinking_is_not(vllm_sim, llm, ask, thinking):
    with pytest.raises(ValidationError, match="thinking"):
        VLLM(base_url=vllm_sim.url, thinking=thinking)
    with pytest.raises(TypeError, match="thinking is True, False"):
        await ask(llm, "chat", ASK, thinking=thinking)


async def test_one_switch_at_a_time(vllm_sim, llm, ask):
    both = {"thinking": True, "enable_thinking": True}
    with pytest.raises(ValidationError, match="either thinking= or enable_thinking="):
        VLLM(base_url=vllm_sim.url, **both)
    with pytest.raises(ValueError, match="either thinking= or enable_thinking="):
        await ask(llm, "chat", ASK, **both)
    assert not vllm_sim.requests


async def test_texts_have_neither(vllm_sim, ask):
    base = VLLM(base_url=vllm_sim.url, mode="completion")
    with pytest.raises(ValueError, match="no chat template"):
        await ask(base, "complete", "x", thinking=False)
    with pytest.raises(ValueError, match="no max_tokens='fit'"):
        await ask(base, "complete", "x", max_tokens="fit")
    with pytest.raises(ValidationError, match="no max_tokens='fit'"):
        VLLM(base_url=vllm_sim.url, mode="completion", max_tokens="fit")
    with pytest.raises(ValidationError, match="greater than 0"):
        VLLM(base_url=vllm_sim.url, max_tokens=0)


async def test_a_model_without_a_switch(canned, ask):
    llm = VLLM(base_url=canned({"count": 1, "max_model_len": 9, "tokens": [1]}), model="m")
    with pytest.raises(UnsupportedOperationError, match="no switch for thinking"):
        await ask(llm, "chat", ASK, thinking=False)
