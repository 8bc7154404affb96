"""For all tests: no secrets or settings of the environment, and no downloads."""

from __future__ import annotations

import os

import pytest
from langchain_tests.integration_tests import chat_models as suite

from tests.media import download


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "VLLM_BASE", "VLLM_API", "LANGSMITH_", "LANGCHAIN_", "LC_OUTPUT")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite.httpx, "get", download)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none, since nothing is downloaded")
