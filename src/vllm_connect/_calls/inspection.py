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

from .._wire.decoding import loads
from .._wire.payloads import ErrorPayload, find_error, read_error
from .._wire.sse import Event, SSESplitter, is_heartbeat, looks_like_events
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
    is_binary = response.headers.get("content-type", "").lower().startswith("application/octet-stream")
    if is_binary or not attempt.call.json_reply:
        # Any body is an answer here, but a small JSON object may still be an error.
        return _find(content) if content[:1] == b"{" and len(content) < _SMALL else None
    if len(content) >= _SMALL:
        return read_error(content) if _ERROR_HEAD.match(content) else None
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError:
        payload = _unusual(attempt, response)
    if payload is None:
        raise invalid_response(response, attempt.where, "null")
    return find_error(payload)


def _unusual(attempt: Attempt[object], response: httpx.Response) -> object:
    """Decode JSON that is not all by the book."""
    content = response.content
    try:
        return loads(content)
    except ValueError:
        raise invalid_response(response, attempt.where, read_error(content).message) from None


class Beginning:
    """The beginning of a stream of events, up to the first one; give it the raw body as it arrives.

    Args:
        rest: gives what comes after it, in the world of the http client.
        claimed: whether the reply calls itself a stream of events.

    Attributes:
        data: the body so far.
        events: the events that were complete with it.
        splitter: holds what comes after those.
        error: what the first event says, if it is an error.
        is_stream: whether this is a stream of events at all; None for a body without a byte.
    """

    def __init__(self, rest: Iterator[bytes] | AsyncIterator[bytes], *, claimed: bool) -> None:
        self.rest = rest
        self._claimed = claimed
        self.data: list[bytes] = []
        self.events: list[Event] = []
        self.splitter = SSESplitter()
        self.error: ErrorPayload | None = None
        self.is_stream: bool | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; tell whether the first event is complete, or cannot come."""
        self.data.append(data)
        if self.is_stream is None:
            self.is_stream = looks_like_events(b"".join(self.data), claimed=self._claimed)
        if self.is_stream is False:
            return True
        self.events += self.splitter.feed(data)
        first = next((event for event in self.events if not is_heartbeat(event)), None)
        if first is not None:
            self.error = _find(first.data)
        return first is not None

    def finish(self) -> bool:
        """Take the end of what is looked at; tell whether this is a stream of events."""
        return self._claimed if self.is_stream is None else self.is_stream


def can_be_looked_at(response: httpx.Response) -> bool:
    """Tell whether a body can be looked at as it comes: its bytes are neither compressed nor read."""
    return "content-encoding" not in response.headers and not response.is_stream_consumed


def holds_events(response: httpx.Response) -> bool:
    """Tell whether a body that was read already, by a mock or an event hook, is a stream of events."""
    return looks_like_events(response.content, claimed=is_event_stream(response)) is True


def error_in_first_event(content: bytes) -> ErrorPayload | None:
    """Return the error that a whole stream begins with, if it does."""
    first = next((event for event in SSESplitter().feed(content) if not is_heartbeat(event)), None)
    return None if first is None else _find(first.data)


def is_event_stream(response: httpx.Response) -> bool:
    """Tell whether the reply calls itself a stream of events."""
    return "event-stream" in response.headers.get("content-type", "").lower()


def is_opaque_stream(call: Call[object], response: httpx.Response) -> bool:
    """Tell whether a streamed reply is to be handed over unread: a compressed stream of events, or whatever
    the caller streams that is not JSON."""
    if is_event_stream(response):
        return True
    return call.read_event is None and "json" not in response.headers.get("content-type", "").lower()


def _find(data: bytes) -> ErrorPayload | None:
    # Answers name "error" rarely and chunks never: spare them the decoding.
    if b'"error"' not in data and b'"detail"' not in data and b'"message"' not in data:
        return None
    try:
        return find_error(orjson.loads(data))
    except orjson.JSONDecodeError:
        return None
