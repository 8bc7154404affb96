"""Failover: another server is asked at once when one cannot answer, and no server is asked in vain twice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES, PLAIN

from vllm_connect import IncompleteStreamError, Key, Policy
from vllm_connect.sim import Fault, SimServer

CHAT = "chat.completions.create"
DEAD_ENGINE = "status; code=500; message=EngineCore encountered an issue. See stack trace (above)."
UNREACHED = "status; code=500; message=Request failed: error sending request for url (http://gpu1:8000/v1/x)"
UNKNOWN_MODEL = "status; code=404; message=The model `both` does not exist."

FAULTS = {
    "503": "503",
    "502 in HTML": "html",
    "429": "429",
    "504": "504",
    "503 inside a 200": "error_200; code=503",
    "a dead engine": DEAD_ENGINE,
    "a router without servers": UNREACHED,
    "refused credentials": "401",
    "forbidden": "403",
    "an unknown model": UNKNOWN_MODEL,
    "closed without a byte": "drop",
    "reset without a byte": "drop; how=rst",
}


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer() as first, SimServer() as second:
        yield first, second


@pytest.fixture
def servers(_servers: tuple[SimServer, SimServer]) -> tuple[SimServer, SimServer]:
    """One that fails in the tests, and one that is well."""
    for server in _servers:
        server.reset()
    return _servers


def fail(server: SimServer, text: str, times: int | None = None) -> None:
    """Let a fault happen to the next requests, or to all."""
    name, *pairs = text.split("; ")
    values = dict(pair.split("=", 1) for pair in pairs)
    path = "*" if name.isdigit() or name in ("status", "drop") else None
    fault = Fault(name, path=path, **values)
    if times is None:
        server.fail_always(fault)
    else:
        server.fail_next(fault, times=times)


def two(bad: str, good: str) -> list[Key]:
    return [Key(name="bad", url=bad, weight=1e9), Key(name="good", url=good, weight=1)]


@pytest.fixture
def refusing() -> Iterator[str]:
    with socket.socket() as listener:  # bound, not listening: whoever connects is refused
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_server_that_refuses_connections_is_asked_once(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], refusing: str, waited: list[float]
) -> None:
    client = make_client(keys=two(refusing, servers[1].url))
    for _ in range(20):
        assert (await client(CHAT, messages=MESSAGES)).choices
    assert len(servers[1].requests) == 20
    assert waited == []


@pytest.fixture
def swallowing() -> Iterator[str]:
    """A server whose backlog is full: no connection to it comes about."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_server_that_swallows_connects_is_waited_for_once_a_rest(
    make_client: Callable[..., Any],
    servers: tuple[SimServer, SimServer],
    swallowing: str,
    waited: list[float],
) -> None:
    timeout = openai.Timeout(30, connect=0.3)
    client = make_client(keys=two(swallowing, servers[1].url), timeout=timeout, policy=Policy(cooldown=60))
    began = time.monotonic()
    for _ in range(10):
        assert (await client(CHAT, messages=MESSAGES)).choices
    assert len(servers[1].requests) == 10
    assert time.monotonic() - began >= 0.3
    (bad, _) = client.client.servers()
    assert (bad.state, bad.reason) == ("resting", "connect: nothing happened for 0.3 s")
    assert waited == []


async def test_two_of_three_are_dead(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], refusing: str, waited: list[float]
) -> None:
    bad, good = servers
    fail(bad, "503")
    client = make_client(keys=[*two(bad.url, good.url), Key(name="refusing", url=refusing, weight=1e9)])
    for _ in range(30):
        assert (await client(CHAT, messages=MESSAGES)).choices
    assert len(good.requests) == 30
    assert len(bad.requests) <= 2
    assert waited == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_the_other_server_answers_at_once(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], waited: list[float], fault: str
) -> None:
    bad, good = servers
    fail(bad, fault)
    client = make_client(keys=two(bad.url, good.url), max_retries=0)
    for _ in range(10):
        assert (await client(CHAT, model="sim-chat", messages=MESSAGES)).choices
    assert len(good.requests) == 10
    # A connection that was kept, and dies, is replaced: that is the second request.
    assert 1 <= len(bad.requests) <= 2
    assert waited == []


@pytest.mark.parametrize(
    "fault", ["503", "error_chunk; code=503", DEAD_ENGINE, "drop", "cut; where=event; after=0"]
)
async def test_a_stream_of_which_nothing_arrived_begins_anew(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], waited: list[float], fault: str
) -> None:
    bad, good = servers
    fail(bad, fault)
    client = make_client(keys=two(bad.url, good.url), max_retries=0)
    chunks = await client.stream(CHAT, messages=MESSAGES)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Grüße 👋"
    assert (len(bad.requests), len(good.requests)) == (1, 1)
    assert waited == []


