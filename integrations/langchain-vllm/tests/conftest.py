"""Where the tests' server is: a simulator, or with VLLM_LIVE=1 the real ones that `make live-up` started."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "VLLM_BASE", "VLLM_API", "LANGSMITH_", "LANGCHAIN_", "LC_OUTPUT")):
            monkeypatch.delenv(name)
