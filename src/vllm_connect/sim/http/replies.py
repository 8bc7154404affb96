"""Responses (JSON, server-sent events, errors), and JSON bodies of requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .errors import DetailError, SimError, error_body, malformed
from .options import Options

DONE = b"data: [DONE]\n\n"
_BREATHE = 16
_HUGE = re.compile(rb"[0-9]{19}")


class Json(JSONResponse):
    """A JSON answer, written by orjson."""

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


class Parts(Response):
    """An answer in parts, each sent as it comes: raw bytes, or with `EventStream`, events."""

    media_type = "application/octet-stream"

    def __init__(self, parts: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self.parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class EventStream(Parts):
    """Server-sent events."""

    media_type = "text/event-stream"


def event(payload: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(payload) + b"\n\n"


def error_event(error: SimError, shape: str) -> bytes:
    """The event with which a stream ends badly."""
    payload = error_body(shape, error.status, error.message, error.type, error.param)
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


async def paced(parts: Iterable[bytes], delay: float = 0) -> AsyncIterator[bytes]:
    """Hand parts over one by one, waiting before each."""
    for count, each in enumerate(parts):
        if delay:
            await asyncio.sleep(delay)
        elif count % _BREATHE == 0:
            await asyncio.sleep(0)
        yield each


def refuse(error: SimError, options: Options) -> Response:
    """The answer to a request that is refused."""
    body = error_body(options.error_shape, error.status, error.message, error.type, error.param)
    return Json(body, status_code=error.status)


async def read_json(request: Request) -> Any:
    """The JSON body of a request.

    Raises:
        SimError: a 400, in vLLM's words.
        DetailError: a 400 in FastAPI's words.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise SimError(
            400,
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
            type="Bad Request",
        )
    body = await request.body()
    most = request.app.state.options.max_body_size
    if most is not None and len(body) > most:
        message = "Failed to buffer the request body: length limit exceeded"
        raise SimError(400, message, type="Bad Request")
    if not body:
        raise malformed([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    if not _HUGE.search(body):  # orjson makes a float of a huge integer
        with contextlib.suppress(ValueError):
            return orjson.loads(body)
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise malformed(
            [
                {
                    "type": "json_invalid",
                    "loc": ("body", error.pos),
                    "msg": "JSON decode error",
                    "input": {},
                    "ctx": {"error": error.msg},
                }
            ]
        ) from None
    except ValueError:
        raise DetailError(400, "There was an error parsing the body") from None


def new_id() -> str:
    """Sixteen hexadecimal digits."""
    return uuid.uuid4().hex[:16]


def request_id(request: Request, prefix: str, given: str = "") -> str:
    """The id of an answer: after the X-Request-Id header, else after the body, else new."""
    return f"{prefix}-{request.headers.get('x-request-id') or given or new_id()}"


def now() -> int:
    """The time as answers tell it."""
    return int(time.time())
