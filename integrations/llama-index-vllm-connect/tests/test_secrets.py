"""Passwords in URLs are neither shown nor saved, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect import ConfigError, Key, VLLMError

URLS = [
    "http://user:SECRET@127.0.0.1:9",
    "http://user:pa/SECRET@127.0.0.1:9",
    "http://user:pa?SECRET@127.0.0.1:9",
    "http://user:pa#SECRET@127.0.0.1:9",
    "http://user:pa@SECRET@127.0.0.1:9",
    "http://127.0.0.1:9?token=SECRET",
]


def make_all(**fields: Any) -> list[Any]:
    return [
        VLLM(model="m", max_retries=0, **fields),
        VLLMEmbedding(model_name="m", max_retries=0, **fields),
        VLLMRerank(model="m", max_retries=0, **fields),
    ]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("how", ["base_url", "keys"])
def test_passwords_in_urls_are_not_shown(url: str, how: str) -> None:
    made: list[Any] = []
    refusal = ""
    try:
        made = make_all(**({"base_url": url} if how == "base_url" else {"keys": [Key(name="a", url=url)]}))
    except ConfigError as error:  # a URL that cannot be one
        refusal = f"{error} {error!r}"
    assert made or refusal
    assert "SECRET" not in refusal
    for each in made:
        shown = [repr(each), str(each), each.to_json(), str(each.to_dict())]
        shown += [
            str(each.model_dump()),
            *(str(tell()) for tell in [getattr(each, "to_payload", None)] if tell),
        ]
        assert "SECRET" not in " ".join(shown)


@pytest.mark.parametrize("url", URLS)
def test_passwords_in_urls_are_not_in_errors(url: str) -> None:
    try:
        llm, embedding, reranker = make_all(base_url=url)
    except ConfigError:
        return
    calls: list[Any] = [
        lambda: llm.complete("x"),
        lambda: embedding.get_text_embedding("x"),
        lambda: reranker.postprocess_nodes([NodeWithScore(node=TextNode(text="x"))], query_str="x"),
    ]
    for call in calls:
        with pytest.raises(VLLMError) as caught:
            call()
        assert "SECRET" not in f"{caught.value} {caught.value!r}"
