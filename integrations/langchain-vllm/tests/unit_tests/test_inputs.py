"""Inputs that are no texts, and fields that other classes have: refused with what to pass instead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank

URL = "http://127.0.0.1:9"
NO_LISTS = ["ab", b"ab", {"a", "b"}, {"a": 1}, None, 5]


def each_way(model: Any, name: str, *args: Any) -> list[str]:
    """What a method and its async twin say."""
    problems = []
    for call in (
        lambda: getattr(model, name)(*args),
        lambda: asyncio.run(getattr(model, f"a{name}")(*args)),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        problems.append(str(caught.value))
    return problems


@pytest.mark.parametrize("inputs", NO_LISTS)
def test_inputs_are_a_list(inputs: Any) -> None:
    for problem in each_way(VLLMEmbeddings(base_url=URL), "embed_documents", inputs):
        assert problem.startswith("a list of texts is needed, not ")
    for problem in each_way(VLLMRerank(base_url=URL), "rerank", inputs, "query"):
        assert problem.startswith("a list of documents is needed, not ")
    for problem in each_way(VLLMCrossEncoder(base_url=URL), "score", inputs):
        assert problem.startswith("a list of pairs of texts is needed, not ")


@pytest.mark.parametrize("text", [b"ab", None, 5, ["a"]])
def test_texts_are_texts(text: Any) -> None:
    kind = type(text).__name__
    embeddings = VLLMEmbeddings(base_url=URL, query_instruction="query: ")
    for problem in each_way(embeddings, "embed_query", text):
        assert problem == f"embed_query: text must be a text, not {kind}"
    for problem in each_way(embeddings, "embed_documents", ["a", text]):
        assert problem == f"embed_documents: item 1 of a batch must be a text, not {kind}"
    for problem in each_way(VLLMRerank(base_url=URL), "rerank", [Document("a")], text):
        assert problem == f"rerank: query must be a text, not {kind}"


@pytest.mark.parametrize(
    ("kind", "fields", "advice"),
    [
        (ChatVLLM, {"stop": "x"}, r"stop=\['x'\]"),
        (VLLMCompletion, {"stop_sequences": "x"}, r"stop=\['x'\]"),
        (ChatVLLM, {"is_chat_model": True}, "VLLMCompletion"),
        (ChatVLLM, {"enable_thinking": False}, "thinking=True or False"),
        (ChatVLLM, {"generate_kwargs": {}}, "extra_body="),
        (VLLMEmbeddings, {"check_embedding_ctx_length": False}, "truncate_prompt_tokens=-1"),
        (VLLMEmbeddings, {"chunk_size": 5}, "batch_size="),
        (VLLMCompletion, {"max_new_tokens": 5}, "max_tokens="),
    ],
)
def test_fields_of_other_classes(kind: Any, fields: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValidationError, match=advice):
        kind(base_url=URL, **fields)


@pytest.mark.parametrize("method", ["invoke", "stream", "ainvoke", "astream"])
def test_a_model_that_is_no_name(method: str) -> None:
    model: Any = ChatVLLM(base_url=URL)

    async def ask() -> None:
        answer = getattr(model, method)("hi", model=5)
        if method == "astream":
            _ = [chunk async for chunk in answer]
        elif method == "ainvoke":
            await answer
        else:
            list(answer)

    with pytest.raises(TypeError, match="model must be a name, not int"):
        asyncio.run(ask())
