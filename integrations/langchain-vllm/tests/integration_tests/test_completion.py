"""Text completions."""

from __future__ import annotations

import pytest
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
