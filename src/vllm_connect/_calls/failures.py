"""Failures of a call, as the exceptions that say where: operation, key and server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import openai

from .._wire.payloads import ErrorPayload
from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ContextLengthError,
    IncompleteStreamError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
    VLLMError,
)
from .capabilities import is_missing_route, missing_route

if TYPE_CHECKING:
    from .._transport._httpx import httpx

_STATUS_CLASSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

# What vLLM 0.6 to 0.33, SGLang and routers say of a prompt that is too long.
_CONTEXT_LENGTH = re.compile(
    r"maximum context length|context length is only|exceeds model's maximum|"
    r"longer than the (?:maximum model|model's context) length|greater than the context length|"
    r"cannot be greater than max_model_len|exceeds the max_model_len|too long to fit into the model|"
    r"max_tokens must be at least 1, got -\d+\.?$",
    re.IGNORECASE,
)
_WINDOW = re.compile(r"(?:context length (?:is |of )?(?:only )?|max_model_len=)(\d+)", re.IGNORECASE)
_OUTPUT = re.compile(
    r"(\d+) (?:in|tokens for) the completion|requested (\d+) output tokens|"
    r"is too large: (\d+)|max_tokens=(\d+)"
)


def is_too_long(error: ErrorPayload) -> bool:
    """Tell whether a refusal means too long a prompt, and not that `max_tokens` leaves no room for any."""
    body = error.body
    if isinstance(body, dict) and "context_length_exceeded" in (body.get("code"), body.get("type")):
        return True
    if not _CONTEXT_LENGTH.search(error.message):
        return False
    window, output = _WINDOW.search(error.message), _OUTPUT.search(error.message)
    if window is None or output is None:
        return True
    return int(next(filter(None, output.groups()))) < int(window[1])


class Where(NamedTuple):
    """The place of a failure, as `VLLMError` has it."""

    operation: str
    key_name: str | None = None
    server_url: str | None = None

    def __str__(self) -> str:
        key = self.key_name and f"key {self.key_name!r}"
        return ", ".join(part for part in (self.operation, key, self.server_url) if part)


def status_error(
    error: ErrorPayload,
    response: httpx.Response,
    where: Where,
    *,
    status: int | None = None,
    http_status: int | None = None,
    explanation: str | None = None,
) -> APIStatusError:
    """The exception for an error payload.

    Args:
        error: the payload.
        response: the reply that held it.
        where: the place.
        status: the status that it stands for, which decides the class. Default: the payload's own, else 500.
        http_status: the status on the wire (200 for an error inside a success). Default: the reply's.
        explanation: what explains it, if that is known.
    """
    status = status or error.status or 500
    http_status = http_status or response.status_code
    cls = _STATUS_CLASSES.get(status, InternalServerError if status >= 500 else APIStatusError)
    if status in (400, 413, 422) and is_too_long(error):
        cls = ContextLengthError
    text = f"Error code: {status} - {error.message}"
    if http_status < 400:
        text += f" (sent as HTTP {http_status})"
    elif status == 404 and is_missing_route(status, error) and explanation is None:
        explanation = missing_route(where.operation)
    if explanation is not None:
        text += f" ({explanation})"
    raised = cls(f"{text} [{where}]", response=response, body=error.body)
    raised.status_code = status
    raised.http_status = http_status
    if raised.code is not None:
        raised.code = str(raised.code)  # as it is declared; openai 2.x leaves vLLM's number
    return _located(raised, where)


def connection_error(cause: openai.APIConnectionError, where: Where) -> APIConnectionError:
    """The exception for a connection error of the SDK."""
    if isinstance(cause, openai.APITimeoutError):
        raised: APIConnectionError = APITimeoutError(request=cause.request)
        message = "Request timed out."
    else:
        raised = APIConnectionError(request=cause.request)
        reason = cause.__cause__
        why = str(reason) or type(reason).__name__
        message = f"Connection error: {why}." if reason else "Connection error."
    raised.message = f"{message} [{where}]"
    raised.args = (raised.message,)
    return _located(raised, where)


def timeout_error(request: httpx.Request, where: Where, cause: Exception) -> APIConnectionError:
    """The exception for a reply, or a part of one, that did not come in time."""
    timeout = openai.APITimeoutError(request=request)
    timeout.__cause__ = cause
    return connection_error(timeout, where)


def bad_redirect(request: httpx.Request, where: Where, cause: Exception) -> APIConnectionError:
    """The exception for a redirect to what is no URL, of which there is no reply; see `is_bad_location`."""
    url = str(request.url.copy_with(userinfo=b"", query=None))
    message = f"{request.method} {url} is redirected to what is no URL: {cause} [{where}]"
    return _located(APIConnectionError(message=message, request=request), where)


def invalid_response(response: httpx.Response, where: Where, problem: str) -> InvalidResponseError:
    """The exception for a success that is no answer to the call."""
    content_type = response.headers.get("content-type", "no content type")
    message = (
        f"The reply is no answer to {where.operation}: {problem} ({content_type}, from {where.server_url})"
    )
    return _located(InvalidResponseError(response, None, message=message), where)


def incomplete_stream(request: httpx.Request, where: Where, problem: str) -> IncompleteStreamError:
    """The exception for a stream that ended too early."""
    place = f"[{where.operation} at {where.server_url}]"
    message = f"The stream ended before it was complete: {problem} {place}"
    return _located(IncompleteStreamError(message, request, body=None), where)


E = TypeVar("E", bound=VLLMError)


def _located(error: E, where: Where) -> E:
    error.operation, error.key_name, error.server_url = where
    return error
