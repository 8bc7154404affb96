"""Clients in other processes, and copies of them."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cloudpickle
import pytest
from tests.both import Both

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

CLASSES: list[Any] = [VLLM, AsyncVLLM]
SAY: Any = [{"role": "user", "content": "Say: hello there"}]


def again(client: Any) -> Any:
    return pickle.loads(pickle.dumps(client))


def settings(client: Any) -> dict[str, Any]:
    names = ("keys", "timeout", "max_retries", "_custom_headers", "_custom_query", "responses_api")
    return {**{name: getattr(client, name) for name in names}, "balance": client._fleet.balance}


@pytest.mark.parametrize("make", CLASSES)
@pytest.mark.parametrize("timeout", [5.0, None, httpx.Timeout(7.0, connect=1.0)])
def test_all_settings_survive(make: Any, timeout: Any) -> None:
    client = make(
        keys=[
            Key(name="a", url="http://gpu1:8000", weight=2, aliases={"b": "c"}),
            Key(name="b", url="env.GPU2"),
        ],
        timeout=timeout,
        max_retries=5,
        default_headers={"X-Team": "red"},
        default_query={"v": "1"},
        responses_api="native",
        balance="sticky",
    )
    made = again(client)
    assert type(made) is make
    assert settings(made) == settings(client)


@pytest.mark.parametrize("make", CLASSES)
def test_references_stay_references(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "sk-secret-of-team")
    pickled = pickle.dumps(make("http://gpu1:8000", api_key="env.TEAM_KEY"))
    assert b"sk-secret-of-team" not in pickled
    assert b"env.TEAM_KEY" in pickled
    monkeypatch.setenv("TEAM_KEY", "sk-another")
    assert pickle.loads(pickled).api_key == "sk-another"


@pytest.mark.parametrize("make", CLASSES)
def test_what_came_from_the_environment_is_referred_to(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", "http://user:pass-secret@gpu1:8000")
    pickled = pickle.dumps(make().copy(timeout=3.0))
    assert b"pass-secret" not in pickled
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu1:8000")
    monkeypatch.setenv("VLLM_API_KEY", "sk-secret")
    pickled = pickle.dumps(make())
    assert b"sk-secret" not in pickled
    assert b"http://gpu1:8000" in pickled
    monkeypatch.setenv("VLLM_API_KEY", "sk-another")
    assert pickle.loads(pickled).api_key == "sk-another"


@pytest.mark.parametrize("make", CLASSES)
def test_a_secret_that_was_given_goes_along(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-given")
    assert b"sk-given" in pickle.dumps(make("http://gpu1:8000", api_key="sk-given"))
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu1:8000")
    client = make()
    client.api_key = "sk-set-later"
    assert again(client).api_key == "sk-set-later"


@pytest.mark.parametrize("make", CLASSES)
def test_an_http_client_is_refused_in_words(make: Any) -> None:
    http_client = httpx.Client() if make is VLLM else httpx.AsyncClient()
    client = make("http://gpu1:8000", http_client=http_client)
    with pytest.raises(TypeError, match="http_client of its own"):
        pickle.dumps(client)
    assert copy.deepcopy(client)._client is http_client


async def test_copies_work_and_share_connections(connect: Any, vllm_sim: SimServer) -> None:
    both: Both = connect(vllm_sim.url)
    first = both.client
    for copied in (copy.copy(first), copy.deepcopy(first)):
        assert copied._client is first._client
        assert settings(copied) == settings(first)
    deep = copy.deepcopy(first)
    deep.keys = [Key(name="other", url="http://127.0.0.1:1")]
    assert first.keys[0].name == "default"


async def test_a_client_that_was_pickled_works(connect: Any, vllm_sim: SimServer) -> None:
    both: Both = connect(vllm_sim.url)
    made = again(both.client)
    reply = made.chat.completions.create(messages=SAY)
    if isinstance(made, AsyncVLLM):
        reply = await reply
    assert reply.choices[0].message.content == "hello there"
    closed = made.close()
    if closed is not None:
        await closed


def ask(client: VLLM) -> str | None:
    """What another process does."""
    with client:
        return client.chat.completions.create(messages=SAY).choices[0].message.content


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_pool_of_processes(vllm_sim: SimServer, method: str) -> None:
    with VLLM(vllm_sim.url) as client, ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert set(pool.map(ask, [client] * 4)) == {"hello there"}


def call(pickled: bytes) -> Any:
    """What a worker of Ray, Dask or joblib does with a function that it was sent."""
    return cloudpickle.loads(pickled)()


def test_a_closure_over_a_client(vllm_sim: SimServer) -> None:
    client = VLLM(vllm_sim.url)
    closure = cloudpickle.dumps(lambda: ask(client))
    client.close()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(call, closure).result() == "hello there"
