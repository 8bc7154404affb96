"""The servers of tiny models, real or recorded, and a client of each.

`chat_url`, `embed_url`, `rerank_url`, `whisper_url`, `vision_url`, `strict_url` and `open_url` are addresses;
`chat`, `native` (the same server by its own /v1/responses), `embed`, `rerank`, `whisper`, `vision`, `strict`
(tiny-chat behind a template that insists on the order of messages, as "tiny-strict") and `open` (tiny-chat
with every route that vLLM has for it, as "tiny-open") are clients. A folder says with the fixture `servers`
which ones it means: `tests/operations` takes the option `--servers`, `tests/live` always wants the live ones.

`make live` names the live servers in VLLM_LIVE_*_URL; those that `make live-up` left running are found, too.
With VLLM_LIVE_REQUIRED=1 a missing server is an error, so that CI cannot skip in silence.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import openai
import pytest
from scripts.live.cache import read_state
from scripts.live.processes import healthy
from scripts.live.servers import SERVERS

#: Sent with every request; the servers do not ask for it, and no cassette may hold it.
API_KEY = "sk-must-not-be-recorded"
ABSENT = "no live vLLM server: run `make live`"
RECORDED, LIVE = "recorded", "live"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line choose who answers `tests/operations`."""
    parser.addoption(
        "--servers",
        choices=[RECORDED, LIVE],
        default=RECORDED,
        help="who answers tests/operations: the cassettes (default), or the servers of `make live`",
    )


@functools.cache
def find_servers() -> dict[str, str]:
    """Name to address, of the servers that the environment names or, failing that, of those that are up."""
    named = {name: os.environ.get(f"VLLM_LIVE_{name.upper()}_URL") for name in SERVERS}
    found = {name: url for name, url in named.items() if url}
    return found or {name: one["url"] for name, one in read_state().items() if healthy(one["url"])}


def mark_live(items: list[pytest.Item]) -> None:
    """Mark tests as live, and skip them when nothing is up."""
    required = os.environ.get("VLLM_LIVE_REQUIRED") == "1"
    if items and not find_servers() and required:
        raise pytest.UsageError(ABSENT)
    for item in items:
        item.add_marker(pytest.mark.live)
        if not find_servers():
            item.add_marker(pytest.mark.skip(reason=ABSENT))


def live_address(name: str) -> str:
    """Where a live server answers; without it the test fails or is skipped."""
    if name not in find_servers():
        required = os.environ.get("VLLM_LIVE_REQUIRED") == "1"
        (pytest.fail if required else pytest.skip)(f"{ABSENT} ({name} is not up)")
    return find_servers()[name]


def recorded_address(name: str) -> str:
    """The address that cassettes know a server by; nothing can ever answer there."""
    return f"http://{name}.invalid"


def is_recording(config: pytest.Config) -> bool:
    """Whether pytest-recording was told to write cassettes, for which the live servers answer."""
    return config.getoption("--record-mode") not in (None, "none")


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> str:
    """Who answers: `RECORDED` or `LIVE`."""
    return str(request.config.getoption("--servers"))


@pytest.fixture
def address(request: pytest.FixtureRequest, servers: str) -> Callable[[str], str]:
    """Server to address; routes follow it directly, as in f"{chat_url}/v1/models"."""
    return recorded_address if servers == RECORDED and not is_recording(request.config) else live_address


@pytest.fixture
def chat_url(address: Callable[[str], str]) -> str:
    return address("chat")


@pytest.fixture
def twin_url(address: Callable[[str], str]) -> str:
    return address("twin")


@pytest.fixture
def traced_url(address: Callable[[str], str]) -> str:
    return address("traced")


@pytest.fixture
def embed_url(address: Callable[[str], str]) -> str:
    return address("embed")


@pytest.fixture
def rerank_url(address: Callable[[str], str]) -> str:
    return address("rerank")


@pytest.fixture
def whisper_url(address: Callable[[str], str]) -> str:
    return address("whisper")


@pytest.fixture
def vision_url(address: Callable[[str], str]) -> str:
    return address("vision")


@pytest.fixture
def strict_url(address: Callable[[str], str]) -> str:
    return address("strict")


@pytest.fixture
def open_url(address: Callable[[str], str]) -> str:
    return address("open")


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


@pytest.fixture
def strict(connect: Any, strict_url: str) -> Any:
    return connect(strict_url)


@pytest.fixture
def open(connect: Any, open_url: str) -> Any:
    return connect(open_url)
