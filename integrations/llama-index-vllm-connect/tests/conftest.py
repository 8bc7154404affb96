"""One test body for the sync and the async methods, and servers to ask."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import llama_index.core
import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from pydantic import PrivateAttr

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect.adapters import clients
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

    async def pieces(self, response: Any) -> list[str]:
        """The pieces of a streamed answer of a query or chat engine."""
        if self.kind == "sync":
            return list(response.response_gen)
        return [piece async for piece in response.async_response_gen()]

    async def leave_early(self, stream: Any) -> None:
        """Takes one item of a stream and closes it."""
        if self.kind == "sync":
            next(stream)
            stream.close()
        else:
            await anext(stream)
            await stream.aclose()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Asker:
    return Asker(request.param)


async def run_agent(agent: Any, message: str, **kwargs: Any) -> tuple[Any, list[Any]]:
    """What an agent answers, and the events on the way."""
    handler = agent.run(message, **kwargs)
    events = [event async for event in handler.stream_events()]
    return await handler, events


@pytest.fixture
def run() -> Callable[..., Any]:
    return run_agent


class Crowd:
    """Counts how many calls of a method are going on together."""

    def __init__(self) -> None:
        self.running = self.most = 0

    def watch(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(**params: Any) -> Any:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.01)
            try:
                return await method(**params)
            finally:
                self.running -= 1

        return watched


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


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


@pytest.fixture
def canned() -> Iterator[Callable[[Any], str]]:
    """Makes a server that answers everything with the same JSON, and tells its URL.

    The answer may also be a function of the request; a list is sent as a stream of events.
    """
    with ExitStack() as stack:

        def serve(reply: Any) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_POST(self) -> None:
                    request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                    answer = reply(request) if callable(reply) else reply
                    kind, body = "application/json", json.dumps(answer).encode()
                    if isinstance(answer, list):
                        events = [f"data: {json.dumps(event)}\n\n" for event in answer]
                        kind, body = "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode()
                    self.send_response(200)
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *args: Any) -> None:
                    pass  # pytest's output is no place for an access log

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
            )
            thread.start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


@pytest.fixture
def ending(canned: Callable[[Any], str]) -> Callable[..., VLLM]:
    """Makes an LLM whose every answer, streamed or not, is the same message with the same end."""

    def make(message: dict[str, Any], finish_reason: str | None = "stop", **fields: Any) -> VLLM:
        stop_reason = fields.pop("stop_reason", None)
        end = {"finish_reason": finish_reason, "stop_reason": stop_reason}
        calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls") or ())]
        told = {"id": "c", "created": 1, "model": "m"}

        def chunk(delta: dict[str, Any], **end: Any) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": None, **end}
            return {**told, "object": "chat.completion.chunk", "choices": [choice]}

        def answer(body: Any) -> Any:
            if body.get("stream"):
                delta = {**message, "tool_calls": calls} if calls else message
                return [chunk({"role": "assistant", "content": ""}), chunk(delta), chunk({}, **end)]
            choice = {"index": 0, "message": {"role": "assistant", **message}, **end}
            return {**told, "object": "chat.completion", "choices": [choice]}

        return VLLM(base_url=canned(answer), model="m", context_window=4096, **fields)

    return make


class Scripted:
    """Makes servers that call `delete_files` with a text as arguments, and say "Done." to its result.

    Attributes:
        requests: The bodies of the requests, oldest first.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.requests: list[Any] = []
        self._stack = stack

    def __call__(self, said: str | list[Any], finish_reason: str | None) -> str:
        """Starts a server.

        Args:
            said: The arguments, or the deltas of a stream in place of that call.
            finish_reason: Of the answer with the call.
        """
        requests = self.requests
        call = {"index": 0, "id": "t1", "type": "function"}
        call["function"] = {"name": "delete_files", "arguments": said}
        deltas = said if isinstance(said, list) else [{"role": "assistant", "tool_calls": [call]}]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                requests.append(request)
                done = any(message["role"] == "tool" for message in request["messages"])
                answer = [{"role": "assistant", "content": "Done."}] if done else deltas
                reason = "stop" if done else finish_reason
                base = {"id": "c", "created": 1, "model": "m", "object": "chat.completion"}
                if request.get("stream"):
                    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in answer]
                    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
                    chunks = [
                        {**base, "object": "chat.completion.chunk", "choices": [one]} for one in choices
                    ]
                    lines = [*map(json.dumps, chunks), "[DONE]"]
                    body, kind = "".join(f"data: {line}\n\n" for line in lines), "text/event-stream"
                else:
                    choice = {"index": 0, "message": answer[0], "finish_reason": reason}
                    body = json.dumps({**base, "choices": [choice]})
                    kind = "application/json"
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args: Any) -> None:
                pass  # pytest's output is no place for an access log

        server = self._stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self._stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with ExitStack() as stack:
        yield Scripted(stack)


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
async def _closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Clients whose connections do not outlive the test: one that is forgotten open is a ResourceWarning."""
    made: list[Any] = []
    make = clients._make

    def noted(*arguments: Any) -> Any:
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(clients, "_make", noted)
    yield
    for client in made:
        closed = client.close()
        if closed is not None:
            await closed


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Secrets that must never show up anywhere, and settings that no test leaves to the next."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-must-never-be-sent")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://must.never.be.asked.invalid/v1")
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield
    for field in dataclasses.fields(Settings):
        setattr(Settings, field.name, None)
    llama_index.core.global_tokenizer = None
