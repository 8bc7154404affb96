"""The simulator itself, asked over plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

CHAT = "/v1/chat/completions"
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}


class Caller:
    """Asks one server; a stream comes back as the payloads of its events."""

    def __init__(self, sim: SimServer) -> None:
        self.sim = sim
        self.http = httpx.Client(base_url=sim.url, timeout=20, verify=False)  # no certificates to load

    def post(self, path: str, fault: str | None = None, **body: Any) -> httpx.Response:
        headers = {"X-Sim-Fault": fault} if fault else {}
        return self.http.post(path, json=body, headers=headers)

    def json(self, path: str, **body: Any) -> Any:
        reply = self.post(path, **body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def error(self, path: str, status: int = 400, **body: Any) -> Any:
        reply = self.post(path, **body)
        assert reply.status_code == status, reply.text
        return reply.json()["error"]

    def events(self, path: str, fault: str | None = None, **body: Any) -> list[Any]:
        reply = self.post(path, fault, stream=True, **body)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        return payloads(reply.text)

    def chat(self, content: str, **body: Any) -> Any:
        return self.json(CHAT, messages=said(content), **body)["choices"][0]

    def chat_events(self, content: str, fault: str | None = None, **body: Any) -> list[Any]:
        return self.events(CHAT, fault, messages=said(content), **body)


def said(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def payloads(text: str) -> list[Any]:
    """The payloads of events; `[DONE]` stays what it is."""
    found = []
    for line in text.splitlines():
        if line.startswith("data:"):
            data = line[5:].strip()
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


def tool(name: str = "get_weather", strict: bool = False, **properties: Any) -> dict[str, Any]:
    properties = properties or {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}}
    schema = {"type": "object", "properties": properties, "required": [next(iter(properties))]}
    function = {"name": name, "description": "A tool.", "parameters": schema}
    return {"type": "function", "function": {**function, **({"strict": True} if strict else {})}}


@pytest.fixture
def ask(vllm_sim: SimServer) -> Iterator[Caller]:
    """The shared simulator with default options."""
    caller = Caller(vllm_sim)
    yield caller
    caller.http.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Caller]]:
    """Makes simulators with options of their own."""
    callers: list[Caller] = []

    def make(**options: Any) -> Caller:
        callers.append(Caller(SimServer(**options).start()))
        return callers[-1]

    yield make
    for caller in callers:
        caller.http.close()
        caller.sim.stop()