async def test_a_stream_of_which_something_arrived_does_not(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "cut; where=between; after=2", times=1)
    client = make_client(keys=two(bad.url, good.url))
    with pytest.raises(IncompleteStreamError):
        await client.stream(CHAT, messages=MESSAGES)
    assert len(good.requests) == 0
    await client(CHAT, messages=MESSAGES)
    assert len(good.requests) == 1  # whose connection broke rests


@pytest.mark.parametrize("operation", [*PLAIN, "models.list"])
async def test_every_operation_fails_over(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], operation: str
) -> None:
    bad, good = servers
    fail(bad, "503")
    client = make_client(keys=two(bad.url, good.url), max_retries=0)
    assert await client(operation, **PLAIN.get(operation, {})) is not None
    assert len(good.requests) == 1


@pytest.mark.parametrize("fault", ["400", "422", "501", "status; code=500; message=a bug"])
async def test_what_another_server_would_not_know_better_is_raised(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], fault: str
) -> None:
    bad, good = servers
    fail(bad, fault, times=1)
    client = make_client(keys=two(bad.url, good.url))
    with pytest.raises(openai.APIStatusError):
        await client(CHAT, messages=MESSAGES)
    await client(CHAT, messages=MESSAGES)
    assert (len(bad.requests), len(good.requests)) == (2, 0)  # and it does not rest


async def test_a_generation_that_timed_out_is_not_sent_again(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "stall; seconds=5")
    client = make_client(keys=two(bad.url, good.url), timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        await client(CHAT, messages=MESSAGES)
    assert (len(bad.requests), len(good.requests)) == (1, 0)


async def test_a_request_that_kills_engines_kills_two_at_the_most(make_client: Callable[..., Any]) -> None:
    with SimServer() as a, SimServer() as b, SimServer() as c:
        for server in (a, b, c):
            fail(server, DEAD_ENGINE)
        client = make_client(keys=[Key(name=str(n), url=server.url) for n, server in enumerate((a, b, c))])
        with pytest.raises(openai.InternalServerError, match="EngineCore"):
            await client(CHAT, messages=MESSAGES)
        assert len(a.requests) + len(b.requests) + len(c.requests) == 2


async def test_when_no_server_answers_what_may_pass_is_raised(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "503")
    fail(good, "401")
    client = make_client(keys=two(bad.url, good.url), max_retries=0)
    with pytest.raises(openai.InternalServerError, match="503"):
        await client(CHAT, messages=MESSAGES)


async def test_retries_are_rounds_over_all_servers(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], waited: list[float]
) -> None:
    bad, good = servers
    fail(bad, "503")
    fail(good, "503")
    with pytest.raises(openai.InternalServerError):
        await make_client(keys=two(bad.url, good.url), max_retries=2)(CHAT, messages=MESSAGES)
    assert (len(bad.requests), len(good.requests)) == (3, 3)
    assert len(waited) == 2


async def test_a_busy_server_makes_nobody_wait_while_another_is_free(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], waited: list[float]
) -> None:
    bad, good = servers
    fail(bad, "429; retry_after=30")
    client = make_client(keys=two(bad.url, good.url))
    for _ in range(5):
        await client(CHAT, messages=MESSAGES)
    assert (len(bad.requests), len(good.requests)) == (1, 5)
    assert waited == []


async def test_the_other_servers_own_name_and_key_are_sent(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "503")
    keys = [
        Key(name="bad", url=bad.url, api_key="secret-of-bad", weight=1e9, aliases={"m": "bad-model"}),
        Key(name="good", url=good.url, api_key="secret-of-good", aliases={"m": "sim-chat"}),
    ]
    client = make_client(keys=keys)
    await client(CHAT, model="m", messages=MESSAGES, extra_headers={"X-Mine": "kept"})
    (request,) = good.requests
    assert request.json["model"] == "sim-chat"
    assert request.headers["authorization"] == "Bearer secret-of-good"
    assert request.headers["x-mine"] == "kept"


async def test_a_session_stays_on_one_server_and_is_named(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    client = make_client(keys=[Key(name="a", url=servers[0].url), Key(name="b", url=servers[1].url)])
    for _ in range(10):
        await client(CHAT, messages=MESSAGES, session_id="conversation-1")
    counts = sorted(len(server.requests) for server in servers)
    assert counts == [0, 10]
    requests = servers[0].requests + servers[1].requests
    assert {request.headers["x-session-id"] for request in requests} == {"conversation-1"}


async def test_sticky_knows_a_conversation_by_its_beginning(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    keys = [Key(name="a", url=servers[0].url), Key(name="b", url=servers[1].url)]
    client = make_client(keys=keys, balance="sticky")
    for number in range(4):
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"Say: {number}"}]
        for _ in range(5):
            reply = await client(CHAT, messages=messages)
            messages += [reply.choices[0].message, {"role": "user", "content": "Say: more"}]
    assert [len(server.requests) for server in servers] == [10, 10]


@pytest.mark.parametrize("session_id", [5, "", "two\nlines", "Grüße"])
async def test_a_session_that_no_header_can_carry_is_refused(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], session_id: object
) -> None:
    with pytest.raises(TypeError, match=r"chat\.completions\.create: session_id must be text"):
        await make_client(base_url=servers[0].url)(CHAT, messages=MESSAGES, session_id=session_id)
    assert servers[0].requests == []


@pytest.mark.parametrize("operation", [name for name in PLAIN if not name.startswith("server")])
async def test_every_operation_knows_a_session_by_its_header(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], operation: str
) -> None:
    client = make_client(keys=[Key(name="a", url=servers[0].url), Key(name="b", url=servers[1].url)])
    for _ in range(4):
        await client(operation, **PLAIN[operation], extra_headers={"X-Session-ID": "conversation-1"})
    assert sorted(len(server.requests) for server in servers) == [0, 4]
    with pytest.raises(TypeError, match=rf"{operation}: session_id must be text"):
        await client(operation, **PLAIN[operation], extra_headers={"X-Session-ID": "Grüße"})
    assert sum(len(server.requests) for server in servers) == 4


async def test_a_low_level_request_knows_a_session(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    client = make_client(keys=[Key(name="a", url=servers[0].url), Key(name="b", url=servers[1].url)])
    body = {"model": "sim-chat", "messages": MESSAGES, "session_id": "conversation-1"}
    for _ in range(4):
        await client("post", path="/chat/completions", cast_to=object, body=body)
    assert sorted(len(server.requests) for server in servers) == [0, 4]
    with pytest.raises(TypeError, match="session_id must be text"):
        await client("post", path="/chat/completions", cast_to=object, body={**body, "session_id": 5})


async def test_a_data_parallel_rank_becomes_its_header(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    await make_client(base_url=servers[0].url)(CHAT, messages=MESSAGES, data_parallel_rank=2)
    (request,) = servers[0].requests
    assert request.headers["x-data-parallel-rank"] == "2"
    assert "data_parallel_rank" not in request.json


async def test_a_server_comes_back_through_one_probe(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "503; retry_after=1", times=1)
    client = make_client(keys=two(bad.url, good.url))
    await client(CHAT, messages=MESSAGES)
    await client(CHAT, messages=MESSAGES)
    assert len(bad.requests) == 1
    await asyncio.sleep(1.3)
    await client(CHAT, messages=MESSAGES)
    assert len(bad.requests) == 2


async def test_the_client_tells_how_its_servers_are_doing(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    fail(bad, "503", times=1)
    client = make_client(keys=two(bad.url, good.url))
    await client(CHAT, messages=MESSAGES)
    copies = client.client.with_options(max_retries=0)
    assert [status.state for status in copies.servers()] == ["resting", "healthy"]
    assert [status.in_flight for status in client.client.servers()] == [0, 0]


async def test_a_stream_is_in_flight_until_it_ends(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    client = make_client(base_url=servers[1].url)
    stream = await client(CHAT, messages=MESSAGES, stream=True)
    (status,) = client.client.servers()
    assert status.in_flight == 1
    for chunk in [*stream] if client.kind == "sync" else [chunk async for chunk in stream]:
        assert chunk.id
    (status,) = client.client.servers()
    assert (status.in_flight, status.state) == (0, "healthy")


async def test_keys_change_while_a_stream_runs(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer]
) -> None:
    bad, good = servers
    client = make_client(keys=[Key(name="a", url=bad.url)])
    stream = await client(CHAT, messages=MESSAGES, stream=True)
    client.client.keys = [Key(name="b", url=good.url)]
    await client(CHAT, messages=MESSAGES)
    chunks = [*stream] if client.kind == "sync" else [chunk async for chunk in stream]
    assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason
    assert (len(bad.requests), len(good.requests)) == (1, 1)
