"""LiteLLM with our provider, one test body for its sync and its async functions, and no secrets."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks the network for prices

import litellm
import pytest

import litellm_vllm_connect
from litellm_vllm_connect import handler
from vllm_connect.adapters import clients
from vllm_connect.sim import SimServer

SAY = [{"role": "user", "content": "Say: hello there"}]


class Asker:
    """Calls a function, or its async twin, whose name begins with an `a`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def __call__(self, name: str, *, owner: Any = litellm, **arguments: Any) -> Any:
        if self.kind == "sync":
            return getattr(owner, name)(**arguments)
        return await getattr(owner, f"a{name}")(**arguments)

    async def stream(self, name: str = "completion", *, owner: Any = litellm, **arguments: Any) -> list[Any]:
        """Collects a stream."""
        stream = await self(name, owner=owner, stream=True, **arguments)
        if self.kind == "sync":
            return list(stream)
        return [chunk async for chunk in stream]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Asker:
    return Asker(request.param)


@pytest.fixture
def at(vllm_sim: SimServer) -> dict[str, Any]:
    """What every call names: the model and the server."""
    return {"model": "vllm-connect/sim-chat", "api_base": vllm_sim.url}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Secrets that must never be sent, and LiteLLM's globals as they were."""
    for name in ("OPENAI_API_KEY", "OPENAI_LIKE_API_KEY", "HOSTED_VLLM_API_KEY"):
        monkeypatch.setenv(name, "sk-must-never-be-sent")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://must.never.be.asked.invalid/v1")
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(litellm, "custom_provider_map", [])
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    litellm_vllm_connect.register()
    yield
    litellm.num_retries = None


@pytest.fixture(autouse=True)
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Any]]:
    """Clients whose connections do not outlive the test: one that is forgotten open is a ResourceWarning."""
    made: list[Any] = []
    make = clients._make

    def noted(*arguments: Any) -> Any:
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(clients, "_make", noted)
    yield made
    await handler.aclose()
    for client in made:
        if (closed := client.close()) is not None:
            await closed
