"""Is it an answer? A look at the beginning of every reply, before the SDK trusts its status.

vLLM and the routers in front of it put errors into HTTP 200: whole (vLLM up to 0.17, RunPod) or as the
first event of a stream (every version). Seen here, such a reply gets the status that its payload names,
and the SDK's own machinery retries or raises as if the server had said so itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from .._wire.objects import ErrorInReply, NotAReply
from .._wire.payloads import ErrorPayload, find_error, read_error
from .._wire.sse import SSESplitter
from .call import Call
from .failures import invalid_response, status_error

T = TypeVar("T")

ERROR = "vllm_connect.error"
HTTP_STATUS = "vllm_connect.http_status"

# An error is small, an answer may be megabytes: those are decoded once, by whoever reads the answer.
_SMALL = 65536
_ERROR_HEAD = re.compile(
    rb'\s*\{\s*"(?:error"\s*:\s*[{"]|object"\s*:\s*"error"|type"\s*:\s*"error"|detail"|message")'
)


def error_in_success(call: Call, response: Any) -> ErrorPayload | None:
    """Look for an error in a whole reply whose status says success.

    Args:
        call: the call it answers.
        response: an `httpx.Response` that was read.

    Raises:
        InvalidResponseError: JSON was due, and this is something else.
    """
    content: bytes = response.content
    if not call.json_reply or response.headers.get("content-type", "").startswith("application/octet-stream"):
        # Any body is an answer here, but a small JSON object may still be an error.
        return _find(content) if content[:1] == b"{" and len(content) < _SMALL else None
    if len(content) >= _SMALL:
        return read_error(content) if _ERROR_HEAD.match(content) else None
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise invalid_response(response, call.where, read_error(content).message) from None
    if payload is None:
        raise invalid_response(response, call.where, "null")
    return find_error(payload)


class FirstEvent:
    """Waits for the first event of a stream; give it the raw body as it arrives."""

    def __init__(self) -> None:
        self._splitter = SSESplitter()
        self.error: ErrorPayload | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes.

        Returns:
            Whether the first event is complete; `error` then tells what it said, if it is an error.
        """
        events = self._splitter.feed(data)
        if events:
            self.error = _find(events[0].data)
        return bool(events)


def is_event_stream(response: Any) -> bool:
    """Whether the body is a stream of events whose bytes can be looked at as they are."""
    headers = response.headers
    is_raw = "content-encoding" not in headers and not response.is_stream_consumed
    return is_raw and "text/event-stream" in headers.get("content-type", "")


def mark(call: Call, response: Any, error: ErrorPayload) -> None:
    """Give a reply the status that the error in it names (500 if it names none)."""
    call.refusals = []  # it answers the variant that was understood
    response.extensions[ERROR] = error
    response.extensions[HTTP_STATUS] = response.status_code
    response.status_code = error.status or 500


def _find(data: bytes) -> ErrorPayload | None:
    # Answers name "error" rarely and chunks never: spare them the decoding.
    if b'"error"' not in data and b'"detail"' not in data and b'"message"' not in data:
        return None
    try:
        return find_error(orjson.loads(data))
    except orjson.JSONDecodeError:
        return None


def reading(call: Call, read: Callable[[bytes], T]) -> Callable[[Any], Any]:
    """What makes the result of a whole reply; runs after `error_in_success` let it pass.

    Args:
        call: the call; its last reply is meant.
        read: makes the result of the body.
    """

    def result(reply: Any) -> Any:
        content = reply if isinstance(reply, bytes) else getattr(reply, "content", None)
        if not isinstance(content, bytes):  # the caller chose a type: with_raw_response….parse(to=…)
            return reply
        try:
            return read(content)
        except ErrorInReply as found:
            raise status_error(found.error, call.response, call.where) from None
        except NotAReply as what:
            raise invalid_response(call.response, call.where, str(what)) from None

    return result
