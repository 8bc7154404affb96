"""What is no text is not sent as one."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("text", [None, 5, b"ab", ["a"]])
async def test_texts_are_texts(ask: Any, text: Any) -> None:
    kind = type(text).__name__
    embedding = VLLMEmbedding(base_url=URL, model_name="m", query_instruction="query: ")
    for method in ("get_text_embedding", "get_query_embedding"):
        with pytest.raises(TypeError, match=f"{method}: (text|query) must be a text, not {kind}"):
            await ask(embedding, method, text)
    with pytest.raises(TypeError, match=rf"get_text_embedding_batch: texts\[1\] must be a text, not {kind}"):
        await ask(embedding, "get_text_embedding_batch", ["a", text])
    for mode in ("chat", "completion"):
        llm = VLLM(base_url=URL, model="m", context_window=99, mode=mode)
        with pytest.raises(TypeError, match=f"complete: prompt must be a text, not {kind}"):
            await ask(llm, "complete", text)
        with pytest.raises(TypeError, match=f"complete: prompt must be a text, not {kind}"):
            await ask.stream(llm, "stream_complete", text)


@pytest.mark.parametrize("query", [5, b"ab", ["a"]])
async def test_a_query_is_a_text(ask: Any, query: Any) -> None:
    reranker = VLLMRerank(base_url=URL, model="m")
    nodes = [NodeWithScore(node=TextNode(text="a"))]
    with pytest.raises(TypeError, match=f"query_str must be a text, not {type(query).__name__}"):
        await ask(reranker, "postprocess_nodes", nodes, query_str=query)


@pytest.mark.parametrize("texts", ["ab", b"ab", {"a", "b"}, {"a": 1}, None])
async def test_lists_are_lists(ask: Any, texts: Any) -> None:
    embedding = VLLMEmbedding(base_url=URL, model_name="m")
    with pytest.raises(TypeError, match=f"must be a list of texts, not {type(texts).__name__}"):
        await ask(embedding, "get_text_embedding_batch", texts)
