"""A client of each server, sync and async; the addresses are fixtures of whoever runs the bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from vllm_connect._client import BaseVLLM

from .kit import PLAIN, STREAM

#: Sent with every request; the servers do not ask for it, and no cassette may hold it.
API_KEY = "sk-must-not-be-recorded"


@pytest.fixture
def connect(make_client: Any, kind: str, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a client; a failure is never hidden by a retry."""

    def make(url: str | None = None, **arguments: Any) -> Any:
        if "vcr" in request.keywords:  # vcrpy knows the stock transport, not ours
            stock = openai.DefaultHttpxClient if kind == "sync" else openai.DefaultAsyncHttpxClient
            arguments["http_client"] = stock(verify=False)  # no TLS here, and its certificates take 20 ms
        if url is not None:
            arguments["api_key"] = API_KEY
        return make_client(url, max_retries=0, **arguments)

    return make


@pytest.fixture
def chat(connect: Any, chat_url: str) -> Any:
    return connect(chat_url)


@pytest.fixture
def native(connect: Any, chat_url: str) -> Any:
    return connect(chat_url, responses_api="native")


@pytest.fixture
def embed(connect: Any, embed_url: str) -> Any:
    return connect(embed_url)


@pytest.fixture
def rerank(connect: Any, rerank_url: str) -> Any:
    return connect(rerank_url)


@pytest.fixture
def whisper(connect: Any, whisper_url: str) -> Any:
    return connect(whisper_url)


@pytest.fixture
def vision(connect: Any, vision_url: str) -> Any:
    return connect(vision_url)


@pytest.fixture(autouse=True)
def does_what_it_says(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs every body with both clients, and fails one that does not ask for what it `covers`."""
    asked = set()
    begin = BaseVLLM._open

    def noting(self: Any, call: Any, *args: Any) -> Any:
        asked.add((call.operation, STREAM if call.streams else PLAIN))
        return begin(self, call, *args)

    monkeypatch.setattr(BaseVLLM, "_open", noting)
    yield
    for operation, form in getattr(request.function, "covers", ()):
        wire = operation.replace(".parse", ".create").replace(".stream", ".create")
        assert (wire, form) in asked, f"says that it covers {operation} {form}, and did not ask for it"
