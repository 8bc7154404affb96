"""/v1/messages: passed on to a server that has it, for Anthropic's own SDK."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.conftest import Running, Serve

MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "llama", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "Hello"}],
    "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
ASKED: Any = {"model": "vllm/llama", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


class Server:
    """A server that has /v1/messages, as vLLM does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.breaks = ""
        self._ready = threading.Event()
        threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:]}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        path = head[0].split()[1]
        self.asked.append((path, headers, body))
        status, content_type, content = "200 OK", "application/json", json.dumps(MESSAGE)
        if path.endswith("count_tokens"):
            content = '{"input_tokens": 3}'
        elif self.breaks == "refused":
            status = "400 Bad Request"
            content = '{"type":"error","error":{"type":"invalid_request_error","message":"no such tool"}}'
        elif body.get("stream"):
            events = EVENTS[:3] if self.breaks else EVENTS
            content = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
            content_type = "text/event-stream"
            if self.breaks == "error":
                error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
                content += f"event: error\ndata: {json.dumps(error)}\n\n"
        length = len(content.encode())
        writer.write(f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n".encode())
        writer.write(f"content-length: {length}\r\n\r\n{content}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def gateway(serve: Serve, server: Server) -> Running:
    return serve(config={"keys": [{"name": "a", "vllm_key_config": {"url": server.url}}]})


@pytest.fixture
def client(gateway: Running) -> Iterator[Any]:
    anthropic = pytest.importorskip(
        "anthropic", reason="Anthropic's SDK brings httpx2, which the lowest environment does without"
    )
    with anthropic.Anthropic(base_url=gateway.url, api_key="sk-of-the-client", max_retries=0) as client:
        yield client


def test_a_message(client: Any, server: Server) -> None:
    message = client.messages.create(**ASKED)
    assert message.content[0].text == "Hello"
    path, headers, body = server.asked[0]
    assert path == "/v1/messages"
    assert body["model"] == "llama"
    assert headers["anthropic-version"]
    assert "sk-of-the-client" not in str(headers)


def test_a_stream(client: Any) -> None:
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream) == "Hello"
        assert stream.get_final_message().stop_reason == "end_turn"


def test_counting(client: Any, server: Server) -> None:
    assert client.messages.count_tokens(model="llama", messages=ASKED["messages"]).input_tokens == 3
    assert server.asked[0][0] == "/v1/messages/count_tokens"


def test_a_refusal(client: Any, server: Server) -> None:
    import anthropic

    server.breaks = "refused"
    with pytest.raises(anthropic.BadRequestError, match="no such tool"):
        client.messages.create(**ASKED)


@pytest.mark.parametrize("how", ["error", "end"])
def test_a_broken_stream(gateway: Running, server: Server, how: str) -> None:
    server.breaks = how
    lines = gateway.events("/v1/messages", {**ASKED, "stream": True})
    assert lines[-2] == "event: error"
    error = json.loads(lines[-1].removeprefix("data: "))
    assert error["type"] == "error"
    assert error["error"]["message"]


@pytest.mark.parametrize("how", ["error", "end"])
def test_the_sdk_raises_for_a_broken_stream(client: Any, server: Server, how: str) -> None:
    import anthropic

    server.breaks = how
    stream = client.messages.create(**ASKED, stream=True)
    with pytest.raises(anthropic.APIError):
        list(stream)


def test_another_key_is_asked(serve: Serve, server: Server) -> None:
    keys = [
        {"name": "dead", "weight": 100, "vllm_key_config": {"url": "http://127.0.0.1:9"}},
        {"name": "alive", "vllm_key_config": {"url": server.url}},
    ]
    gateway = serve(config={"keys": keys})
    for _ in range(3):
        assert gateway.post("/v1/messages", ASKED).headers["x-vllm-connect-key"] == "alive"


def test_what_is_missing_is_told_in_anthropics_form(gateway: Running, server: Server) -> None:
    reply = gateway.post("/v1/messages", {"model": "llama", "max_tokens": 5})
    assert reply.status_code == 400
    assert reply.json()["type"] == "error"
    assert "messages" in reply.json()["error"]["message"]
    assert not server.asked


def test_what_no_type_knows_is_passed_on(gateway: Running, server: Server) -> None:
    asked = {**ASKED, "of_tomorrow": {"a": [1]}, "vllm_xargs": {"b": 2}}
    lines = gateway.events("/v1/messages", {**asked, "stream": True})
    assert lines == [
        line for each in EVENTS for line in (f"event: {each['type']}", f"data: {json.dumps(each)}")
    ]
    assert gateway.post("/v1/messages", asked).text == json.dumps(MESSAGE)
    for _, _, body in server.asked:
        assert {name: body[name] for name in asked if name != "model"} == {
            name: value for name, value in asked.items() if name != "model"
        }
