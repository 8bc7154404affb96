"""Whoever replaced `post` or `request` of the SDK's clients sees each call as the SDK would make it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import openai
import pytest
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai.types import Completion as SDKCompletion
from openai.types import CreateEmbeddingResponse
from openai.types.audio import Transcription, Translation
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from tests.both import each, opened, settled
from tests.client.requests import MESSAGES, PLAIN, STREAMED
from tests.client.test_replaced_methods import City, comparable

from vllm_connect import types
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"
SHOWN = {  # by operation: the path and the type of the answer that the SDK would show, or would if it had it
    CHAT: ("/chat/completions", ChatCompletion),
    "completions.create": ("/completions", SDKCompletion),
    "responses.create": ("/responses", Response),
    "embeddings.create": ("/embeddings", CreateEmbeddingResponse),
    "audio.transcriptions.create": ("/audio/transcriptions", Transcription),
    "audio.translations.create": ("/audio/translations", Translation),
    "rerank.create": ("/rerank", types.RerankResponse),
    "score.create": ("/score", types.ScoreResponse),
    "classify.create": ("/classify", types.ClassificationResponse),
    "pooling.create": ("/pooling", types.PoolingResponse),
    "tokenize": ("/tokenize", types.TokenizeResponse),
    "detokenize": ("/detokenize", types.DetokenizeResponse),
    "models.list": ("/models", types.ModelPage),
    "server.version": ("/version", object),
}
BASES = {"sync": (SyncAPIClient, openai.OpenAI), "async": (AsyncAPIClient, openai.AsyncOpenAI)}
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's, of translations


class Watcher:
    """Stands in the place of `post`, `get` or `request`, on a class or on one client."""

    def __init__(self, name: str, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.name = name
        self.change = change
        self.seen: list[tuple[str, Any, Any, Any]] = []  # path, body, type of the answer, type of the stream

    def watch(self, monkeypatch: pytest.MonkeyPatch, place: Any) -> None:
        original = getattr(place, self.name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.name == "request":
                cast_to, options = args[-2:]
                path, body = options.url, options.json_data
            else:
                path, body, cast_to = args[-1], kwargs.get("body"), kwargs["cast_to"]
            if self.change:
                self.change(body)
            self.seen.append((path, body, cast_to, kwargs.get("stream_cls")))
            return original(*args, **kwargs)

        monkeypatch.setattr(place, self.name, watched)


def places(client: Any) -> dict[str, tuple[str, Any]]:
    """Where tracers and mocks put something: the method and its owner."""
    base, sdk = BASES[client.kind]
    return {
        "base.request": ("request", base),
        "sdk.request": ("request", sdk),
        "client.request": ("request", client.client),
        "base.post": ("post", base),
        "client.post": ("post", client.client),
    }


WHERE = ["base.request", "sdk.request", "client.request", "base.post", "client.post"]


@pytest.mark.parametrize("operation", SHOWN)
@pytest.mark.parametrize("where", ["sdk.request", "client.request", "base.post"])
async def test_each_call_is_seen_once_and_sent_as_ever(
    make_client: Callable[..., Any],
    vllm_sim: SimServer,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    where: str,
) -> None:
    client = make_client(vllm_sim.url)
    params = PLAIN.get(operation, {})
    answers = [await client(operation, **params)]
    name, place = places(client)[where]
    path, answer = SHOWN[operation]
    if vllm_sim.requests[0].method == "GET" and name == "post":
        name = "get"
    watcher = Watcher(name)
    watcher.watch(monkeypatch, place)
    answers.append(await client(operation, **params))
    ((shown_path, body, cast_to, _),) = watcher.seen
    assert (shown_path, getattr(cast_to, "__origin__", cast_to)) == (path, answer)
    plain, seen = vllm_sim.requests
    assert (seen.method, seen.path) == (plain.method, plain.path)
    assert plain.headers.keys() == seen.headers.keys()
    if "json" in plain.headers.get("content-type", "") and plain.method == "POST":
        assert seen.json == plain.json
        if operation != "responses.create":
            assert body.items() >= {name: v for name, v in params.items() if name != "model"}.items()
    assert comparable(answers[0]) == comparable(answers[1])


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("operation", STREAMED)
async def test_a_stream_is_seen(
    make_client: Callable[..., Any],
    vllm_sim: SimServer,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    where: str,
) -> None:
    client = make_client(vllm_sim.url)
    plain = await client.stream(operation, **PLAIN[operation])
    name, place = places(client)[where]
    watcher = Watcher(name)
    watcher.watch(monkeypatch, place)
    items = await client.stream(operation, **PLAIN[operation])
    ((path, _, _, stream_cls),) = watcher.seen
    assert path == SHOWN[operation][0]
    assert issubclass(getattr(stream_cls, "__origin__", stream_cls), (openai.Stream, openai.AsyncStream))
    assert [type(item) for item in items] == [type(item) for item in plain]
    assert len(vllm_sim.requests) == 2


@pytest.mark.parametrize("where", WHERE)
async def test_words_of_a_template_are_translated_before(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    client = make_client(vllm_sim.url)
    name, place = places(client)[where]
    watcher = Watcher(name)
    watcher.watch(monkeypatch, place)
    params = {**PLAIN[CHAT], "thinking": False, "max_tokens": "fit"}
    async with opened(client.client.chat.completions.stream(**params)) as stream:
        assert [event async for event in each(stream)]
    assert [path for path, *_ in watcher.seen] == ["/tokenize", "/tokenize", "/tokenize", "/chat/completions"]
    body = vllm_sim.requests[-1].json
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["max_tokens"] > 1000
    assert "thinking" not in body


@pytest.mark.parametrize("where", ["base.request", "sdk.request", "client.request"])
@pytest.mark.parametrize("operation", STREAMED)
async def test_a_stream_of_the_tracers_own_class_gets_every_item(
    make_client: Callable[..., Any],
    vllm_sim: SimServer,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    where: str,
) -> None:
    """As Logfire's: a subclass of what it was given, with another `__stream__`."""
    client = make_client(vllm_sim.url)
    plain = await client.stream(operation, **PLAIN[operation])
    name, place = places(client)[where]
    original, recorded = getattr(place, name), []

    def watched(*args: Any, stream_cls: Any, **kwargs: Any) -> Any:
        class Recording(stream_cls):  # type: ignore[misc]
            def __stream__(self) -> Any:
                for item in super().__stream__():
                    recorded.append(item)
                    yield item

        class AsyncRecording(stream_cls):  # type: ignore[misc]
            async def __stream__(self) -> Any:
                async for item in super().__stream__():
                    recorded.append(item)
                    yield item

        recording = Recording if client.kind == "sync" else AsyncRecording
        return original(*args, stream_cls=recording, **kwargs)

    monkeypatch.setattr(place, name, watched)
    items = await client.stream(operation, **PLAIN[operation])
    assert recorded == items
    assert [type(item) for item in items] == [type(item) for item in plain]
    vllm_sim.fail_next("done_only")
    with pytest.raises(openai.APIError):
        await client.stream(operation, **PLAIN[operation])


