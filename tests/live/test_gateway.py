"""Every operation through the gateway on real servers, with the stock SDK, Anthropic's, and plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.media import tone
from tests.serve.conftest import Running

from vllm_connect.serve.config.file import ConfigFile
from vllm_connect.serve.http.settings import Settings

MESSAGES: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def gateway(
    chat_url: str, embed_url: str, rerank_url: str, whisper_url: str, tmp_path: Path
) -> Iterator[Running]:
    urls = {"chat": chat_url, "embed": embed_url, "rerank": rerank_url, "whisper": whisper_url}
    keys = [
        {
            "name": name,
            "value": "sk-of-the-gateway",
            "models": [f"tiny-{name}"],
            "vllm_key_config": {"url": url},
        }
        for name, url in urls.items()
    ]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"providers": {"vllm": {"keys": keys}}}))
    running = Running(ConfigFile(path), Settings(port=0, grace=0.2))
    yield running
    running.stop()


@pytest.fixture
def stock(gateway: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-of-the-client", max_retries=0, timeout=60)


def test_models(gateway: Running) -> None:
    reply = gateway.http.get("/v1/models").json()
    assert {each["status"] for each in reply["key_statuses"]} == {"success"}
    assert {"tiny-chat"} <= {model["id"] for model in reply["data"]}


def test_chat(stock: openai.OpenAI) -> None:
    options: Any = {"model": "vllm/tiny-chat", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
    whole = stock.chat.completions.create(**options)
    chunks = list(
        stock.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == (whole.choices[0].message.content or "")
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_completions_and_responses(stock: openai.OpenAI) -> None:
    assert stock.completions.create(model="tiny-chat", prompt="Hello", max_tokens=5).choices[0].text
    response = stock.responses.create(model="tiny-chat", input="Hello", max_output_tokens=8)
    assert response.output
    events = list(stock.responses.create(model="tiny-chat", input="Hello", max_output_tokens=8, stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")


def test_messages(gateway: Running) -> None:
    anthropic = pytest.importorskip("anthropic", reason="Anthropic's SDK is in the newest environment alone")
    with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as client:
        message = client.messages.create(model="tiny-chat", max_tokens=8, messages=MESSAGES)
        assert message.usage.output_tokens > 0
        with client.messages.stream(model="tiny-chat", max_tokens=8, messages=MESSAGES) as stream:
            for _ in stream:
                pass
            assert stream.get_final_message().usage.output_tokens > 0
        assert client.messages.count_tokens(model="tiny-chat", messages=MESSAGES).input_tokens > 0


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(stock: openai.OpenAI, encoding: Any) -> None:
    reply = stock.embeddings.create(model="tiny-embed", input=["a", "b"], encoding_format=encoding)
    assert [item.index for item in reply.data] == [0, 1]


def test_ranking(gateway: Running) -> None:
    query = {"model": "vllm/tiny-rerank", "query": "a", "documents": [{"text": "b"}, {"text": "a"}]}
    ranked = gateway.post("/v1/rerank", {**query, "params": {"return_documents": True}}).json()["results"]
    assert {result["document"]["text"] for result in ranked} == {"a", "b"}
    scored = gateway.post("/v1/score", {"model": "tiny-rerank", "text_1": "a", "text_2": ["a", "b"]}).json()
    assert len(scored["data"]) == 2


def test_tokens(gateway: Running) -> None:
    tokens = gateway.post("/v1/tokenize", {"model": "tiny-chat", "prompt": "Hello"}).json()["tokens"]
    text = gateway.post("/v1/detokenize", {"model": "tiny-chat", "tokens": tokens}).json()["prompt"]
    assert "Hello" in text


def test_speech(stock: openai.OpenAI) -> None:
    file = ("a.wav", tone(440.0))
    assert isinstance(stock.audio.transcriptions.create(model="tiny-whisper", file=file).text, str)
    events = list(stock.audio.transcriptions.create(model="tiny-whisper", file=file, stream=True))
    assert events[-1].type == "transcript.text.done"


def test_errors(gateway: Running, stock: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        stock.chat.completions.create(model="nobody-has-this", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        stock.chat.completions.create(model="tiny-chat", messages=MESSAGES, temperature=-3)
    reply = gateway.post("/v1/completions", {"model": "tiny-chat", "prompt": "a " * 100_000})
    assert reply.json()["error"]["code"] == "context_length_exceeded"


def test_a_client_that_leaves(gateway: Running, chat_url: str) -> None:
    body = {"model": "tiny-chat", "prompt": "a", "stream": True, "max_tokens": 400, "ignore_eos": True}
    with gateway.http.stream("POST", "/v1/completions", json=body) as response:
        next(response.iter_lines())
    assert (
        gateway.post("/v1/completions", {"model": "tiny-chat", "prompt": "a", "max_tokens": 2}).status_code
        == 200
    )
