"""How a client waits: backoff, Retry-After of one server among others, idle streams, Bifrost's settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai._base_client import BaseClient
from tests.client.requests import MESSAGES

from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key, Policy
from vllm_connect._keys.health import Failure
from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"
COMPUTED = BaseClient._calculate_retry_timeout


class Options:
    """As much of the SDK's options as counts here."""

    attempt = None

    def get_max_retries(self, most: int) -> int:
        return most


@pytest.fixture(params=[VLLM, AsyncVLLM])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(BaseClient, "_calculate_retry_timeout", COMPUTED)  # which this folder shortens
    kind: Callable[..., Any] = request.param
    return kind


def pauses(client: Any, headers: dict[str, str] | None = None) -> list[float]:
    """The seconds before each repetition."""
    asked = None if headers is None else httpx.Headers(headers)
    most = client.max_retries
    return [client._calculate_retry_timeout(most - taken, Options(), asked) for taken in range(most)]


def test_a_backoff_of_ones_own(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(retry_backoff_initial=2, retry_backoff_max=5)
    client = make("http://a", max_retries=4, policy=policy)
    for pause, most in zip(pauses(client), (2, 4, 5, 5), strict=True):
        assert 0.75 * most <= pause <= most
    assert pauses(client, {"retry-after": "7"}) == [7] * 4
    assert pauses(client.with_options(timeout=3), {"retry-after": "7"}) == [7] * 4
    for pause in pauses(client.with_options(max_retries=1)):
        assert 1.5 <= pause <= 2


def test_the_usual_backoff_is_the_sdks(make: Callable[..., Any]) -> None:
    for pause, most in zip(pauses(make("http://a", max_retries=6)), (0.5, 1, 2, 4, 8, 8), strict=True):
        assert 0.75 * most <= pause <= most


def test_one_servers_retry_after_is_not_the_others(make: Callable[..., Any]) -> None:
    client = make(keys=[Key(name="a", url="http://a"), Key(name="b", url="http://b")])
    for name, failure in (("a", Failure("429", retry_after=30)), ("b", Failure("503"))):
        placement = client._fleet.place(key_name=name)
        placement.admission.failed(failure)
        placement.admission.end()
    options = Options()
    options.attempt = type("Attempt", (), {"call": type("Call", (), {"model": "m"})})  # type: ignore[assignment]
    (pause,) = [client._calculate_retry_timeout(2, options, httpx.Headers({"retry-after": "30"}))]
    assert 0.9 <= pause <= 1.2  # until b may be asked again


async def test_a_backoff_is_waited_for(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("503")
    client = make_client(
        vllm_sim.url, max_retries=3, policy=Policy(retry_backoff_initial=0.1, retry_backoff_max=0.2)
    )
    began = time.monotonic()
    with pytest.raises(openai.InternalServerError):
        await client(CHAT, messages=MESSAGES)
    assert time.monotonic() - began >= 0.75 * 0.5
    assert len(vllm_sim.requests) == 4


def own_transport(kind: str) -> None:
    return None


def httpx_transport(kind: str) -> Any:
    return openai.DefaultHttpxClient() if kind == "sync" else openai.DefaultAsyncHttpxClient()


@pytest.mark.parametrize("transport", [own_transport, httpx_transport])
@pytest.mark.parametrize("where", ["first", "middle"])
async def test_an_idle_stream_ends(
    make_client: Callable[..., Any], kind: str, vllm_sim: SimServer, transport: Any, where: str
) -> None:
    vllm_sim.fail_next("stall", where=where, after=2, seconds=5)
    policy = Policy(stream_idle_timeout=0.4)
    client = make_client(vllm_sim.url, policy=policy, http_client=transport(kind), timeout=30)
    began = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        await client.stream(CHAT, messages=MESSAGES)
    assert 0.3 < time.monotonic() - began < 4.5
    assert len(client.seen) == (2 if where == "middle" else 0)
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize("transport", [own_transport, httpx_transport])
async def test_what_is_no_stream_has_its_timeout(
    make_client: Callable[..., Any], kind: str, vllm_sim: SimServer, transport: Any
) -> None:
    policy = Policy(stream_idle_timeout=0.2)
    client = make_client(vllm_sim.url, policy=policy, http_client=transport(kind), timeout=30)
    vllm_sim.fail_next("stall", seconds=0.6)
    assert (await client(CHAT, messages=MESSAGES)).choices
    vllm_sim.fail_next("stall", seconds=0.6)  # before the headers
    assert await client.stream(CHAT, messages=MESSAGES)
    vllm_sim.fail_next("stall", where="middle", seconds=0.6)
    assert await client.stream(CHAT, messages=MESSAGES, timeout=20)  # of this very call


async def test_bifrosts_settings_are_obeyed(
    make_client: Callable[..., Any], vllm_sim: SimServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = {
        "keys": [{"name": "a", "vllm_key_config": {"url": vllm_sim.url}}],
        "network_config": {
            "max_retries": 3,
            "retry_backoff_initial": "100ms",
            "retry_backoff_max": "200ms",
            "stream_idle_timeout_in_seconds": 0.4,
        },
        "key_selection": {"strategy": "round_robin", "sticky_limit": 3, "cooldown_seconds": 7},
    }
    client = make_client(from_config=config)
    assert caplog.text == ""
    assert client.client._fleet.balance == "round_robin"
    vllm_sim.fail_next("503", times=2)
    began = time.monotonic()
    assert (await client(CHAT, messages=MESSAGES)).choices
    assert time.monotonic() - began >= 0.75 * 0.3
    vllm_sim.fail_next("stall", where="middle", after=2, seconds=5)
    with pytest.raises(openai.APITimeoutError):
        await client.stream(CHAT, messages=MESSAGES)
    (status,) = client.client.servers()
    assert status.state == "healthy"
    copy = client.client.with_options(balance="sticky")
    assert (copy._fleet.policy.sticky_limit, copy._fleet.policy.cooldown) == (3, 7)
    overridden = type(client.client).from_config(config, balance="sticky", policy=Policy(cooldown=2))
    assert (overridden._fleet.balance, overridden._fleet.policy) == ("sticky", Policy(cooldown=2))


async def test_servers_take_turns(make_client: Callable[..., Any]) -> None:
    with SimServer() as first, SimServer() as second:
        keys = [Key(name="a", url=first.url), Key(name="b", url=second.url)]
        client = make_client(keys=keys, balance="round_robin", policy=Policy(sticky_limit=2))
        counts = []
        for _ in range(6):
            await client(CHAT, messages=MESSAGES)
            counts.append((len(first.requests), len(second.requests)))
    assert counts == [(1, 0), (2, 0), (2, 1), (2, 2), (3, 2), (4, 2)]


@pytest.mark.parametrize("balance", ["round", "", None, 3])
def test_an_unknown_balance_is_refused(make: Callable[..., Any], balance: object) -> None:
    with pytest.raises(ConfigError, match="balance is 'weighted' or 'least_busy'"):
        make("http://a", balance=balance)
    with pytest.raises(ConfigError, match="balance is 'weighted'"):
        make("http://a").with_options(balance="round")


async def test_a_repetition_says_how_many_came_before(make_client: Callable[..., Any]) -> None:
    with SimServer() as first, SimServer() as second:
        first.fail_always("503")
        second.fail_next("503", times=1)
        keys = [Key(name="a", url=first.url, weight=1e9), Key(name="b", url=second.url)]
        client = make_client(keys=keys, max_retries=2)
        await client(CHAT, messages=MESSAGES)
        await client(CHAT, messages=MESSAGES)
        counts = [
            sorted(int(request.headers["x-stainless-retry-count"]) for request in server.requests)
            for server in (first, second)
        ]
    assert sorted(counts[0] + counts[1])[:3] == [0, 0, 1]
    assert 0 in counts[1]
    assert max(counts[0] + counts[1]) in (2, 3)
