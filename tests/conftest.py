"""What every test may use: a client of either kind, and the servers that `tests/servers.py` finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import settings
from tests.both import Both

pytest_plugins = ["tests.servers"]

# How long an example takes says more about the machine than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients."""
    return str(request.param)


@pytest.fixture
async def make_client(kind: str) -> AsyncIterator[Callable[..., Both]]:
    """Makes clients of the kind under test, and closes them in the end."""
    clients: list[Both] = []

    def make(*args: Any, **kwargs: Any) -> Both:
        clients.append(Both(kind, *args, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture(autouse=True)
def _no_openai_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that must never show up anywhere."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-must-never-be-sent")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://must.never.be.asked.invalid/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: sk-must-never-be-sent")
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
