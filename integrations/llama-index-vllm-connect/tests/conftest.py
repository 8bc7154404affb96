"""One test body for the sync and the async methods, and servers to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from pydantic import PrivateAttr

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect.sim import SimServer


class Asker:
    """Calls a method, or its async twin, whose name begins with an `a`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def __call__(self, owner: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.kind == "sync":
            return getattr(owner, method)(*args, **kwargs)
        return await getattr(owner, f"a{method}")(*args, **kwargs)

    async def stream(self, owner: Any, method: str, *args: Any, seen: Any = None, **kwargs: Any) -> list[Any]:
        """Collects a stream, in `seen` if something came before an error."""
        seen = [] if seen is None else seen
        stream = await self(owner, method, *args, **kwargs)
        if self.kind == "sync":
            for item in stream:
                seen.append(item)
        else:
            async for item in stream:
                seen.append(item)
        return seen


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Asker:
    return Asker(request.param)


@pytest.fixture
def llm(vllm_sim: SimServer) -> VLLM:
    return VLLM(base_url=vllm_sim.url)


@pytest.fixture
def embedding(vllm_sim: SimServer) -> VLLMEmbedding:
    return VLLMEmbedding(base_url=vllm_sim.url)


@pytest.fixture
def reranker(vllm_sim: SimServer) -> VLLMRerank:
    return VLLMRerank(base_url=vllm_sim.url, top_n=2)


@pytest.fixture
def sent(vllm_sim: SimServer) -> Callable[..., list[Any]]:
    """The bodies of the requests for a path, oldest first."""

    def bodies(path: str = "/v1/chat/completions") -> list[Any]:
        return [request.json for request in vllm_sim.requests if request.path == path]

    return bodies


class Events(BaseEventHandler):
    """Remembers what the dispatcher tells."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    @property
    def seen(self) -> list[Any]:
        return self._seen

    def handle(self, event: Any, **kwargs: Any) -> None:
        self._seen.append(event)

    def names(self, part: str) -> list[str]:
        return [event.class_name() for event in self._seen if part in event.class_name()]


@pytest.fixture
def events() -> Iterator[Events]:
    dispatcher = get_dispatcher()
    handler = Events()
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Secrets that must never show up anywhere, and settings that no test leaves to the next."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-must-never-be-sent")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://must.never.be.asked.invalid/v1")
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield
    Settings._llm = Settings._embed_model = None
    Settings._callback_manager = None
    import llama_index.core

    llama_index.core.global_tokenizer = None
