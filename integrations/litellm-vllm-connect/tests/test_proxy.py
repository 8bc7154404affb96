"""The proxy with our provider, in front of the simulator; stock `hosted_vllm/` beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import SAY
from tests.proxy import Proxy
from vllm_connect.sim import SimServer


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer(max_model_len=64) as first, SimServer() as second:
        yield first, second


@pytest.fixture(scope="module")
def proxy(servers: tuple[SimServer, SimServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    first, second = servers
    keys = [{"name": "a", "url": first.url, "weight": 0}, {"name": "b", "url": second.url}]
    models: dict[str, dict[str, Any]] = {
        "ours": {"model": "vllm-connect/sim-chat", "api_base": first.url},
        "embed": {"model": "vllm-connect/sim-chat", "api_base": first.url},
        "both": {"model": "vllm-connect/sim-chat", "keys": keys},
        "stock": {"model": "hosted_vllm/sim-chat", "api_base": f"{first.url}/v1"},
    }
    with Proxy(tmp_path_factory.mktemp("proxy"), models) as running:
        yield running


@pytest.fixture(autouse=True)
def server(servers: tuple[SimServer, SimServer]) -> SimServer:
    for each in servers:
        each.reset()
    return servers[0]


def text_of(chunks: list[dict[str, Any]], name: str = "content") -> str:
    return "".join(c["choices"][0]["delta"].get(name) or "" for c in chunks if c.get("choices"))


def test_a_chat(proxy: Proxy, server: SimServer) -> None:
    reply = proxy.post("/v1/chat/completions", model="ours", messages=SAY, top_k=5).json()
    message = reply["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("hello there", "I say it.")
    assert server.requests[-1].json["top_k"] == 5


def test_a_stream(proxy: Proxy) -> None:
    chunks = proxy.chunks(model="ours", messages=SAY, stream_options={"include_usage": True})
    assert text_of(chunks) == "hello there"
    assert text_of(chunks, "reasoning_content") == "I say it."
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_embeddings(proxy: Proxy) -> None:
    reply = proxy.post("/v1/embeddings", model="embed", input=["a", "b"]).json()
    assert len(reply["data"]) == 2


def test_a_text_completion(proxy: Proxy, server: SimServer) -> None:
    reply = proxy.post("/v1/completions", model="ours", prompt="Say: hello there").json()
    assert reply["choices"][0]["text"] == "hello there"
    assert server.requests[-1].path == "/v1/completions"


@pytest.mark.parametrize("status", ["400", "401", "429", "503"])
def test_a_status(proxy: Proxy, server: SimServer, status: str) -> None:
    server.fail_always(status)
    assert proxy.post("/v1/chat/completions", model="ours", messages=SAY).status_code == int(status)
    assert len(server.requests) == 1


def test_too_long_a_prompt(proxy: Proxy) -> None:
    long = [{"role": "user", "content": "word " * 500}]
    reply = proxy.post("/v1/chat/completions", model="ours", messages=long)
    assert reply.status_code == 400
    assert "ContextWindowExceededError" in reply.text


@pytest.mark.parametrize(
    ("fault", "values"), [("done_only", {}), ("error_chunk", {"after": 2, "shape": "flat"})]
)
def test_a_stream_that_breaks_is_an_error_where_the_stock_provider_says_stop(
    proxy: Proxy, server: SimServer, fault: str, values: dict[str, Any]
) -> None:
    server.fail_next(fault, **values)
    (choice,) = proxy.chunks(model="stock", messages=SAY)[-1]["choices"]
    assert choice["finish_reason"] == "stop"
    server.fail_next(fault, **values)
    reply = proxy.post("/v1/chat/completions", model="ours", messages=SAY, stream=True)
    assert reply.status_code >= 500 or '"error"' in reply.text
    assert '"finish_reason":"stop"' not in reply.text


def test_several_servers(proxy: Proxy, servers: tuple[SimServer, SimServer]) -> None:
    servers[1].fail_always("503", retry_after=60)
    for _ in range(3):
        reply = proxy.post("/v1/chat/completions", model="both", messages=SAY)
        assert reply.json()["choices"][0]["message"]["content"] == "hello there"
    assert [len(each.requests) for each in servers] == [3, 1]
