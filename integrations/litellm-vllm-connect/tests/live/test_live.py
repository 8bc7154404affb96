"""LiteLLM's own functions, a Router, and a proxy process, in front of real vLLM servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest

import litellm_vllm_connect
from tests.conftest import SAY, Asker
from tests.proxy import Proxy
from vllm_connect import VLLM

UrlOf = Callable[[str], str]


def served(url: str) -> str:
    with VLLM(url) as client:
        return client.models.list().data[0].id


def at(url_of: UrlOf, name: str) -> dict[str, Any]:
    url = url_of(name)
    return {"model": f"vllm-connect/{served(url)}", "api_base": url}


async def test_a_chat(ask: Asker, url_of: UrlOf) -> None:
    reply = await ask("completion", **at(url_of, "chat"), messages=SAY, max_tokens=8, top_k=1)
    assert 1 <= reply.usage.completion_tokens <= 8
    assert reply._hidden_params["response_cost"] == 0


async def test_a_stream_says_what_the_whole_answer_says(ask: Asker, url_of: UrlOf) -> None:
    asked = {**at(url_of, "chat"), "messages": SAY, "max_tokens": 8, "temperature": 0}
    whole = (await ask("completion", **asked)).choices[0]
    chunks = await ask.stream(**asked, stream_options={"include_usage": True})
    built = litellm.stream_chunk_builder(chunks, messages=SAY).choices[0]
    assert built.message.content == (whole.message.content or "")
    assert built.message.get("reasoning_content") == whole.message.get("reasoning_content")
    assert built.finish_reason == whole.finish_reason
    assert chunks[-1].usage.completion_tokens > 0


async def test_a_text_completion(ask: Asker, url_of: UrlOf) -> None:
    reply = await ask("text_completion", **at(url_of, "chat"), prompt=["Hello", "Good"], max_tokens=4)
    assert len(reply.choices) == 2


async def test_embeddings(ask: Asker, url_of: UrlOf) -> None:
    reply = await ask("embedding", **at(url_of, "embed"), input=["a", "b"])
    assert len(reply.data[0]["embedding"]) == len(reply.data[1]["embedding"]) > 1


async def test_too_long_a_prompt(ask: Asker, url_of: UrlOf) -> None:
    long = [{"role": "user", "content": "word " * 20000}]
    with pytest.raises(litellm.ContextWindowExceededError):
        await ask("completion", **at(url_of, "chat"), messages=long)


async def test_an_unknown_model(ask: Asker, url_of: UrlOf) -> None:
    with pytest.raises(litellm.NotFoundError):
        await ask("completion", model="vllm-connect/nobody", api_base=url_of("chat"), messages=SAY)


async def test_rerank_and_tokenize(ask: Asker, url_of: UrlOf) -> None:
    own: dict[str, Any] = {"owner": litellm_vllm_connect}
    ranked = await ask("rerank", **own, **at(url_of, "rerank"), query="a", documents=["a", "b"], top_n=1)
    assert len(ranked.results) == 1
    assert (await ask("tokenize", **own, **at(url_of, "chat"), prompt="Hello")).count > 0


@pytest.fixture(scope="module")
def proxy(url_of: UrlOf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    models = {"chat": at(url_of, "chat"), "embed": at(url_of, "embed")}
    with Proxy(tmp_path_factory.mktemp("proxy"), models) as running:
        yield running


def test_the_proxy(proxy: Proxy) -> None:
    asked = {"model": "chat", "messages": SAY, "max_tokens": 8, "temperature": 0}
    whole = proxy.post("/v1/chat/completions", **asked).json()["choices"][0]
    chunks = proxy.chunks(**asked, stream_options={"include_usage": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == (whole["message"]["content"] or "")
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert len(proxy.post("/v1/embeddings", model="embed", input=["a", "b"]).json()["data"]) == 2
    long = [{"role": "user", "content": "word " * 20000}]
    assert proxy.post("/v1/chat/completions", model="chat", messages=long).status_code == 400
