"""Answers that are empty or not whole say so."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.llms import ChatMessage

from llama_index.llms.vllm_connect import VLLM

THOUGHT = {"content": None, "reasoning": "Well, let me think."}
LOGGER = "llama_index.llms.vllm_connect.answers"

WARNED = [
    (THOUGHT, "length", "max_tokens"),
    (THOUGHT, "stop", "--reasoning-parser"),
    ({"content": ""}, "length", "max_tokens"),
    ({"content": ""}, "abort", "aborted"),
    ({"content": "It is"}, "abort", "aborted"),
    ({"content": "It is"}, "content_filter", "filter"),
]
SILENT = [({"content": "It is blue."}, "stop"), ({"content": "It is"}, "length"), ({"content": ""}, "stop")]


async def answers(llm: VLLM, ask: Any) -> list[Any]:
    """Every way to ask, each of which may say something."""
    return [
        lambda: ask(llm, "chat", [ChatMessage(content="Hi")]),
        lambda: ask(llm, "complete", "Hi"),
        lambda: ask.stream(llm, "stream_chat", [ChatMessage(content="Hi")]),
        lambda: ask.stream(llm, "stream_complete", "Hi"),
    ]


@pytest.mark.parametrize(("message", "finish_reason", "words"), WARNED)
async def test_an_answer_that_is_missing_is_explained_once(
    ending, ask, caplog, message, finish_reason, words
):
    for answer in await answers(ending(message, finish_reason), ask):
        caplog.clear()
        await answer()
        (record,) = [record for record in caplog.records if record.name == LOGGER]
        assert words in record.getMessage()


@pytest.mark.parametrize(("message", "finish_reason"), SILENT)
async def test_what_can_be_seen_is_not_told(ending, ask, caplog, message, finish_reason):
    for answer in await answers(ending(message, finish_reason), ask):
        await answer()
    assert not [record for record in caplog.records if record.name == LOGGER]


@pytest.mark.parametrize(
    ("finish_reason", "words"), [("length", "max_tokens"), ("stop", "--reasoning-parser")]
)
async def test_an_empty_response_of_a_query_engine_is_explained(ending, ask, caplog, finish_reason, words):
    index = SummaryIndex.from_documents([Document(text="x")])
    engine = index.as_query_engine(llm=ending(THOUGHT, finish_reason))
    await ask(engine, "query", "capital?")
    assert words in caplog.text
