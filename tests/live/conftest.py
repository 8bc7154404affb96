"""The addresses of the real vLLM servers; without servers this folder is skipped.

`make live` names the servers in VLLM_LIVE_*_URL; those that `make live-up` left running are found, too.
With VLLM_LIVE_REQUIRED=1 a missing server is an error, so that CI cannot skip in silence.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from scripts.live.cache import read_state
from scripts.live.processes import healthy
from scripts.live.servers import SERVERS
from tests.media import png_url, tone

HERE = Path(__file__).parent
REQUIRED = os.environ.get("VLLM_LIVE_REQUIRED") == "1"
ABSENT = "no live vLLM server: run `make live`"


@functools.cache
def find_servers() -> dict[str, str]:
    """Name to address, of the servers that the environment names or, failing that, of those that are up."""
    named = {name: os.environ.get(f"VLLM_LIVE_{name.upper()}_URL") for name in SERVERS}
    found = {name: url for name, url in named.items() if url}
    return found or {name: one["url"] for name, one in read_state().items() if healthy(one["url"])}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests as live, and skip them when nothing is up."""
    here = [item for item in items if HERE in item.path.parents]
    if here and not find_servers() and REQUIRED:
        raise pytest.UsageError(ABSENT)
    for item in here:
        item.add_marker(pytest.mark.live)
        if not find_servers():
            item.add_marker(pytest.mark.skip(reason=ABSENT))


def url_of(name: str):
    """A fixture: where the server answers; routes follow it directly, as in f"{chat_url}/v1/models"."""

    @pytest.fixture(scope="session")
    def url() -> str:
        if name not in find_servers():
            (pytest.fail if REQUIRED else pytest.skip)(f"{ABSENT} ({name} is not up)")
        return find_servers()[name]

    return url


chat_url = url_of("chat")
embed_url = url_of("embed")
rerank_url = url_of("rerank")
whisper_url = url_of("whisper")
vision_url = url_of("vision")


@pytest.fixture(scope="session")
def low_tone() -> bytes:
    return tone(300)


@pytest.fixture(scope="session")
def high_tone() -> bytes:
    return tone(1500)


@pytest.fixture(scope="session")
def silence() -> bytes:
    return tone(0)


@pytest.fixture(scope="session")
def long_tone() -> bytes:
    """Longer than the 30 seconds that whisper hears at once."""
    return tone(300, seconds=40)


@pytest.fixture(scope="session")
def red_image() -> str:
    return png_url((255, 0, 0))
