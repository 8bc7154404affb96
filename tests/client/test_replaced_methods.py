"""Whoever replaced a method of the SDK's, a tracer or a mock, sees each call once, and may change it."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any
from unittest import mock

import openai
import pytest
from openai.resources import audio, chat, completions, embeddings, responses
from pydantic import BaseModel
from tests.both import each, opened, settled
from tests.client.requests import MESSAGES, PLAIN, STREAMED

from vllm_connect.sim import SimServer

# The SDK's class, its async twin, and what each adds to a request of ours.
CLASSES: dict[str, tuple[type, type]] = {
    "chat.completions": (chat.Completions, chat.AsyncCompletions),
    "completions": (completions.Completions, completions.AsyncCompletions),
    "responses": (responses.Responses, responses.AsyncResponses),
    "embeddings": (embeddings.Embeddings, embeddings.AsyncEmbeddings),
    "audio.transcriptions": (audio.Transcriptions, audio.AsyncTranscriptions),
    "audio.translations": (audio.Translations, audio.AsyncTranslations),
}
OPERATIONS = [f"{path}.create" for path in CLASSES]
OWN: dict[str, dict[str, Any]] = {
    "embeddings.create": {"truncate_prompt_tokens": -1},
    "audio.transcriptions.create": {"top_k": 3},
    "audio.translations.create": {"top_k": 3},
}


class City(BaseModel):
    name: str


class Proxy:
    """A callable that passes for the function it wraps, as wrapt's does."""

    def __init__(self, wrapped: Any, wrapper: Any) -> None:
        self.__wrapped__ = wrapped
        self._wrapper = wrapper

    @property
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return functools.partial(self._wrapper, instance)


