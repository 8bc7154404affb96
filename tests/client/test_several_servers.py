"""Several servers behind one client: routing, failover, lists of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES

from vllm_connect import Key, MissingURLError, NoKeyError
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer(models=["llama", "both"]) as first, SimServer(models=["qwen", "both"]) as second:
        yield first, second


@pytest.fixture
def servers(_servers: tuple[SimServer, SimServer]) -> tuple[SimServer, SimServer]:
    """Two servers; each has a model of its own, and both have one more."""
    for server in _servers:
        server.reset()
    return _servers


async def test_the_model_decides_the_server(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, second = servers
    client = make_client(
        keys=[
            Key(name="a", url=first.url, models=["llama"]),
            Key(name="b", url=second.url, model_name="qwen"),
        ]
    )
    for model in ("llama", "vllm/llama", "LLAMA", "qwen"):
        params: dict[str, Any] = {} if model != "LLAMA" else {"extra_body": {"model": "llama"}}
        await client(CHAT, model=model, messages=MESSAGES, **params)
    assert [request.json["model"] for request in first.requests] == ["llama", "llama", "llama"]
    assert [request.json["model"] for request in second.requests] == ["qwen"]
    with pytest.raises(NoKeyError, match=r"(?s)'a'.*'b'"):
        await client(CHAT, model="mistral", messages=MESSAGES)
    assert len(first.requests) + len(second.requests) == 4


async def test_an_alias_is_the_servers_own_name(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, second = servers
    client = make_client(
        keys=[
            Key(name="a", url=first.url, aliases={"chat": "llama"}, weight=1),
            Key(name="b", url=second.url, aliases={"chat": "qwen"}, weight=1),
        ]
    )
    first.fail_always("503")
    for _ in range(5):
        await client(CHAT, model="chat", messages=MESSAGES)
    assert {request.json["model"] for request in first.requests} <= {"llama"}
    assert [request.json["model"] for request in second.requests] == ["qwen"] * 5


async def test_a_retry_goes_to_the_other_server(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, second = servers
    first.fail_always("503")
    client = make_client(keys=[Key(name="a", url=first.url), Key(name="b", url=second.url)])
    for _ in range(10):
        assert (await client(CHAT, model="both", messages=MESSAGES)).choices
    assert len(second.requests) == 10
    assert 0 < len(first.requests) < 10


async def test_a_dead_server_is_passed_over(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, _ = servers
    client = make_client(keys=[Key(name="dead", url="http://127.0.0.1:9"), Key(name="a", url=first.url)])
    for _ in range(6):
        await client.stream(CHAT, model="both", messages=MESSAGES)
    assert len(first.requests) == 6


async def test_the_error_names_the_server_that_failed_last(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, second = servers
    first.fail_always("503")
    second.fail_always("503")
    client = make_client(keys=[Key(name="a", url=first.url), Key(name="b", url=second.url)], max_retries=1)
    with pytest.raises(openai.InternalServerError) as caught:
        await client(CHAT, model="both", messages=MESSAGES)
    assert {len(first.requests), len(second.requests)} == {2}  # a retry is another round over both
    assert caught.value.key_name in ("a", "b")
    assert caught.value.server_url == {"a": first.url, "b": second.url}[caught.value.key_name]


async def test_weights(make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]) -> None:
    first, second = servers
    client = make_client(
        keys=[Key(name="a", url=first.url, weight=9), Key(name="b", url=second.url, weight=1)]
    )
    for _ in range(60):
        await client("tokenize", model="both", prompt="hello")
    assert len(first.requests) > len(second.requests)


async def test_a_key_without_a_url_fails_before_any_request(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, _ = servers
    config = {
        "providers": {
            "vllm": {
                "keys": [{"name": "bare", "value": "", "models": ["*"]}],
                "network_config": {"base_url": first.url},
            }
        }
    }
    client = make_client(from_config=config)
    with pytest.raises(
        MissingURLError, match=r"no base URL configured: set vllm_key_config\.url on key 'bare'"
    ):
        await client(CHAT, model="llama", messages=MESSAGES)
    assert first.requests == []


async def test_references_are_read_when_used(
    make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimServer(api_key="secret") as server:
        client = make_client(keys=[Key(name="a", url="env.SOME_URL", api_key="env.SOME_KEY")])
        with pytest.raises(MissingURLError, match="SOME_URL"):
            await client(CHAT, messages=MESSAGES)
        monkeypatch.setenv("SOME_URL", server.url)
        monkeypatch.setenv("SOME_KEY", "wrong")
        with pytest.raises(openai.AuthenticationError) as caught:
            await client(CHAT, messages=MESSAGES)
        assert "wrong" not in repr(caught.value)
        monkeypatch.setenv("SOME_KEY", "secret")
        assert (await client(CHAT, messages=MESSAGES)).choices
        assert (await client.stream(CHAT, messages=MESSAGES))[-1].choices[0].finish_reason == "stop"


async def test_models_of_all_keys(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    first, second = servers
    client = make_client(
        keys=[
            Key(name="a", url=first.url),
            Key(name="b", url=second.url, blacklisted_models=["qwen"]),
            Key(name="dead", url="http://127.0.0.1:9"),
        ],
        max_retries=0,
    )
    page = await client("models.list")
    assert {model.id: model.key_names for model in page.data} == {"both": ["a", "b"], "llama": ["a"]}
    assert Counter(status.status for status in page.key_statuses) == {"success": 2, "list_models_failed": 1}
    assert len(first.requests) == len(second.requests) == 1


async def test_models_of_no_key(make_client: Callable[..., Any]) -> None:
    with pytest.raises(openai.APIConnectionError):
        await make_client("http://127.0.0.1:9", max_retries=0)("models.list")
