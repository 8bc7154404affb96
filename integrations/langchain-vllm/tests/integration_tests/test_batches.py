"""`batch` and `abatch`: in order, errors as asked for, as many at once as the servers do best with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM, VLLMCompletion

PROMPTS = [f"Say: number {number}" for number in range(100)]
TEXTS = [f"number {number}" for number in range(100)]
Batch = Callable[..., list[Any]]


def _abatch(model: Any, *args: Any, **kwargs: Any) -> list[Any]:
    return asyncio.run(model.abatch(*args, **kwargs))


@pytest.fixture(params=["batch", "abatch"])
def batch(request: pytest.FixtureRequest) -> Batch:
    return (
        _abatch if request.param == "abatch" else lambda model, *args, **kwargs: model.batch(*args, **kwargs)
    )


@pytest.fixture
def own_sim() -> Iterator[SimServer]:
    """A simulator of a test's own: threads whose answers nobody waits for may still ask it later."""
    with SimServer() as server:
        yield server


def test_answers_in_order(model: ChatVLLM, batch: Batch) -> None:
    assert [answer.text for answer in batch(model, PROMPTS)] == TEXTS
    assert batch(model, []) == []
    assert [answer.text for answer in batch(model, ["Say: one"])] == ["one"]
    assert [answer.text for answer in batch(model, PROMPTS[:2], max_tokens=200)] == TEXTS[:2]
    chain = ChatPromptTemplate.from_template("{text}") | model
    assert [answer.text for answer in batch(chain, [{"text": text} for text in PROMPTS])] == TEXTS


def test_the_first_error_is_raised(own_sim: SimServer, batch: Batch) -> None:
    own_sim.fail_always("400")
    with pytest.raises(core.ModelInvalidRequestError):
        batch(ChatVLLM(base_url=own_sim.url, max_retries=0), PROMPTS * 5)
    assert len(own_sim.requests) < len(PROMPTS * 5)


def test_errors_in_place_of_answers(sim: SimServer, model: ChatVLLM, batch: Batch) -> None:
    sim.fail_next("400", times=3)
    answers = batch(model, PROMPTS, return_exceptions=True)
    errors = [each for each in answers if isinstance(each, core.ModelInvalidRequestError)]
    assert len(errors) == 3
    for answer, text in zip(answers, TEXTS, strict=True):
        assert answer in errors or answer.text == text


def test_refusals_are_tried_again(sim: SimServer, batch: Batch) -> None:
    sim.fail_next("429", times=2, retry_after=0)
    assert [answer.text for answer in batch(ChatVLLM(base_url=sim.url), PROMPTS)] == TEXTS


@pytest.mark.parametrize("most", [1, 3])
def test_max_concurrency_wins(sim: SimServer, model: ChatVLLM, batch: Batch, most: int) -> None:
    sim.fail_always("stall", seconds=0.02)
    batch(model, PROMPTS[:12], {"max_concurrency": most})
    assert len({request.client for request in sim.requests}) <= most


def test_without_it_there_are_more_at_once(sim: SimServer, model: ChatVLLM, batch: Batch) -> None:
    sim.fail_always("stall", seconds=0.05)
    batch(model, PROMPTS[:40])
    assert len({request.client for request in sim.requests}) > 12


def test_every_input_has_its_config(model: ChatVLLM, batch: Batch) -> None:
    class Seen(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, tags: list[str], **__: Any) -> None:
            tagged.append(tags)

    tagged: list[list[str]] = []
    batch(model, PROMPTS[:3], [{"tags": [str(number)], "callbacks": [Seen()]} for number in range(3)])
    assert sorted(tagged) == [["0"], ["1"], ["2"]]


def test_structured_answers(model: ChatVLLM, batch: Batch) -> None:
    assert batch(model.with_structured_output(["yes"]), PROMPTS[:20]) == ["yes"] * 20
    assert all(isinstance(answer, AIMessage) for answer in batch(model.bind(top_k=2), PROMPTS[:5]))


def test_requests_of_a_completion_go_at_once(sim: SimServer, batch: Batch) -> None:
    prompts = [f"Once {number}" for number in range(80)]
    whole = batch(VLLMCompletion(base_url=sim.url, max_tokens=8), prompts)
    sim.reset()
    sim.fail_always("stall", seconds=0.05)
    llm = VLLMCompletion(base_url=sim.url, max_tokens=8, batch_size=2)
    assert batch(llm, prompts) == whole
    assert [len(request.json["prompt"]) for request in sim.requests] == [2] * 40
    assert 1 < len({request.client for request in sim.requests}) <= 16


def test_a_failed_request_of_a_completion_fails_all(own_sim: SimServer, batch: Batch) -> None:
    own_sim.fail_always("400")
    llm = VLLMCompletion(base_url=own_sim.url, batch_size=1, max_retries=0)
    with pytest.raises(core.ModelInvalidRequestError):
        batch(llm, [f"Once {number}" for number in range(50)])
    assert len(own_sim.requests) < 50
