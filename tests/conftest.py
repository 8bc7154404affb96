"""One test body for both clients."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import settings

from vllm_connect import VLLM, AsyncVLLM

# How long an example takes says more about the machine than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


class Both:
    """A sync or an async client, driven the same way.

    `await client("chat.completions.create", …)` calls a method; `await client.stream(…)` collects a
    stream into `client.seen`, where what arrived before an error stays visible.
    """

    def __init__(self, kind: str, *args: Any, from_config: Any = None, **kwargs: Any) -> None:
        self.kind = kind
        cls: Any = VLLM if kind == "sync" else AsyncVLLM
        self.client: Any = cls.from_config(from_config, **kwargs) if from_config else cls(*args, **kwargs)
        self.seen: list[Any] = []

    async def __call__(self, operation: str, /, **params: Any) -> Any:
        result = attrgetter(operation)(self.client)(**params)
        return await result if inspect.isawaitable(result) else result

    async def stream(self, operation: str, /, **params: Any) -> list[Any]:
        self.seen = []
        stream = await self(operation, stream=True, **params)
        if self.kind == "sync":
            for item in stream:
                self.seen.append(item)
        else:
            async for item in stream:
                self.seen.append(item)
        return self.seen

    async def close(self) -> None:
        result = self.client.close()
        if inspect.isawaitable(result):
            await result


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients."""
    return str(request.param)


@pytest.fixture
async def make_client(kind: str) -> AsyncIterator[Callable[..., Both]]:
    """Makes clients of the kind under test, and closes them in the end."""
    made: list[Both] = []

    def make(*args: Any, **kwargs: Any) -> Both:
        made.append(Both(kind, *args, **kwargs))
        return made[-1]

    yield make
    for client in made:
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
