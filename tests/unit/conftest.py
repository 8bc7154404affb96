"""A server that answers what a test tells it to, without a network; for both majors of the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from vllm_connect._calls.attempt import ATTEMPT
from vllm_connect._transport._httpx import httpx

URL = "http://gpu:8000"


@pytest.fixture
def canned(make_client: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """Makes a client of a server that gives the replies of a list, the last one for ever.

    A reply is `(status, body)` or `(status, body, headers)`; an exception, which is raised; or a function
    that makes one of these of the request. A body that is neither bytes nor a list of bytes (the pieces in
    which it arrives; an exception among them breaks the connection) is sent as JSON. What was asked is in
    `client.requests`. There are no retries unless `max_retries` says so, and no waiting between them.

    What the client asks of its own accord, to explain an error, is no part of that: `about` has the replies
    by their paths, and what was asked is in `client.questions`.
    """

    def make(*replies: Any, about: Any = None, **arguments: Any) -> Any:
        requests: list[Any] = []
        questions: list[Any] = []

        def answer(request: Any) -> Any:
            if ATTEMPT not in request.extensions:
                questions.append(request)
                return response(*(about or {}).get(request.url.path, (404, {"detail": "Not Found"})))
            requests.append(request)
            reply = replies[min(len(requests), len(replies)) - 1]
            if callable(reply):
                reply = reply(request)
            if isinstance(reply, Exception):
                raise reply
            return response(*reply)

        client_class = httpx.Client if kind == "sync" else httpx.AsyncClient
        hooks = arguments.pop("event_hooks", None)
        http_client = client_class(transport=httpx.MockTransport(answer), event_hooks=hooks)
        where = () if "keys" in arguments else (arguments.pop("url", URL),)
        client = make_client(*where, **{"max_retries": 0, "http_client": http_client, **arguments})
        client.client._calculate_retry_timeout = lambda *args, **kwargs: 0.0
        client.requests, client.questions = requests, questions
        return client

    return make


def response(status: int, body: Any = b"", headers: Any = None) -> Any:
    """The reply, its body not yet read, as from a socket."""
    if not isinstance(body, bytes) and not _are_pieces(body):
        headers = {"content-type": "application/json", **(headers or {})}
        body = orjson.dumps(body)
    stream = Pieces(body) if isinstance(body, list) else httpx.ByteStream(body)
    return httpx.Response(status, headers=headers, stream=stream)


def _are_pieces(body: Any) -> bool:
    return isinstance(body, list) and bool(body) and all(isinstance(p, (bytes, Exception)) for p in body)


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in pieces."""

    def __init__(self, pieces: list[Any]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Any:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece
