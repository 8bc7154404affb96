"""Several servers beneath clients that are not ours: the stock SDK, httpx and httpx2."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import openai
import pytest
from tests.media import tone

from vllm_connect import AsyncRoutedTransport, ConfigError, Key, Policy, RoutedTransport
from vllm_connect.sim import SimServer

LIBRARIES = [name for name in ("httpx", "httpx2") if find_spec(name)]
SAY: Any = [{"role": "user", "content": "Say: hello there"}]


class Caller:
    """The stock SDK, or an http client, over one of the transports; sync or async."""

    def __init__(self, kind: str, library: str) -> None:
        self.kind = kind
        self.library = importlib.import_module(library)
        self._open: list[Any] = []

    def http(self, *keys: Key, **options: Any) -> Any:
        if self.kind == "sync":
            client = self.library.Client(transport=RoutedTransport(keys, **options))
        else:
            client = self.library.AsyncClient(transport=AsyncRoutedTransport(keys, **options))
        self._open.append(client)
        return client

    def sdk(self, *keys: Key, max_retries: int = 0, **options: Any) -> Any:
        make: Any = openai.OpenAI if self.kind == "sync" else openai.AsyncOpenAI
        http_client = self.http(*keys, **options)
        return make(
            http_client=http_client, base_url="http://vllm/v1", api_key="unused", max_retries=max_retries
        )

    async def __call__(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        return result if self.kind == "sync" else await result

    async def texts(self, client: Any, seen: list[str] | None = None) -> list[str]:
        """The pieces of a streamed answer."""
        seen = [] if seen is None else seen
        stream = await self(client.chat.completions.create, model="m", messages=SAY, stream=True)
        if self.kind == "sync":
            for chunk in stream:
                seen.append(chunk.choices[0].delta.content or "")
        else:
            async for chunk in stream:
                seen.append(chunk.choices[0].delta.content or "")
        return seen

    async def close(self) -> None:
        for client in self._open:
            if self.kind == "sync":
                client.close()
            else:
                await client.aclose()


def _works_under_the_sdk(library: str) -> bool:
    return library == "httpx" or int(openai.__version__.partition(".")[0]) >= 3


@pytest.fixture(params=[f"{kind}-{library}" for library in LIBRARIES for kind in ("sync", "async")])
async def call(request: pytest.FixtureRequest) -> Any:
    kind, _, library = request.param.partition("-")
    if not _works_under_the_sdk(library):
        pytest.skip(f"openai {openai.__version__} takes no client of {library}")
    caller = Caller(kind, library)
    yield caller
    await caller.close()


@pytest.fixture
def servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer(models=["m", "bge"]) as first, SimServer(models=["m", "n"]) as second:
        yield first, second


def keys_of(servers: tuple[SimServer, SimServer], **of_first: Any) -> list[Key]:
    first, second = servers
    return [Key(name="a", url=first.url, **of_first), Key(name="b", url=second.url)]


async def test_the_model_chooses_the_server(call: Caller, servers: tuple[SimServer, SimServer]) -> None:
    first, second = servers
    keys = [
        Key(name="a", url=first.url, models=["alias"], aliases={"alias": "bge"}, api_key="sk-a"),
        Key(name="b", url=second.url, models=["n"]),
    ]
    client = call.sdk(*keys)
    reply = await call(client.chat.completions.create, model="vllm/n", messages=SAY)
    assert type(reply) is openai.types.chat.ChatCompletion
    assert reply.choices[0].message.content == "hello there"
    await call(client.chat.completions.create, model="alias", messages=SAY)
    assert second.requests[-1].json["model"] == "n"
    assert "authorization" not in second.requests[-1].headers
    assert first.requests[-1].json["model"] == "bge"
    assert first.requests[-1].headers["authorization"] == "Bearer sk-a"


async def test_a_stream(call: Caller, servers: tuple[SimServer, SimServer]) -> None:
    assert "".join(await call.texts(call.sdk(*keys_of(servers)))) == "hello there"


@pytest.mark.parametrize("fault", ["503", "429", "401", "drop", "error_200"])
async def test_another_server_is_asked_at_once(
    call: Caller, servers: tuple[SimServer, SimServer], fault: str
) -> None:
    servers[0].fail_always(fault)
    client = call.sdk(*keys_of(servers, weight=1e9))
    transport = client._client._transport
    transport._fleet.health.clock = lambda: 0.0  # no rest ends, however slow this machine is
    for _ in range(3):
        assert "".join(await call.texts(client)) == "hello there"
    assert len(servers[0].requests) == 1  # it rests
    assert [status.state for status in transport.servers()] == ["resting", "healthy"]


async def test_what_all_servers_refuse_is_the_callers_to_retry(
    call: Caller, servers: tuple[SimServer, SimServer]
) -> None:
    for server in servers:
        server.fail_next("503")
    client = call.sdk(*keys_of(servers), max_retries=1)
    assert "".join(await call.texts(client)) == "hello there"
    assert sum(len(server.requests) for server in servers) == 3


ERRORS = [
    (400, openai.BadRequestError),
    (404, openai.NotFoundError),
    (429, openai.RateLimitError),
    (503, openai.InternalServerError),
]


@pytest.mark.parametrize(("status", "expected"), ERRORS)
@pytest.mark.parametrize("shape", ["nested", "flat", "string"])
async def test_an_error_in_a_200_has_its_status(
    call: Caller, vllm_sim: SimServer, status: int, expected: type[Exception], shape: str
) -> None:
    vllm_sim.fail_always("error_200", code=status, shape=shape, message="The reason.")
    client = call.sdk(Key(name="a", url=vllm_sim.url))
    if shape == "string":  # which names no status
        expected = openai.InternalServerError
    with pytest.raises(expected, match="The reason"):
        await call(client.chat.completions.create, model="sim-chat", messages=SAY)


@pytest.mark.parametrize("shape", ["nested", "flat"])
async def test_an_error_before_a_stream_has_its_status(
    call: Caller, servers: tuple[SimServer, SimServer], shape: str
) -> None:
    servers[0].fail_always("error_chunk", code=400, shape=shape, message="The reason.")
    client = call.sdk(Key(name="a", url=servers[0].url))
    with pytest.raises(openai.BadRequestError, match="The reason"):
        await call.texts(client)


@pytest.mark.parametrize("shape", ["nested", "flat"])
async def test_an_error_within_a_stream_is_raised(
    call: Caller, servers: tuple[SimServer, SimServer], shape: str
) -> None:
    servers[0].fail_next("error_chunk", after=7, shape=shape, message="The reason.")
    seen: list[str] = []
    with pytest.raises(openai.APIError, match="The reason"):
        await call.texts(call.sdk(Key(name="a", url=servers[0].url)), seen)
    assert "".join(seen).startswith("he")


@pytest.mark.parametrize(
    ("fault", "values"),
    [("done_only", {}), ("unfinished", {}), ("cut", {"after": 6}), ("cut", {"after": 6, "where": "between"})],
)
async def test_a_stream_that_ends_too_soon_breaks_off(
    call: Caller, servers: tuple[SimServer, SimServer], fault: str, values: dict[str, Any]
) -> None:
    servers[0].fail_next(fault, **values)
    with pytest.raises((call.library.RemoteProtocolError, openai.APIConnectionError)):  # as the SDK has it
        await call.texts(call.sdk(Key(name="a", url=servers[0].url)))


@pytest.mark.parametrize("fault", ["bytewise", "burst", "crlf", "comments", "no_space", "no_done", "gzip"])
async def test_other_deliveries_pass(call: Caller, servers: tuple[SimServer, SimServer], fault: str) -> None:
    servers[0].fail_next(fault)
    assert "".join(await call.texts(call.sdk(Key(name="a", url=servers[0].url)))) == "hello there"


async def test_a_dead_engine_is_not_asked_again(call: Caller, vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("500")
    client = call.sdk(Key(name="a", url=vllm_sim.url), max_retries=2)
    with pytest.raises(openai.InternalServerError):
        await call(client.chat.completions.create, model="sim-chat", messages=SAY)
    assert len(vllm_sim.requests) == 1


async def test_nobody_there(call: Caller) -> None:
    http = call.http(Key(name="a", url="http://127.0.0.1:1"))
    with pytest.raises(call.library.ConnectError):
        await call(http.post, "http://vllm/v1/completions", json={"model": "m", "prompt": "a"})


async def test_too_slow(call: Caller, vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("stall", seconds=5)
    http = call.http(Key(name="a", url=vllm_sim.url))
    with pytest.raises(call.library.ReadTimeout):
        await call(
            http.post, "http://vllm/v1/completions", json={"model": "sim-chat", "prompt": "a"}, timeout=0.2
        )
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize("where", ["first", "middle"])
async def test_an_idle_stream_ends_as_the_policy_says(call: Caller, vllm_sim: SimServer, where: str) -> None:
    vllm_sim.fail_next("stall", where=where, after=2, seconds=5)
    policy = Policy(stream_idle_timeout=0.3)
    client = call.sdk(Key(name="a", url=vllm_sim.url, aliases={"m": "sim-chat"}), policy=policy)
    seen: list[str] = []
    with pytest.raises((openai.APITimeoutError, call.library.ReadTimeout)):  # as the SDK has it
        await call.texts(client.with_options(timeout=30), seen)
    assert len(seen) == (2 if where == "middle" else 0)
    assert len(vllm_sim.requests) == 1


async def test_a_server_rests_as_the_policy_says(call: Caller, servers: tuple[SimServer, SimServer]) -> None:
    servers[0].fail_always("503")
    http = call.http(*keys_of(servers), policy=Policy(cooldown=1000), balance="fill_first")
    for _ in range(2):
        reply = await call(http.post, "http://vllm/v1/completions", json={"model": "m", "prompt": "a"})
        assert reply.status_code == 200
    assert [len(server.requests) for server in servers] == [1, 2]
    state = http._transport.servers()[0]
    assert state.until - state.since > timedelta(seconds=500)


async def test_no_key_for_the_model(call: Caller, vllm_sim: SimServer) -> None:
    client = call.sdk(Key(name="a", url=vllm_sim.url, models=["other"]), max_retries=2)
    with pytest.raises(openai.NotFoundError, match="key 'a': models"):
        await call(client.chat.completions.create, model="sim-chat", messages=SAY)
    client = call.sdk(Key(name="a", url="env.NOT_SET_ANYWHERE"), max_retries=2)
    with pytest.raises(openai.BadRequestError, match="NOT_SET_ANYWHERE"):
        await call(client.chat.completions.create, model="sim-chat", messages=SAY)
    assert vllm_sim.requests == []


async def test_rerank_is_found_where_the_server_has_it(call: Caller, vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("404", path="/v1/rerank")
    http = call.http(Key(name="a", url=vllm_sim.url))
    for _ in range(2):
        reply = await call(
            http.post,
            "http://vllm/v1/rerank",
            json={"model": "sim-chat", "query": "a", "documents": ["a", "b"]},
        )
        assert len(reply.json()["results"]) == 2
    assert [request.path for request in vllm_sim.requests] == ["/v1/rerank", "/rerank", "/rerank"]


async def test_a_form_names_its_model(call: Caller, servers: tuple[SimServer, SimServer]) -> None:
    first, second = servers
    keys = [
        Key(name="a", url=first.url, models=["other"]),
        Key(name="b", url=second.url, models=["whisper"], aliases={"whisper": "m"}),
    ]
    file = io.BytesIO(tone(440.0))
    file.name = "a.wav"
    reply = await call(call.sdk(*keys).audio.transcriptions.create, model="whisper", file=file)
    assert reply.text
    assert not first.requests
    assert second.requests[-1].form["model"] == ["m"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://vllm/v1/models", "/v1/models"),
        ("http://vllm/team/v1/models", "/v1/models"),
        ("http://vllm/models?a=b", "/v1/models"),
        ("http://vllm/version", "/version"),
    ],
)
async def test_of_the_callers_url_the_route_counts(
    call: Caller, vllm_sim: SimServer, url: str, path: str
) -> None:
    http = call.http(Key(name="a", url=vllm_sim.url))
    assert (await call(http.get, url)).status_code == 200
    assert vllm_sim.requests[-1].path == path


async def test_a_stream_left_early_ends_at_the_server(call: Caller, vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("pace", seconds=0.05)
    client = call.sdk(Key(name="a", url=vllm_sim.url))
    stream = await call(client.chat.completions.create, model="sim-chat", messages=SAY, stream=True)
    await call(stream.close)
    assert vllm_sim.wait_for_abort()
    (status,) = client._client._transport.servers()
    assert status.in_flight == 0


def test_keys_that_cannot_work_are_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        RoutedTransport([])
    with pytest.raises(ConfigError):
        AsyncRoutedTransport([{"name": "a", "url": "localhost:8000"}])
