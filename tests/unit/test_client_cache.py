"""Clients kept per settings."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key
from vllm_connect.adapters import ClientCache, clients, config_arguments, missing_server, read_keys
from vllm_connect.sim import SimServer

SETTINGS: list[dict[str, Any]] = [
    {"base_url": "http://a"},
    {"base_url": "http://a", "api_key": "secret"},
    {"base_url": "http://a", "timeout": 5.0},
    {"base_url": "http://a", "default_headers": {"X": "1"}},
    {"keys": [Key(name="a", url="http://a")]},
    {"config": {"keys": [{"name": "a", "vllm_key_config": {"url": "http://a"}}]}},
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_shared", clients._Shared())


@pytest.mark.parametrize("kind", [VLLM, AsyncVLLM])
@pytest.mark.parametrize("settings", SETTINGS)
def test_models_of_the_same_settings_share_a_client(kind: Any, settings: dict[str, Any]) -> None:
    client = ClientCache().get(kind, settings)
    assert isinstance(client, kind)
    assert ClientCache().get(kind, copy.deepcopy(settings)) is client  # whose model is gone by now


@pytest.mark.parametrize("kind", [VLLM, AsyncVLLM])
def test_models_of_other_settings_share_none(kind: Any) -> None:
    assert len({id(ClientCache().get(kind, settings)) for settings in SETTINGS}) == len(SETTINGS)


ALIKE: list[dict[str, Any]] = [
    {"timeout": 5.0},
    {"default_headers": {"X-Tenant": "a"}},
    {"api_key": "secret"},
    {"max_retries": 0},
]


@pytest.mark.parametrize("kind", [VLLM, AsyncVLLM])
def test_models_of_one_server_share_connections(kind: Any) -> None:
    with SimServer() as sim:
        made = [ClientCache().get(kind, {"base_url": sim.url, **settings}) for settings in ALIKE * 5]

        async def ask_each() -> None:
            for client in made:
                listed = client.models.list()
                assert (await listed if kind is AsyncVLLM else listed).data

        asyncio.run(ask_each())
        assert len({request.client for request in sim.requests}) == 1
        assert len({id(client._client) for client in made}) == len(ALIKE)  # each has its own cookies


def test_models_of_other_servers_share_no_connections() -> None:
    settings = [{"base_url": "http://a"}, {"base_url": "http://b"}, {"keys": [Key(name="a", url="http://c")]}]
    parts: list[Any] = [ClientCache().get(VLLM, each)._client._transport for each in settings]
    assert len({id(part._shared) for part in parts}) == 3


def test_the_last_of_a_server_closes_the_connections() -> None:
    first, second = ClientCache(), ClientCache()
    closed = []
    clients = [
        first.get(VLLM, {"base_url": "http://a"}),
        second.get(VLLM, {"base_url": "http://a", "timeout": 5}),
    ]
    transport: Any = clients[0]._client._transport
    transport._shared.transport.close = lambda: closed.append(True)
    first.close()
    assert clients[0].is_closed()
    assert not closed
    second.close()
    assert closed == [True]
    anew: Any = first.get(VLLM, {"base_url": "http://a"})._client._transport
    assert anew._shared is not transport._shared


def test_a_change_is_another_client_in_place_too() -> None:
    cache, settings = ClientCache(), {"base_url": "http://a", "default_headers": {"X": "1"}}
    before = cache.get(VLLM, settings)
    assert cache.get(VLLM, settings) is before
    settings["default_headers"]["X"] = "2"  # type: ignore[index]  # it is a dict
    assert cache.get(VLLM, settings) is not before


def test_the_environment_is_part_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", "http://a")
    first = ClientCache().get(VLLM, {})
    monkeypatch.setenv("VLLM_BASE_URL", "http://b")
    second = ClientCache().get(VLLM, {})
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    assert len({first, second, ClientCache().get(VLLM, {})}) == 3
    assert second.keys[0].url == "http://b"


def test_a_file_is_read_by_every_model(tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def client_of(url: str) -> VLLM:
        path.write_text(json.dumps([{"name": "a", "vllm_key_config": {"url": url}}]))
        return ClientCache().get(VLLM, {"config": path})

    first = client_of("http://a")
    assert client_of("http://a") is first
    assert client_of("http://b").keys[0].url == "http://b"


def test_settings_win_over_the_configuration() -> None:
    config = {"keys": [{"name": "a", "vllm_key_config": {"url": "http://a"}}]}
    assert ClientCache().get(VLLM, {"config": config, "max_retries": 7}).max_retries == 7


def test_threads_that_begin_together_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    make = clients._make

    def make_slowly(*arguments: Any) -> Any:
        time.sleep(0.02)
        return make(*arguments)

    monkeypatch.setattr(clients, "_make", make_slowly)
    begin, shared = threading.Barrier(8), ClientCache()

    def first_use(number: int) -> VLLM:
        begin.wait()
        cache = shared if number % 2 else ClientCache()
        return cache.get(VLLM, {"base_url": "http://a"})

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first_use, range(8)))) == 1


def test_the_last_one_closes() -> None:
    first, second = ClientCache(), ClientCache()
    client = first.get(VLLM, {"base_url": "http://a"})
    assert second.get(VLLM, {"base_url": "http://a"}) is client
    first.close()
    assert not client.is_closed()
    second.close()
    assert client.is_closed()
    assert not first.get(VLLM, {"base_url": "http://a"}).is_closed()


def test_models_that_are_gone_keep_nothing_open() -> None:
    cache = ClientCache()
    client = ClientCache().get(AsyncVLLM, {"base_url": "http://a"})
    assert cache.get(AsyncVLLM, {"base_url": "http://a"}) is client
    asyncio.run(cache.aclose())
    assert client.is_closed()


def test_a_client_that_somebody_closed_is_made_anew() -> None:
    cache = ClientCache()
    cache.get(VLLM, {"base_url": "http://a"}).close()
    assert not cache.get(VLLM, {"base_url": "http://a"}).is_closed()


def test_an_http_client_is_its_givers() -> None:
    http_client = openai.DefaultHttpxClient()
    cache = ClientCache()
    client = cache.get(VLLM, {"base_url": "http://a"}, http_client)
    assert cache.get(VLLM, {"base_url": "http://a"}, http_client) is client
    assert ClientCache().get(VLLM, {"base_url": "http://a"}, http_client) is not client
    assert ClientCache().get(VLLM, {"base_url": "http://a"}) is not client
    cache.close()
    assert not http_client.is_closed
    http_client.close()


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "KEPT", 2)
    made = [ClientCache().get(VLLM, {"base_url": f"http://{host}"}) for host in "abcb"]
    assert made[1] is made[3]
    assert ClientCache().get(VLLM, {"base_url": "http://a"}) is not made[0]


def test_a_cache_is_neither_copied_nor_pickled() -> None:
    cache = ClientCache()
    cache.get(VLLM, {"base_url": "http://a"})
    for other in (copy.copy(cache), copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert other is not cache
        assert other == cache
        assert not other._holds


def test_settings_that_cannot_work() -> None:
    with pytest.raises(ConfigError, match="no vLLM server"):
        ClientCache().get(VLLM, {})


def test_a_configuration_as_arguments() -> None:
    key = {"name": "a", "vllm_key_config": {"url": "https://a"}}
    network = {"max_retries": 5, "insecure_skip_verify": True}
    arguments, async_arguments = config_arguments({"keys": [key], "network_config": network})
    http_client, async_http_client = arguments.pop("http_client"), async_arguments.pop("http_client")
    assert arguments == async_arguments
    assert (arguments["max_retries"], [each.name for each in arguments["keys"]]) == (5, ["a"])
    VLLM(**arguments, http_client=http_client).close()
    asyncio.run(AsyncVLLM(**async_arguments, http_client=async_http_client).close())


def test_keys_are_read_from_mappings() -> None:
    key = Key(name="a", url="http://a")
    assert read_keys([key, {"name": "b", "url": "http://b"}]) == [key, Key(name="b", url="http://b")]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ([], "no keys"),
        ("http://a", "is a list of keys"),
        (Key(name="a"), "is a list of keys"),
        ({"name": "a"}, "is a list of keys"),
        (5, "is a list of keys"),
        ([5], "list of vllm_connect.Key"),
        ([{"name": "a"}, {"name": "a"}], "two keys"),
    ],
)
def test_what_is_no_list_of_keys(keys: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_keys(keys)


def test_what_to_pass_is_said() -> None:
    assert "ChatVLLM(base_url='http://localhost:8000')" in str(
        missing_server("ChatVLLM(base_url='http://localhost:8000')")
    )


@pytest.mark.parametrize("kind", [VLLM, AsyncVLLM])
def test_a_file_that_is_followed_is_known_by_its_path(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def write(url: str) -> None:
        keys = [{"name": "a", "vllm_key_config": {"url": url}}]
        path.write_text(json.dumps({"keys": keys, "network_config": {"max_retries": 1}}))

    write("http://a")
    settings = {"config": path, "watch": True}
    client = ClientCache().get(kind, settings)
    assert client.max_retries == 1
    write("http://b")
    assert ClientCache().get(kind, {"config": str(path), "watch": True}) is client
    assert ClientCache().get(kind, {"config": path}) is not client
    assert ClientCache().get(kind, {**settings, "balance": "sticky"}) is not client
    with pytest.raises(ConfigError, match="needs the path"):
        ClientCache().get(kind, {"watch": True})
    with pytest.raises(ConfigError, match="either watch=True"):
        ClientCache().get(kind, {**settings, "keys": [Key(name="a", url="http://a")]})
