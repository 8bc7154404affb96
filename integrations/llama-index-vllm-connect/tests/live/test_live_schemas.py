"""Objects, schemas, windows and strict templates on real vLLM servers."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from llama_index.core import Settings
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, Field

from llama_index.llms.vllm_connect import VLLM


class Ticket(BaseModel):
    """A ticket of the help desk, which somebody has to answer before the day is over."""

    severity: Literal["S1", "S2", "S3"] = Field(
        description="S1: nobody can work; S2: one team cannot work; S3: a nuisance that can wait for a while"
    )
    amount: int = Field(description="in cents, not euros", ge=0, le=9)


TICKET = PromptTemplate("The invoice {number} is too high.")


def prompt_tokens(events: Any) -> list[tuple[int, int]]:
    """Of each chat the tokens of its prompt, and how many of them were cached."""
    usages = [event.response.raw["usage"] for event in events.seen if event.class_name() == "LLMChatEndEvent"]
    return [(usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) for usage in usages]


async def test_the_schema_is_read_and_cached(llm, ask, events):
    for shown in (False, True):
        for number in (1, 2):
            kwargs = {"enable_thinking": False, "show_schema": shown}
            await ask(llm, "structured_predict", Ticket, TICKET, llm_kwargs=kwargs, number=number)
    (hidden, _), _, (shown_tokens, _), (_, cached) = prompt_tokens(events)
    assert shown_tokens > hidden + 100
    assert cached >= (shown_tokens - hidden) // 2  # whole blocks of the beginning


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"max_tokens": 8, "enable_thinking": False}, "not whole.*max_tokens"),
        ({"stop": ["amount"], "enable_thinking": False}, "not whole.*'amount'"),
        ({"max_tokens": 5}, "max_tokens.*thinking"),
    ],
)
async def test_a_cut_object_is_an_error_that_names_the_cause(llm, ask, kwargs, words):
    with pytest.raises(ValueError, match=words):
        await ask(llm, "structured_predict", Ticket, TICKET, llm_kwargs=kwargs, number=1)
    seen: list[Any] = []
    with pytest.raises(ValueError, match=words):
        await ask.stream(
            llm, "stream_structured_predict", Ticket, TICKET, llm_kwargs=kwargs, number=1, seen=seen
        )
    assert not [each for each in seen if isinstance(each, Ticket)]


async def test_nothing_but_reasoning_is_explained(llm, ask, caplog):
    assert (await ask(llm, "complete", "What is the weather in Paris?", max_tokens=3)).text == ""
    assert "max_tokens ended it while the model was still thinking" in caplog.text


async def test_a_strict_template_is_counted_and_asked_for_objects(url_of, ask):
    llm = VLLM(base_url=url_of("strict"), temperature=0, max_tokens=60)
    for role in ("assistant", "system", "user"):
        assert await ask(llm, "count_tokens", [ChatMessage(role=role, content="Hello there")]) > 2
    made = await ask(llm, "structured_predict", Ticket, TICKET, number=1)
    assert made.severity in ("S1", "S2", "S3")


@pytest.mark.parametrize("max_tokens", [None, 300])
async def test_a_packed_prompt_fits_with_the_template(url_of, ask, max_tokens):
    llm = VLLM(base_url=url_of("chat"), temperature=0, max_tokens=max_tokens, enable_thinking=False)
    Settings.tokenizer = llm.tokenizer
    helper = await asyncio.to_thread(PromptHelper.from_llm_metadata, await llm.aload_metadata())
    prompt = PromptTemplate("Context: {context_str}")
    chunks = await asyncio.to_thread(helper.repack, prompt, ["one two three four " * 700], llm=llm)
    assert len(chunks) > 1
    response = await ask(llm, "chat", [ChatMessage(content=prompt.format(context_str=chunks[0]))])
    assert 2048 - 2 * helper.num_output < response.raw["usage"]["prompt_tokens"] < 2048