class Tracer:
    """Replaces methods of the SDK's by ones that note what they are called with, and call them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, proxies: bool = False, **changes: Any) -> None:
        self._proxies = proxies
        self.seen: list[tuple[Any, dict[str, Any], Any]] = []
        self._monkeypatch = monkeypatch
        self._changes = changes

    def watch(self, operation: str) -> None:
        path, _, name = operation.rpartition(".")
        for cls in CLASSES[path]:
            self._monkeypatch.setattr(cls, name, self._watched(vars(cls)[name]))

    def _watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def plain(resource: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs.update(self._changes)
            result = original(resource, *args, **kwargs)
            self.seen.append((resource, kwargs, result))
            return result

        @functools.wraps(original)
        async def awaited(resource: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs.update(self._changes)
            result = await original(resource, *args, **kwargs)
            self.seen.append((resource, kwargs, result))
            return result

        wrapper = awaited if inspect.iscoroutinefunction(inspect.unwrap(original)) else plain
        return Proxy(original, wrapper) if self._proxies else wrapper


@pytest.fixture(params=["function", "proxy"])
def tracer(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Tracer:
    """A tracer that was installed after the resources were made."""
    return Tracer(monkeypatch, proxies=request.param == "proxy")


def comparable(answer: Any) -> Any:
    """An answer without what differs from one to the next."""
    if isinstance(answer, BaseModel):
        return comparable(answer.model_dump(warnings=False))
    if isinstance(answer, dict):
        varying = {"id", "created", "created_at", "completed_at"}
        return {name: comparable(value) for name, value in answer.items() if name not in varying}
    return [comparable(item) for item in answer] if isinstance(answer, list) else answer


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's, of translations
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_call_is_seen_once_and_sent_as_ever(
    make_client: Callable[..., Any], vllm_sim: SimServer, tracer: Tracer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    own = OWN.get(operation, {"top_k": 3})
    params = {**PLAIN[operation], **own, "extra_body": {"cache_salt": "s"}, "extra_headers": {"x-a": "1"}}
    answers = [await client(operation, **params)]
    tracer.watch(operation)
    answers.append(await client(operation, **params))
    ((resource, arguments, result),) = tracer.seen
    assert type(resource) in CLASSES[operation.rpartition(".")[0]]
    assert resource._client is client.client
    assert arguments["extra_body"] == {**own, "cache_salt": "s"}
    assert all(arguments[name] == value for name, value in PLAIN[operation].items())
    assert result is answers[1]
    plain, traced = vllm_sim.requests
    if plain.headers["content-type"] == "application/json":
        assert traced.json == plain.json
    assert traced.headers["x-a"] == "1"
    assert plain.headers.keys() == traced.headers.keys()
    assert comparable(answers[0]) == comparable(answers[1])


@pytest.mark.parametrize("operation", STREAMED)
async def test_a_stream_is_seen_as_the_sdks(
    make_client: Callable[..., Any], vllm_sim: SimServer, tracer: Tracer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    tracer.watch(operation)
    items = await client.stream(operation, **PLAIN[operation])
    ((_, arguments, stream),) = tracer.seen
    assert arguments["stream"] is True
    assert isinstance(stream, openai.Stream if client.kind == "sync" else openai.AsyncStream)
    assert len(items) > 1
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize("operation", ["chat.completions", "responses"])
async def test_parse_and_stream_are_seen(
    make_client: Callable[..., Any], vllm_sim: SimServer, tracer: Tracer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    form = "response_format" if operation == "chat.completions" else "text_format"
    params = {**PLAIN[f"{operation}.create"], form: City, "top_k": 3}

    async def ask() -> list[Any]:
        parsed = await client(f"{operation}.parse", **params)
        async with opened(attrgetter(f"{operation}.stream")(client.client)(**params)) as stream:
            assert [event async for event in each(stream)]
        return [parsed]

    untraced = await ask()
    for name in ("create", "parse", "stream"):
        tracer.watch(f"{operation}.{name}")
    traced = await ask()
    assert len(tracer.seen) == 3, "parse, stream, and the create that stream is made of"
    assert [arguments.get(form) for _, arguments, _ in tracer.seen].count(City) == 2
    assert comparable(untraced[0]) == comparable(traced[0])
    first, second = vllm_sim.requests[:2], vllm_sim.requests[2:]
    assert [request.json for request in first] == [request.json for request in second]


@pytest.mark.parametrize("words", [{"thinking": False}, {"thinking": 9, "max_tokens": "fit"}])
@pytest.mark.parametrize("names", [("stream",), ("create", "parse", "stream")])
async def test_words_of_a_template_are_translated_before(
    make_client: Callable[..., Any],
    vllm_sim: SimServer,
    tracer: Tracer,
    names: tuple[str, ...],
    words: dict[str, Any],
) -> None:
    client = make_client(vllm_sim.url)
    params = {**PLAIN["chat.completions.create"], "response_format": City, **words}

    async def ask() -> list[Any]:
        await client("chat.completions.parse", **params)
        async with opened(client.client.chat.completions.stream(**params)) as stream:
            assert [event async for event in each(stream)]
        chats = [each.json for each in vllm_sim.requests if each.path == "/v1/chat/completions"]
        vllm_sim.reset()
        return chats

    untraced = await ask()
    for name in names:
        tracer.watch(f"chat.completions.{name}")
    assert await ask() == untraced
    assert len(tracer.seen) == len(names)
    assert all("thinking" not in arguments for _, arguments, _ in tracer.seen)


async def test_what_a_tracer_changes_is_sent(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "temperature": 0.25,
        "extra_headers": {"x-trace": "t"},
        "stream_options": {"include_usage": True},
    }
    tracer = Tracer(monkeypatch, **changes)
    tracer.watch("chat.completions.create")
    client = make_client(vllm_sim.url)
    items = await client.stream("chat.completions.create", messages=MESSAGES, temperature=1)
    (request,) = vllm_sim.requests
    assert (request.json["temperature"], request.headers["x-trace"]) == (0.25, "t")
    assert items[-1].usage is not None


async def test_a_message_of_an_answer_is_sent_without_its_nulls(
    make_client: Callable[..., Any], vllm_sim: SimServer, tracer: Tracer
) -> None:
    client = make_client(vllm_sim.url)
    answer = await client("chat.completions.create", messages=MESSAGES)
    messages = [*MESSAGES, answer.choices[0].message, *MESSAGES]
    await client("chat.completions.create", messages=messages)
    tracer.watch("chat.completions.create")
    await client("chat.completions.create", messages=messages)
    _, plain, traced = vllm_sim.requests
    assert traced.json == plain.json


async def test_raw_replies_are_seen(
    make_client: Callable[..., Any], vllm_sim: SimServer, tracer: Tracer
) -> None:
    tracer.watch("chat.completions.create")
    client = make_client(vllm_sim.url)
    raw = await client("chat.completions.with_raw_response.create", messages=MESSAGES)
    assert (await settled(raw.parse())).choices
    assert len(tracer.seen) == 1


async def test_a_failure_is_seen(
    make_client: Callable[..., Any], vllm_sim: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vllm_sim.fail_next("error_200", code=400)
    Tracer(monkeypatch).watch("chat.completions.create")
    with pytest.raises(openai.BadRequestError):
        await make_client(vllm_sim.url)("chat.completions.create", messages=MESSAGES)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_mock_answers_in_place_of_the_server(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    path, _, name = operation.rpartition(".")
    cls = CLASSES[path][client.kind == "async"]
    kind = mock.AsyncMock if client.kind == "async" else mock.MagicMock
    where = f"{cls.__module__}.{cls.__name__}.{name}"
    with mock.patch(where, new_callable=kind, return_value="mocked") as replaced:
        assert await client(operation, **PLAIN[operation]) == "mocked"
    replaced.assert_called_once()
    assert not vllm_sim.requests
    assert await client(operation, **PLAIN[operation]) != "mocked"


async def test_an_argument_of_the_tracers_own_reaches_it(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    cls = CLASSES["chat.completions"][client.kind == "async"]
    kind = mock.AsyncMock if client.kind == "async" else mock.MagicMock
    with mock.patch.object(cls, "create", new_callable=kind) as replaced:
        await client("chat.completions.create", messages=MESSAGES, span_name="mine")
    assert replaced.call_args.kwargs["span_name"] == "mine"


def test_who_was_there_before_the_import_is_seen(vllm_sim: SimServer) -> None:
    program = f"""
from openai.resources.chat import Completions
seen, original = [], Completions.create
Completions.create = lambda self, **kwargs: (seen.append(kwargs), original(self, **kwargs))[1]
from vllm_connect import VLLM
client = VLLM({vllm_sim.url!r})
ask = dict(messages=[{{"role": "user", "content": "Say: hi"}}], top_k=3)
assert client.chat.completions.create(**ask).choices[0].message.content == "hi"
assert seen[0]["extra_body"] == {{"top_k": 3}} and len(seen) == 1, seen
Completions.create = original
assert client.chat.completions.create(**ask).choices and len(seen) == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True)
