"""Is it an answer? A look at the beginning of every reply, before the SDK trusts its status.

vLLM and the routers in front of it put errors into HTTP 200: whole (vLLM up to 0.17, RunPod) or as the
first event of a stream (every version). Seen here, such a reply gets the status that its payload names,
and the SDK's own machinery retries or raises as if the server had said so itself.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import orjson

from .._wire.payloads import ErrorPayload, find_error, read_error
from .._wire.sse import Event, SSESplitter
from .attempt import Attempt
from .call import Call
from .failures import invalid_response

if TYPE_CHECKING:
    from .._transport._httpx import httpx

# An error is small, an answer may be megabytes: those are decoded once, by whoever reads the answer.
_SMALL = 65536
_ERROR_HEAD = re.compile(
    rb'\s*\{\s*"(?:error"\s*:\s*[{"]|object"\s*:\s*"error"|type"\s*:\s*"error"|detail"|message")'
)


def error_in_success(attempt: Attempt[object], response: httpx.Response) -> ErrorPayload | None:
    """Look for an error in a whole reply whose status says success.

    Args:
        attempt: the attempt it answers.
        response: a reply that was read.

    Raises:
        InvalidResponseError: JSON, or a stream, was due, and this is something else.
    """
    error = _error_in(attempt, response)
    if error is None and attempt.call.read_event is not None:
        raise invalid_response(response, attempt.where, "a stream of events was due")
    return error


def _error_in(attempt: Attempt[object], response: httpx.Response) -> ErrorPayload | None:
    content = response.content
    is_binary = response.headers.get("content-type", "").startswith("application/octet-stream")
    if is_binary or not attempt.call.json_reply:
        # Any body is an answer here, but a small JSON object may still be an error.
        return _find(content) if content[:1] == b"{" and len(content) < _SMALL else None
    if len(content) >= _SMALL:
        return read_error(content) if _ERROR_HEAD.match(content) else None
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise invalid_response(response, attempt.where, read_error(content).message) from None
    if payload is None:
        raise invalid_response(response, attempt.where, "null")
    return find_error(payload)


class Beginning:
    """The beginning of a stream of events, up to the first one; give it the raw body as it arrives.

    Args:
        rest: gives what comes after it, in the world of the http client.

    Attributes:
        data: the body so far.
        events: the events that were complete with it.
        splitter: holds what comes after those.
        error: what the first event says, if it is an error.
    """

    def __init__(self, rest: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        self.rest = rest
        self.data: list[bytes] = []
        self.events: list[Event] = []
        self.splitter = SSESplitter()
        self.error: ErrorPayload | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; tell whether the first event is complete."""
        self.data.append(data)
        self.events = self.splitter.feed(data)
        if self.events:
            self.error = _find(self.events[0].data)
        return bool(self.events)


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the body is a stream of events whose bytes can be looked at as they are."""
    headers = response.headers
    is_raw = "content-encoding" not in headers and not response.is_stream_consumed
    return is_raw and "text/event-stream" in headers.get("content-type", "")


def is_opaque_stream(call: Call[object], response: httpx.Response) -> bool:
    """Whether a streamed reply is to be handed over unread: a compressed stream of events, or whatever
    the caller streams that is not JSON."""
    content_type = response.headers.get("content-type", "")
    return "event-stream" in content_type or not (call.read_event is not None or "json" in content_type)


def _find(data: bytes) -> ErrorPayload | None:
    # Answers name "error" rarely and chunks never: spare them the decoding.
    if b'"error"' not in data and b'"detail"' not in data and b'"message"' not in data:
        return None
    try:
        return find_error(orjson.loads(data))
    except orjson.JSONDecodeError:
        return None
