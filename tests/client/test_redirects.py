"""Redirects are followed on the server that was asked, and what is the caller's goes to no other."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect._transport._httpx import httpx
from vllm_connect.errors import APIConnectionError, APIStatusError

Answer = tuple[int, dict[str, str]]
Route = Callable[[str], Answer | None]
"""How a request for a path is answered: with a status and headers, or, if None, as it should be."""

CHOICE = {"index": 0, "finish_reason": "stop"}
ABOUT = {"id": "c", "created": 1, "model": "m"}
REPLY = {
    **ABOUT,
    "object": "chat.completion",
    "choices": [{**CHOICE, "message": {"role": "assistant", "content": "x"}}],
}
CHUNK = {**ABOUT, "object": "chat.completion.chunk", "choices": [{**CHOICE, "delta": {"content": "x"}}]}
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "vllm"}]}


class Server(ThreadingHTTPServer):
    """A server that redirects; `seen` holds the requests, each with method, path, headers and body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.route: Route = lambda path: None
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, body))
        status, headers = self.server.route(self.path) or (200, {})
        data = b"" if headers else self.content(body)
        self.send_response(status)
        is_stream = data.startswith(b"data:")
        self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def content(self, body: bytes) -> bytes:
        if self.command == "GET":
            return json.dumps(MODELS).encode()
        if json.loads(body).get("stream"):
            return b"data: " + json.dumps(CHUNK).encode() + b"\n\ndata: [DONE]\n\n"
        return json.dumps(REPLY).encode()

    do_GET = do_POST = answer

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    pair = Server(), Server()
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in pair
    ]
    for thread in threads:
        thread.start()
    yield pair
    for server, thread in zip(pair, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["default client", "the caller's client"])
def ask(request: pytest.FixtureRequest, kind: str) -> Ask:
    """Makes a call of a client of either kind, with our http client or one that follows redirects itself."""
    is_own = request.param != "default client"

    def ask(url: str, operation: str = "chat") -> Any:
        options = {
            "api_key": "sk-key",
            "default_headers": {"X-Api-Key": "secret"},
            "max_retries": 0,
        }
        messages = [{"role": "user", "content": "prompt"}]

        def call(client: Any) -> Any:
            if operation == "models":
                return client.models.list()
            return client.chat.completions.create(messages=messages, model="m", stream=operation == "stream")

        async def run() -> Any:
            http_client = httpx.AsyncClient(follow_redirects=True) if is_own else None
            async with AsyncVLLM(url, http_client=http_client, **options) as client:
                answer = await call(client)
                return [chunk async for chunk in answer] if operation == "stream" else answer

        if kind == "async":
            return asyncio.run(run())
        with VLLM(
            url, http_client=httpx.Client(follow_redirects=True) if is_own else None, **options
        ) as client:
            answer = call(client)
            return list(answer) if operation == "stream" else answer

    return ask


@pytest.mark.parametrize("operation", ["chat", "stream", "models"])
@pytest.mark.parametrize("status", [307, 308])
def test_redirect_on_the_server_is_followed(
    servers: tuple[Server, Server], ask: Ask, operation: str, status: int
) -> None:
    server, _ = servers
    server.route = lambda path: None if path.startswith("/new") else (status, {"location": "/new" + path})
    assert ask(server.url, operation)
    (method, path, headers, body), (*again, same_headers, same_body) = server.seen
    assert again == [method, "/new" + path]
    assert same_body == body
    assert headers["authorization"] == same_headers["authorization"] == "Bearer sk-key"
    assert headers["x-api-key"] == same_headers["x-api-key"] == "secret"


@pytest.mark.parametrize("operation", ["chat", "stream", "models"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_goes_to_another_server(
    servers: tuple[Server, Server], ask: Ask, operation: str, status: int
) -> None:
    server, other = servers
    server.route = lambda path: (status, {"location": f"{other.url}{path}?token=secret"})
    with pytest.raises(APIStatusError) as caught:
        ask(server.url, operation)
    assert other.seen == []
    assert len(server.seen) == 1
    assert caught.value.status_code == status
    message = str(caught.value)
    assert f"to another server, {other.url}/v1/" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "location",
    ["http://user:secret@{host}/v1/", "https://{host}/v1/", "http://localhost:{port}/v1/", "//a.test/"],
)
def test_what_looks_alike_is_another_server(servers: tuple[Server, Server], ask: Ask, location: str) -> None:
    server, _ = servers
    target = location.format(host=f"127.0.0.1:{server.server_port}", port=server.server_port)
    server.route = lambda path: (307, {"location": target})
    with pytest.raises(APIStatusError, match="to another server") as caught:
        ask(server.url)
    assert "secret" not in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_post_does_not_become_a_get(servers: tuple[Server, Server], ask: Ask, status: int) -> None:
    server, _ = servers
    server.route = lambda path: None if path.startswith("/new") else (status, {"location": "/new" + path})
    with pytest.raises(APIStatusError) as caught:
        ask(server.url)
    assert len(server.seen) == 1
    path = "/v1/chat/completions"
    assert f"POST {server.url}{path} is redirected ({status}) to {server.url}/new{path}" in str(caught.value)
    assert "turns the POST into a GET without a body" in str(caught.value)


def test_circle_ends(servers: tuple[Server, Server], ask: Ask) -> None:
    server, _ = servers
    server.route = lambda path: (307, {"location": path})
    with pytest.raises(APIStatusError, match="after 20 others"):
        ask(server.url)
    assert len(server.seen) == 21


def test_location_that_is_no_url(servers: tuple[Server, Server], ask: Ask) -> None:
    server, _ = servers
    server.route = lambda path: (307, {"location": "http://[::1/"})
    # The httpx of openai 2.x refuses it before we see the reply, of which only the problem is left.
    with pytest.raises((APIStatusError, APIConnectionError), match=r"is redirected .*to what is no URL"):
        ask(server.url)
    assert len(server.seen) == 1


def test_location_that_is_no_url_says_nothing_of_health(servers: tuple[Server, Server]) -> None:
    server, other = servers
    server.route = other.route = lambda path: (307, {"location": "http://[::1/"})
    keys = [Key(name=name, url=one.url) for name, one in zip("ab", servers, strict=True)]
    message = {"role": "user", "content": "prompt"}
    with VLLM(keys=keys) as client:
        with pytest.raises((APIStatusError, APIConnectionError)):
            client.chat.completions.create(messages=[message], model="m")
        assert len(server.seen + other.seen) == 1  # neither again nor elsewhere
        assert [status.state for status in client.servers()] == ["healthy", "healthy"]
