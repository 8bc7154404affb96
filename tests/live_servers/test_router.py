"""`vllm-router` before live servers: every operation, sessions by its own header, its faults and theirs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.media import tone

from vllm_connect import VLLM, IncompleteStreamError, Key
from vllm_connect.sim import Fault, SimServer

ROUTER = Path(os.environ.get("VLLM_ROUTER", ".venv-router/bin/vllm-router"))
MESSAGES: Any = [{"role": "user", "content": "Say: hello"}]


@pytest.fixture(scope="module", autouse=True)
def _is_installed() -> None:
    if not ROUTER.exists():
        pytest.fail(f"{ROUTER} is not there: run `make live-servers`, which installs it")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def routed(*urls: str) -> Iterator[str]:
    """A router before servers, with its defaults but for the policy, which is to keep sessions."""
    port = free_port()
    command = [str(ROUTER), "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    command += ["--policy", "consistent_hash", "--worker-urls", *urls]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            with suppress(openai.OpenAIError), VLLM(url, max_retries=0, timeout=5) as client:
                if client.server.health():
                    break
            assert time.monotonic() < deadline, "the router does not answer"
            assert process.poll() is None, "the router has ended"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def chat(stack: ExitStack, chat_url: str, twin_url: str) -> VLLM:
    if not hasattr(stack, "router"):
        stack.router = stack.enter_context(routed(chat_url, twin_url))  # type: ignore[attr-defined]
    return VLLM(stack.router, max_retries=0)  # type: ignore[attr-defined]


CHAT_OPERATIONS: dict[str, Callable[[VLLM], object]] = {
    "chat": lambda c: c.chat.completions.create(messages=MESSAGES).choices[0].message.content == "hello",
    "chat, streamed": lambda c: (
        streamed(c.chat.completions.create(messages=MESSAGES, stream=True)) == "hello"
    ),
    "Responses": lambda c: c.responses.create(input="Say: hello").output_text == "hello",
    "Responses, native": lambda c: (
        c.with_options(responses_api="native").responses.create(input="Say: hello").output_text == "hello"
    ),
    "completions": lambda c: c.completions.create(prompt="Say: hello", max_tokens=4).choices[0].text,
    "completions, streamed": lambda c: len(
        list(c.completions.create(prompt="Say: hello", max_tokens=4, stream=True))
    ),
    "tokenize": lambda c: c.tokenize(prompt="hello").tokens,
    "detokenize": lambda c: c.detokenize(tokens=c.tokenize(prompt="hello").tokens).prompt,
    "models": lambda c: [model.id for model in c.models.list().data] == ["tiny-chat"],
    "health": lambda c: c.server.health(),
    "metrics": lambda c: "vllm" in c.server.metrics(),
}


def streamed(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("operation", CHAT_OPERATIONS.values(), ids=CHAT_OPERATIONS)
def test_operations_of_a_model_that_generates(chat: VLLM, operation: Callable[[VLLM], object]) -> None:
    assert operation(chat)


def test_operations_of_an_embedding_model(embed_url: str) -> None:
    with routed(embed_url) as url, VLLM(url, max_retries=0) as client:
        assert len(client.embeddings.create(input=["a", "b"]).data[0].embedding) == 384
        assert client.rerank.create(query="a", documents=["b", "a"]).results[0].index == 1  # on /v2/rerank
        assert client.score.create(text_1="a", text_2="a").data[0].score > 0.9
        assert client.pooling.create(input="a").data
        with pytest.raises(openai.NotFoundError):
            client.classify.create(input="a")


def test_operations_of_a_reranker(rerank_url: str) -> None:
    with routed(rerank_url) as url, VLLM(url, max_retries=0) as client:
        assert len(client.rerank.create(query="hello", documents=["hello", "x"]).results) == 2
        assert len(client.score.create(text_1="hello", text_2=["hello", "x"]).data) == 2


def test_speech_is_what_it_cannot_forward(chat: VLLM) -> None:
    """It takes a form for broken JSON, whatever stands behind it, and is told from the server."""
    with pytest.raises(openai.BadRequestError, match="Invalid JSON body"):
        chat.audio.transcriptions.create(file=("a.wav", tone(300)))
    assert [server.state for server in chat.servers()] == ["healthy"]


def requests_of(url: str) -> float:
    """How many requests a server has answered."""
    with VLLM(url) as client:
        found = re.findall(r"^vllm:request_success_total\{.*\} ([\d.e+]+)$", client.server.metrics(), re.M)
    return sum(map(float, found))


def test_sessions_are_kept_by_the_routers_own_header(chat: VLLM, chat_url: str, twin_url: str) -> None:
    used = set()
    for session in range(12):
        before = [requests_of(url) for url in (chat_url, twin_url)]
        for turn in range(4):
            chat.chat.completions.create(
                messages=[{"role": "user", "content": f"Say: {turn}"}], session_id=f"session-{session}"
            )
        counts = [requests_of(url) - was for url, was in zip((chat_url, twin_url), before, strict=True)]
        assert sorted(counts) == [0, 4]
        used.add(counts.index(4))
    assert used == {0, 1}


def test_a_servers_own_errors_come_through(chat: VLLM) -> None:
    with pytest.raises(openai.NotFoundError, match="`nope` does not exist"):
        chat.chat.completions.create(model="nope", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="temperature must be non-negative"):
        chat.chat.completions.create(messages=MESSAGES, temperature=-3)
    assert [server.state for server in chat.servers()] == ["healthy"]


def test_its_faults_are_told_from_the_servers() -> None:
    """A server's dead engine, a router that reaches no server, one that is gone: a spare is asked."""
    with SimServer() as beyond, SimServer() as spare:
        with routed(beyond.url) as url:
            keys = [Key(name="router", url=url), Key(name="spare", url=spare.url, weight=0)]

            def reason() -> str:
                """What the spare server was asked for."""
                client = VLLM(keys=keys, max_retries=0)
                assert client.chat.completions.create(messages=MESSAGES).choices
                return client.servers()[0].reason

            assert reason() == ""
            beyond.fail_always(
                Fault("status", path="*", code=500, message="EngineCore encountered an issue.")
            )
            assert reason() == "500, its engine is dead"
            beyond.clear_faults()
            beyond.fail_next("cut", where="between", after=2)
            with pytest.raises(IncompleteStreamError):
                list(VLLM(keys=keys).chat.completions.create(messages=MESSAGES, stream=True))
            beyond.stop()
            assert re.match("500, its router reaches no server|503 ", reason())
        assert "refused" in reason()
