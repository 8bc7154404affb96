"""The real servers, named by VLLM_LIVE_CHAT_URL and so on; without them this folder is skipped.

With VLLM_LIVE_REQUIRED=1 a missing server is an error.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.servers import live_url

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.live)
        if live_url("chat") is None:
            if os.environ.get("VLLM_LIVE_REQUIRED") == "1":
                raise pytest.UsageError("no live vLLM server: set VLLM_LIVE_CHAT_URL and the others")
            item.add_marker(pytest.mark.skip(reason="no live vLLM server: run `make live`"))
