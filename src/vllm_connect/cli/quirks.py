"""Quirks of servers, as the simulator plays them, and what the client makes of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai

from .._client import VLLM
from .._keys.key import Key
from ..errors import IncompleteStreamError, MissingURLError
from ..sim import SimServer
from .outcomes import NotAsExpected, explain
from .probes import SENTENCE

_CHAT: Any = {"model": "sim-chat", "messages": [{"role": "user", "content": f"Say: {SENTENCE}"}]}
_DOCUMENTS = ["Bread is made of flour.", "Paris is the capital of France."]
_SOON = "0.05"  # seconds; for a retry that nobody has to wait for


@dataclass(frozen=True)
class Quirk:
    """A quirk, and a function that shows what the client makes of it."""

    what: str
    show: Callable[[SimServer], str]


@dataclass(frozen=True)
class QuirkResult:
    """A quirk that was shown: what came of it, and whether that is as it should be."""

    what: str
    client: str
    ok: bool

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {"what": self.what, "client": self.client, "ok": self.ok}


def show_quirk(quirk: Quirk, sim: SimServer) -> QuirkResult:
    """Let the simulator misbehave, and tell what the client made of it."""
    sim.reset()
    try:
        return QuirkResult(quirk.what, quirk.show(sim), True)
    except Exception as error:  # noqa: BLE001  # a bug of the client's is what there is to show, then
        told = explain(error)
        if isinstance(error, openai.OpenAIError):
            told = f"{type(error).__name__}: {told}"
        return QuirkResult(quirk.what, told, False)


def _error_in_200(sim: SimServer) -> str:
    sim.fail_next("error_200", code=400, message="The prompt is bad.")
    with VLLM(sim.url) as client, _expected(openai.BadRequestError) as raised:
        client.chat.completions.create(**_CHAT)
    return _raised(raised)


def _error_in_stream(sim: SimServer) -> str:
    sim.fail_next("error_chunk", after=10, code=500, message="The engine gave up.")
    heard: list[str] = []
    with VLLM(sim.url) as client, _expected(openai.InternalServerError) as raised:
        for chunk in client.chat.completions.create(**_CHAT, stream=True):
            heard.append(chunk.choices[0].delta.content or "")
    return f"hands over {''.join(heard)!r}, then {_raised(raised)}"


def _cut_stream(sim: SimServer) -> str:
    sim.fail_next("cut", after=10)
    heard: list[str] = []
    with VLLM(sim.url) as client, _expected(IncompleteStreamError) as raised:
        for chunk in client.chat.completions.create(**_CHAT, stream=True):
            heard.append(chunk.choices[0].delta.content or "")
    return f"hands over {''.join(heard)!r}, then raises {type(raised[0]).__name__}"


def _rerank_elsewhere(sim: SimServer) -> str:
    sim.fail_always("404", path="/v1/rerank")
    with VLLM(sim.url) as client:
        for _ in range(2):
            best = client.rerank.create(query="the capital of France", documents=_DOCUMENTS).results[0]
    paths = [request.path for request in sim.requests]
    _require(paths == ["/v1/rerank", "/rerank", "/rerank"], f"it asked {paths}")
    return f"asks /rerank, remembers it, and ranks: {_DOCUMENTS[best.index]}"


def _key_without_url(sim: SimServer) -> str:
    with VLLM(keys=[Key(name="gpu1")]) as client, _expected(MissingURLError) as raised:
        client.chat.completions.create(**_CHAT)
    _require(not sim.requests, "a request was sent")
    return f"{_raised(raised)}; no request was sent"


def _busy(sim: SimServer) -> str:
    sim.fail_next("503", retry_after=_SOON, times=2)
    with VLLM(sim.url) as client:
        client.chat.completions.create(**_CHAT)
    return f"waits as long as it is told to and tries again: an answer after {len(sim.requests)} requests"


def _one_server_down(sim: SimServer) -> str:
    with SimServer() as other:
        gone = other.url
    keys = [Key(name="down", url=gone), Key(name="up", url=sim.url)]
    with VLLM(keys=keys, max_retries=0) as client:
        statuses = client.models.list().key_statuses
    told = {status.key_name: status.status for status in statuses}
    _require(told == {"down": "list_models_failed", "up": "success"}, f"it says {told}")
    return "lists the models of the other one, and says how each went: " + ", ".join(
        f"{name} {status}" for name, status in told.items()
    )


def _old_reasoning(sim: SimServer) -> str:
    sim.fail_next("reasoning_content")
    with VLLM(sim.url) as client:
        message = client.chat.completions.create(**_CHAT).choices[0].message
    _require(bool(message.reasoning), "the reasoning is lost")
    return f"has it where it always is: message.reasoning == {message.reasoning!r}"


def _closed_stream(sim: SimServer) -> str:
    sim.fail_next("pace", seconds=0.01)
    with VLLM(sim.url) as client:
        stream: Any = client.chat.completions.create(**_CHAT, stream=True)
        next(iter(stream))
        stream.close()
        _require(sim.wait_for_abort(), "the server goes on generating")
    return "closes the connection, and the server stops generating"


def _foreign_key(sim: SimServer) -> str:
    with _environment(OPENAI_API_KEY="sk-of-another-host"), VLLM(sim.url) as client:
        client.models.list()
    _require("authorization" not in sim.requests[0].headers, "it was sent")
    return "never reads it, and sends no Authorization header"


QUIRKS: tuple[Quirk, ...] = (
    Quirk("the server answers 200, with an error inside", _error_in_200),
    Quirk("the server breaks off a stream with an error", _error_in_stream),
    Quirk("the connection is cut in a stream", _cut_stream),
    Quirk("the server has no /v1/rerank", _rerank_elsewhere),
    Quirk("the key has no URL", _key_without_url),
    Quirk("the server is busy twice: 503 with Retry-After", _busy),
    Quirk("one of two servers is down", _one_server_down),
    Quirk("the reasoning is called reasoning_content (vLLM < 0.12)", _old_reasoning),
    Quirk("the caller closes a stream early", _closed_stream),
    Quirk("OPENAI_API_KEY is set, and the server needs no key", _foreign_key),
)


@contextmanager
def _expected(kind: type[Exception]) -> Iterator[list[Exception]]:
    """Catch an exception that is to be raised, and put it into the list."""
    raised: list[Exception] = []
    try:
        yield raised
    except kind as error:
        raised.append(error)
    else:
        raise NotAsExpected(f"no {kind.__name__} was raised")


def _raised(raised: list[Exception]) -> str:
    return f"raises {type(raised[0]).__name__}: {explain(raised[0])}"


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise NotAsExpected(otherwise)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
