"""The ways that must stay short: everything but the network, beside the stock SDK in the same process.

The bounds are ratios, and far below what is measured, so that a busy machine cannot break them; `make bench`
tells the real figures. Counts of function calls are exact, and hold whatever the machine does.
"""

from __future__ import annotations

import gc
import json
import struct
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import openai
import pydantic
import pytest

from vllm_connect import VLLM
from vllm_connect._transport._httpx import httpx
from vllm_connect._wire.objects import Reader

ROUNDS = 4
CHUNKS = 1000
ABOUT = {"id": "chatcmpl-ad07f9d8cb0c423b", "created": 1795398470, "model": "tiny-chat"}
USAGE = {"prompt_tokens": 22, "total_tokens": 25, "completion_tokens": 3}
MESSAGES = [
    {"role": role, "content": f"Turn {turn}: {'the quick brown fox jumps over the lazy dog. ' * 4}"}
    for turn in range(20)
    for role in ("user", "assistant")
]


TEXTS = ["A text"] * 32


def stream_body() -> bytes:
    """A stream as vLLM 0.32 sends it."""

    def event(delta: dict[str, str], finish_reason: str | None = None, **more: None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **more}
        chunk = {**ABOUT, "object": "chat.completion.chunk", "choices": [choice]}
        return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()

    middle = [event({"content": f" word{i}"}, token_ids=None) for i in range(CHUNKS - 2)]
    first, last = event({"role": "assistant", "content": ""}), event({}, "stop", stop_reason=None)
    return b"".join([first, *middle, last, b"data: [DONE]\n\n"])


def reply_body() -> bytes:
    message = {"role": "assistant", "content": "the", "refusal": None, "reasoning": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "token_ids": None}
    about = {**ABOUT, "object": "chat.completion", "usage": USAGE}
    return json.dumps({**about, "choices": [choice], "prompt_logprobs": None}).encode()


def embeddings_body() -> bytes:
    vectors = [struct.pack("<1024f", *(row + i / 1024 for i in range(1024))) for row in range(len(TEXTS))]
    data = [
        {"object": "embedding", "index": i, "embedding": b64encode(vector).decode()}
        for i, vector in enumerate(vectors)
    ]
    about = {"id": "embd-1", "object": "list", "created": 1795398024, "model": "tiny-embed"}
    return json.dumps({**about, "data": data, "usage": USAGE}).encode()


class Body(httpx.SyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body


class Canned(httpx.BaseTransport):
    """Answers everything at once, so that the network costs nothing."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self._body = body
        self._headers = {"content-type": content_type}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=self._headers, stream=Body(self._body))


def made(kind: type[openai.OpenAI], body: bytes, content_type: str) -> openai.OpenAI:
    http_client = openai.DefaultHttpxClient(transport=Canned(body, content_type))
    return kind(base_url="http://server.test/v1", api_key="k", http_client=http_client)


class Work:
    """The same calls on both clients."""

    def __init__(self, body: bytes, content_type: str, run: Callable[[Any], object]) -> None:
        self.run = run
        self.stock = made(openai.OpenAI, body, content_type)
        self.ours = made(VLLM, body, content_type)

    def __enter__(self) -> Work:
        for client in (self.stock, self.ours):
            self.run(client)  # warm up
        return self

    def __exit__(self, *exc: object) -> None:
        self.stock.close()
        self.ours.close()

    def ratio(self) -> float:
        """How many times less CPU time ours takes: least against least, of rounds in turns."""
        least = {self.stock: 1e9, self.ours: 1e9}
        gc.collect()
        gc.freeze()  # what other tests have left takes neither part in collections nor time
        try:
            for _ in range(ROUNDS):
                for client in least:
                    gc.collect()
                    start = time.process_time()
                    self.run(client)
                    least[client] = min(least[client], time.process_time() - start)
        finally:
            gc.unfreeze()
        return least[self.stock] / least[self.ours]

    def python_calls(self, client: openai.OpenAI) -> int:
        """How many Python functions are called: the same number on every machine."""
        count = 0

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        before = sys.getprofile()
        gc.disable()  # finalizers of something else are not ours
        sys.setprofile(note)
        try:
            self.run(client)
        finally:
            sys.setprofile(before)
            gc.enable()
        return count


def read_stream(client: Any) -> None:
    stream = client.chat.completions.create(model="m", messages=MESSAGES[:1], stream=True)
    assert sum(1 for _ in stream) == CHUNKS


def ask(client: Any) -> None:
    for _ in range(5):
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices


def embed(client: Any) -> None:
    assert len(client.embeddings.create(model="m", input=TEXTS).data) == len(TEXTS)


def streaming() -> Work:
    return Work(stream_body(), "text/event-stream", read_stream)


def asking() -> Work:
    return Work(reply_body(), "application/json", ask)


def embedding() -> Work:
    return Work(embeddings_body(), "application/json", embed)


@pytest.mark.parametrize(("work", "least"), [(streaming, 4), (asking, 6), (embedding, 1.1)])
def test_takes_a_fraction_of_the_stock_sdks_cpu_time(work: Callable[[], Work], least: float) -> None:
    with work() as both:
        assert both.ratio() >= least


@pytest.mark.parametrize(("work", "least"), [(streaming, 25), (asking, 20), (embedding, 3)])
def test_calls_a_fraction_of_the_stock_sdks_functions(work: Callable[[], Work], least: float) -> None:
    with work() as both:
        assert both.python_calls(both.stock) >= least * both.python_calls(both.ours)


def test_a_chunk_costs_a_handful_of_calls_however_long_the_stream() -> None:
    with streaming() as both:
        assert both.python_calls(both.ours) <= 1000 + 10 * CHUNKS


class Calls(list[str]):
    """Names of the functions that were called though they should not be."""

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)


@pytest.fixture
def slow_calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Watches what makes the stock SDK slow, and proves that it watches the right things."""
    calls = Calls()
    calls.watch(monkeypatch, openai.resources.chat.completions.completions, "maybe_transform")
    calls.watch(monkeypatch, openai.resources.embeddings, "maybe_transform")
    calls.watch(monkeypatch, openai._models, "_construct_field")
    calls.watch(monkeypatch, openai._base_client, "validate_type")
    for name in ("iter_bytes", "decode"):
        calls.watch(monkeypatch, openai._streaming.SSEDecoder, name)
    for name in ("model_dump", "model_dump_json"):
        calls.watch(monkeypatch, pydantic.BaseModel, name)
        calls.watch(monkeypatch, openai.BaseModel, name)
    return calls


@pytest.mark.parametrize("work", [streaming, asking])
def test_none_of_the_slow_ways_is_taken(work: Callable[[], Work], slow_calls: Calls) -> None:
    with work() as both:
        slow_calls.clear()
        both.run(both.stock)
        assert {"maybe_transform", "_construct_field"} <= set(slow_calls)
        slow_calls.clear()
        both.run(both.ours)
        assert slow_calls == []


def test_each_chunk_is_validated_once_from_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = Reader.__call__

    def read(self: Reader[Any], data: bytes) -> Any:
        seen.append(data)
        return real(self, data)

    def refuse(self: Reader[Any], data: bytes) -> Any:
        raise AssertionError(f"the lenient way was taken for {data!r}")

    monkeypatch.setattr(Reader, "__call__", read)
    monkeypatch.setattr(Reader, "_leniently", refuse)
    with made(VLLM, stream_body(), "text/event-stream") as client:
        read_stream(client)
    assert b"".join(b"data: %b\n\n" % data for data in [*seen, b"[DONE]"]) == stream_body()