@pytest.mark.parametrize("where", WHERE)
async def test_what_they_change_is_sent(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def change(body: dict[str, Any]) -> None:
        body.pop("seed")
        body["temperature"] = 0.25
        body["messages"][0]["content"] = "Say: changed"

    client = make_client(vllm_sim.url)
    name, place = places(client)[where]
    Watcher(name, change).watch(monkeypatch, place)
    messages = [{"role": "user", "content": "Say: hi"}]
    answer = await client(CHAT, messages=messages, seed=1, top_k=3)
    assert answer.choices[0].message.content == "changed"
    (request,) = vllm_sim.requests
    assert "seed" not in request.json
    assert (request.json["temperature"], request.json["top_k"]) == (0.25, 3)
    items = await client.stream(CHAT, messages=messages, seed=1)
    assert "".join(item.choices[0].delta.content or "" for item in items) == "changed"


@pytest.mark.parametrize("where", ["sdk.request", "base.post"])
async def test_what_they_change_of_our_own_operations_is_sent(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def change(body: dict[str, Any]) -> None:
        body["query"] = "changed"
        body.pop("top_n")

    client = make_client(vllm_sim.url)
    name, place = places(client)[where]
    Watcher(name, change).watch(monkeypatch, place)
    with pytest.raises(openai.APIResponseValidationError):  # more results than were due
        await client("rerank.create", query="a", documents=["b", "c"], top_n=1)
    (request,) = vllm_sim.requests
    assert (request.json["query"], "top_n" in request.json) == ("changed", False)


@pytest.mark.parametrize("where", WHERE)
async def test_a_mock_answers_in_place_of_the_server(
    make_client: Callable[..., Any], vllm_sim: SimServer, where: str
) -> None:
    client = make_client(vllm_sim.url)
    name, place = places(client)[where]
    kind = mock.AsyncMock if client.kind == "async" else mock.MagicMock
    for operation in (CHAT, "rerank.create"):
        with mock.patch.object(place, name, new_callable=kind, return_value="mocked") as replaced:
            assert await client(operation, **PLAIN[operation]) == "mocked"
        replaced.assert_called_once()
    assert not vllm_sim.requests
    assert (await client(CHAT, messages=MESSAGES)).choices


async def test_parse_raw_and_stream_helpers_are_seen_once(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(vllm_sim.url)
    watcher = Watcher("request")
    watcher.watch(monkeypatch, BASES[client.kind][1])
    parsed = await client("chat.completions.parse", messages=MESSAGES, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    raw = await client("chat.completions.with_raw_response.create", messages=MESSAGES)
    assert (await settled(raw.parse())).choices
    streaming = client.client.chat.completions.with_streaming_response.create(messages=MESSAGES)
    async with opened(streaming) as reply:
        assert (await settled(reply.parse())).choices
    async with opened(client.client.chat.completions.stream(messages=MESSAGES)) as stream:
        assert [event async for event in each(stream)]
    assert [path for path, *_ in watcher.seen] == ["/chat/completions"] * 4


async def test_errors_and_retries_are_as_ever(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(vllm_sim.url)
    Watcher("request").watch(monkeypatch, BASES[client.kind][1])
    Watcher("post").watch(monkeypatch, BASES[client.kind][0])
    vllm_sim.fail_next("error_200", code=400)
    with pytest.raises(openai.BadRequestError):
        await client(CHAT, messages=MESSAGES)
    vllm_sim.fail_next("503")
    assert (await client(CHAT, messages=MESSAGES)).choices
    vllm_sim.fail_next("done_only")
    with pytest.raises(openai.APIError, match="without an answer"):
        await client.stream(CHAT, messages=MESSAGES)
    vllm_sim.fail_next("404", path="/v1/rerank")
    assert (await client("rerank.create", query="a", documents=["b"])).results


async def test_create_and_request_replaced_at_once(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tracers, each at its own method."""
    client = make_client(vllm_sim.url)
    resource = (
        openai.resources.chat.Completions if client.kind == "sync" else openai.resources.chat.AsyncCompletions
    )
    created, original = [], resource.create

    def create(self: Any, **kwargs: Any) -> Any:
        created.append(kwargs)
        return original(self, **kwargs)

    monkeypatch.setattr(resource, "create", create)
    watcher = Watcher("request")
    watcher.watch(monkeypatch, BASES[client.kind][1])
    assert (await client(CHAT, messages=MESSAGES)).choices
    assert (len(created), len(watcher.seen), len(vllm_sim.requests)) == (1, 1, 1)


def test_who_was_there_before_the_import_is_seen(vllm_sim: SimServer) -> None:
    program = f"""
from openai._base_client import SyncAPIClient
seen, post, request = [], SyncAPIClient.post, SyncAPIClient.request
SyncAPIClient.post = lambda self, path, **kwargs: (seen.append(path), post(self, path, **kwargs))[1]
SyncAPIClient.request = lambda self, *args, **kwargs: (seen.append(args), request(self, *args, **kwargs))[1]
from vllm_connect import VLLM
client = VLLM({vllm_sim.url!r})
ask = dict(messages=[{{"role": "user", "content": "Say: hi"}}], top_k=3)
assert client.chat.completions.create(**ask).choices[0].message.content == "hi"
assert seen[0] == "/chat/completions" and seen[1][1].json_data["messages"] == ask["messages"], seen
assert client.rerank.create(query="a", documents=["b"]).results and len(seen) == 4
SyncAPIClient.post, SyncAPIClient.request = post, request
assert client.chat.completions.create(**ask).choices and len(seen) == 4
"""
    subprocess.run([sys.executable, "-c", program], check=True)
