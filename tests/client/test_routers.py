"""What routers want of a client, and answer, as their documentation says: production-stack and llm-d.

The stand-in checks what they check and answers in their words; what `vllm-router` does is tested with itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES

from vllm_connect import Key
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
EVENTS = "".join(
    f"data: {json.dumps(event)}\n\n"
    for event in [
        {
            **REPLY,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": "hello"}}],
        },
        {
            **REPLY,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        },
    ]
)


class Router:
    """A router; `refusal` is what it answers with instead of a server's answer.

    llm-d answers each request with `x-session-token`, a name of the server that served it, and sends a
    request that has one to that server; a request without goes to the next server, and gets another token.
    """

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.refusal: tuple[int, dict[str, str], str] | None = None
        self.handed_out = 0
        self.url = ""

    @property
    def tokens(self) -> list[str | None]:
        return [headers.get("x-session-token") for headers in self.headers]

    def answer(self, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        self.headers.append(headers)
        if self.refusal is not None:
            return self.refusal
        token = headers.get("x-session-token")
        if token is None:
            self.handed_out += 1
            token = f"pod-{self.handed_out}"
        kind, text = (
            ("text/event-stream", EVENTS) if body.get("stream") else ("application/json", json.dumps(REPLY))
        )
        return 200, {"content-type": kind, "x-session-token": token}, text


@pytest.fixture
def router() -> Iterator[Router]:
    router = Router()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            sent = {name.lower(): value for name, value in self.headers.items()}
            status, headers, text = router.answer(sent, body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        router.url = f"http://127.0.0.1:{server.server_port}"
        yield router
        server.shutdown()


async def test_a_sessions_token_goes_back(make_client: Callable[..., Any], router: Router) -> None:
    client = make_client(router.url)
    await client(CHAT, model="m", messages=MESSAGES, session_id="one")
    await client(CHAT, model="m", messages=MESSAGES, session_id="two")
    await client(CHAT, model="m", messages=MESSAGES, session_id="one")
    await client.stream(CHAT, model="m", messages=MESSAGES, session_id="two")
    assert router.tokens == [None, None, "pod-1", "pod-2"]
    assert [headers["x-session-id"] for headers in router.headers] == ["one", "two", "one", "two"]


async def test_a_stream_begins_a_session_too(make_client: Callable[..., Any], router: Router) -> None:
    client = make_client(router.url)
    for _ in range(3):
        await client.stream(CHAT, model="m", messages=MESSAGES, session_id="one")
    assert router.tokens == [None, "pod-1", "pod-1"]


async def test_a_conversation_known_by_its_beginning(make_client: Callable[..., Any], router: Router) -> None:
    client = make_client(router.url, balance="sticky")
    for _ in range(3):
        await client(CHAT, model="m", messages=MESSAGES)
    await client(CHAT, model="m", messages=[{"role": "user", "content": "another"}])
    assert router.tokens == [None, "pod-1", "pod-1", None]


async def test_without_a_session_nothing_is_kept(make_client: Callable[..., Any], router: Router) -> None:
    client = make_client(router.url)
    for _ in range(3):
        await client(CHAT, model="m", messages=MESSAGES)
    assert router.tokens == [None] * 3


async def test_a_callers_own_token_is_sent(make_client: Callable[..., Any], router: Router) -> None:
    client = make_client(router.url)
    await client(CHAT, model="m", messages=MESSAGES, session_id="one")
    headers = {"X-Session-Token": "mine"}
    await client(CHAT, model="m", messages=MESSAGES, session_id="one", extra_headers=headers)
    assert router.tokens == [None, "mine"]


async def test_a_token_is_one_routers(make_client: Callable[..., Any], router: Router) -> None:
    """It means nothing to the server that takes over, and is not lost meanwhile."""
    with SimServer(models=["m"]) as spare:
        keys = [Key(name="router", url=router.url), Key(name="spare", url=spare.url, weight=0)]
        client = make_client(keys=keys)
        await client(CHAT, model="m", messages=MESSAGES, session_id="one")
        router.refusal = 503, {}, '{"error": "The model is currently scaling."}'
        await client(CHAT, model="m", messages=MESSAGES, session_id="one")
        (request,) = spare.requests
        assert "x-session-token" not in request.headers
        assert request.headers["x-session-id"] == "one"


def dropped(status: int, reason: str, code: str) -> Any:
    """What llm-d answers: plain text, and in a header why it dropped the request."""
    return status, {"x-llm-d-request-dropped-reason": reason}, f"inference error: {code} - was dropped"


def own(status: int, text: str) -> Any:
    """What production-stack answers: its own errors are strings."""
    return status, {}, json.dumps({"error": text})


REFUSALS = [
    (dropped(429, "rejected-saturated", "ResourceExhausted"), openai.RateLimitError, "was dropped", True),
    (dropped(503, "rejected-ttl-expired", "Unavailable"), openai.InternalServerError, "was dropped", True),
    ((400, {}, "inference error: BadRequest - no model"), openai.BadRequestError, "no model", False),
    (own(400, "Invalid request: missing 'model'"), openai.BadRequestError, "missing 'model'", False),
    (own(503, "The model is currently scaling."), openai.InternalServerError, "currently scaling", True),
    ((500, {}, "Internal Server Error"), openai.InternalServerError, "Internal Server Error", False),
]


@pytest.mark.parametrize(("refusal", "error", "told", "rests"), REFUSALS)
async def test_refusals_of_a_router(
    make_client: Callable[..., Any],
    router: Router,
    refusal: Any,
    error: type[Exception],
    told: str,
    rests: bool,
) -> None:
    router.refusal = refusal
    client = make_client(router.url, max_retries=0)
    with pytest.raises(error, match=told):
        await client(CHAT, model="m", messages=MESSAGES)
    (status,) = client.client.servers()
    assert status.state == ("resting" if rests else "healthy")


async def test_headers_that_routers_read_go_through(make_client: Callable[..., Any], router: Router) -> None:
    """production-stack's `--session-key`, and llm-d's objective and fairness, are names of the operator's."""
    own = {
        "x-user-id": "ann",
        "x-llm-d-inference-objective": "batch",
        "x-llm-d-inference-fairness-id": "tenant-1",
        "x-request-id": "mine",
    }
    await make_client(router.url)(CHAT, model="m", messages=MESSAGES, extra_headers=own)
    (headers,) = router.headers
    assert headers.items() >= own.items()
