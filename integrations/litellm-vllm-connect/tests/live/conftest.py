"""The addresses of real vLLM servers; without servers this folder is skipped.

They are named in VLLM_LIVE_CHAT_URL, VLLM_LIVE_EMBED_URL and VLLM_LIVE_RERANK_URL, as the repository's
`make live` does. With VLLM_LIVE_REQUIRED=1 a missing server is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIRED = os.environ.get("VLLM_LIVE_REQUIRED") == "1"


def find_url(name: str) -> str:
    url = os.environ.get(f"VLLM_LIVE_{name.upper()}_URL")
    if not url:
        (pytest.fail if REQUIRED else pytest.skip)(f"no live vLLM server for {name}: run `make live`")
    return url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def url_of() -> Callable[[str], str]:
    return find_url
