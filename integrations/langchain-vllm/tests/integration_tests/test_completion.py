"""Text completions."""

from __future__ import annotations

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler

from langchain_vllm import VLLMCompletion

PROMPTS = ["Say: one", "Say: two"]


@pytest.fixture
def llm(sim):
    return VLLMCompletion(model="sim-chat", base_url=sim.url, max_tokens=20)


async def test_a_list_of_prompts_is_one_request(sim, llm):
    expected = [llm.invoke(prompt) for prompt in PROMPTS]
    sim.reset()
    assert llm.batch(PROMPTS) == expected
    assert len(sim.requests) == 1
    assert await llm.abatch(PROMPTS) == expected
    assert len(sim.requests) == 2
    assert sim.requests[-1].json["prompt"] == PROMPTS


async def test_streams_say_the_same(llm):
    whole = llm.invoke(PROMPTS[0])
    assert "".join(llm.stream(PROMPTS[0])) == whole
    assert "".join([text async for text in llm.astream(PROMPTS[0])]) == whole


async def test_several_answers_per_prompt(llm):
    for result in (llm.generate(PROMPTS, n=2), await llm.agenerate(PROMPTS, n=2)):
        assert [len(answers) for answers in result.generations] == [2, 2]
        assert result.llm_output["token_usage"]["completion_tokens"] > 0
        assert result.generations[0][0].generation_info["finish_reason"] in ("stop", "length")


def test_callbacks_get_every_token(sim):
    class Listener(BaseCallbackHandler):
        tokens: list[str]

        def __init__(self):
            self.tokens = []

        def on_llm_new_token(self, token, **kwargs):
            self.tokens.append(token)

    llm = VLLMCompletion(base_url=sim.url, streaming=True, max_tokens=20)
    listener = Listener()
    result = llm.generate([PROMPTS[0]], callbacks=[listener])
    assert "".join(listener.tokens) == result.generations[0][0].text
    assert len(listener.tokens) > 1
    assert result.llm_output["token_usage"]["completion_tokens"] > 0


def test_nothing_unset_is_sent(sim, llm):
    llm.invoke("Hello", stop=["x"], echo=True)
    assert set(sim.requests[-1].json) == {"model", "prompt", "max_tokens", "stop", "echo"}


def test_tokens(llm):
    assert llm.get_num_tokens("one two three") == len(llm.get_token_ids("one two three")) > 0


def test_leaving_a_stream_ends_the_generation(sim):
    for _ in VLLMCompletion(base_url=sim.url, max_tokens=9000).stream("Count to 9000"):
        break
    assert sim.wait_for_abort()


async def test_a_batch_size_bounds_the_prompts_of_a_request(sim, llm):
    prompts = ["Say: one", "Say: two", "Say: three"]
    whole = llm.generate(prompts)
    small = VLLMCompletion(model="sim-chat", base_url=sim.url, max_tokens=20, batch_size=2)
    sim.reset()
    for result in (small.generate(prompts), await small.agenerate(prompts)):
        assert [answers[0].text for answers in result.generations] == [
            answers[0].text for answers in whole.generations
        ]
        assert (
            result.llm_output["token_usage"]["total_tokens"]
            == whole.llm_output["token_usage"]["total_tokens"]
        )
    # At once, so that either may come first.
    sent = [request.json["prompt"] for request in sim.requests]
    assert sorted(sent) == sorted([prompts[:2], prompts[2:]] * 2)


async def test_a_cache_tells_calls_apart_by_their_arguments(sim):
    llm = VLLMCompletion(model="sim-chat", base_url=sim.url, max_tokens=20, cache=InMemoryCache())
    for arguments in ({}, {"max_tokens": 3}, {"extra_headers": {"X-Tenant": "a"}}, {"stop": ["w"]}):
        sim.reset()
        answers = [llm.invoke("Say: one two three", **arguments) for _ in range(2)]
        answers.append(await llm.ainvoke("Say: one two three", **arguments))
        assert len(sim.requests) == 1
        assert len(set(answers)) == 1
