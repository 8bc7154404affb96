"""The client's errors as LiteLLM's own classes, which its retries, fallbacks and cooldowns go by.

    vllm-connect                                    LiteLLM
    ContextLengthError                              ContextWindowExceededError
    400, arguments that cannot be sent, keys that   BadRequestError
      cannot be used, no such operation
    401, 403, 404, 422, 429                         its class of that status
    no key for the model                            NotFoundError
    408, 504, a timeout                             Timeout
    500, 502, 503                                   InternalServer-, BadGateway-, ServiceUnavailableError
    no connection, or a broken one                  APIConnectionError
    an incomplete stream                            APIError (502)
    a reply that is no answer                       APIResponseValidationError

The client's error is the `__cause__`. A Router tries again, or elsewhere, after all but 400, 401, 403, 404.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from litellm import exceptions

import vllm_connect

PROVIDER = "vllm-connect"
"""What models are prefixed with."""

# Of a body that is made anew, and of a connection.
_UNTRUE_HEADERS = frozenset(
    {"content-type", "content-encoding", "content-length", "transfer-encoding", "connection"}
)

_STATUS_CLASSES = {
    400: exceptions.BadRequestError,
    401: exceptions.AuthenticationError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    408: exceptions.Timeout,
    422: exceptions.UnprocessableEntityError,
    429: exceptions.RateLimitError,
    500: exceptions.InternalServerError,
    502: exceptions.BadGatewayError,
    503: exceptions.ServiceUnavailableError,
    504: exceptions.Timeout,
}


def as_litellm_error(error: Exception, model: str) -> Exception:
    """The same error as one of LiteLLM's classes.

    Args:
        error: what the client raised, or what it said of arguments that cannot be sent.
        model: the requested name.
    """
    about = {"model": model, "llm_provider": PROVIDER, "message": str(error)}
    if isinstance(error, vllm_connect.APIStatusError):
        return _status_error(error, about)
    if isinstance(error, vllm_connect.APITimeoutError):
        return _exception(exceptions.Timeout, **about)
    if isinstance(error, vllm_connect.APIConnectionError):
        return _exception(exceptions.APIConnectionError, **about)
    if isinstance(error, vllm_connect.IncompleteStreamError):
        return _exception(exceptions.APIError, status_code=502, **about)
    if isinstance(error, vllm_connect.InvalidResponseError):
        return _exception(exceptions.APIResponseValidationError, **about)
    if isinstance(error, vllm_connect.NoKeyError):
        return _exception(exceptions.NotFoundError, **about)
    return _exception(exceptions.BadRequestError, **about)


def aborted(finish_reason: str, model: str) -> Exception:
    """The error for an answer that the server gave up; LiteLLM would call it whole."""
    message = f"The server ended the answer with finish_reason {finish_reason!r}: ask again"
    return _exception(
        exceptions.APIError, status_code=502, message=message, model=model, llm_provider=PROVIDER
    )


@contextmanager
def litellm_errors(model: str) -> Iterator[None]:
    """Raise the client's errors as LiteLLM's."""
    try:
        yield
    except vllm_connect.VLLMError as error:
        raise as_litellm_error(error, model) from error


@contextmanager
def call_errors(model: str) -> Iterator[None]:
    """Raise what a call raises as LiteLLM's errors; a TypeError or a ValueError says what cannot be sent."""
    try:
        with litellm_errors(model):
            yield
    except (TypeError, ValueError) as error:
        raise as_litellm_error(error, model) from error


def _status_error(error: vllm_connect.APIStatusError, about: dict[str, str]) -> Exception:
    status = error.status_code
    headers = [(k, v) for k, v in error.response.headers.multi_items() if k.lower() not in _UNTRUE_HEADERS]
    # LiteLLM reads httpx's responses. Of the request go neither headers, which hold the key, nor the body.
    request = httpx.Request(error.request.method, error.server_url or "http://server.invalid")
    response = httpx.Response(
        status, headers=headers, content=json.dumps(error.body).encode(), request=request
    )
    if isinstance(error, vllm_connect.ContextLengthError):
        return _exception(exceptions.ContextWindowExceededError, response=response, **about)
    cls = _STATUS_CLASSES.get(status)
    if cls is None:
        if status > 500:
            cls = exceptions.ServiceUnavailableError
        else:
            return _exception(exceptions.APIError, status_code=status, request=request, **about)
    if cls is exceptions.Timeout:
        return _exception(cls, exception_status_code=status, response=response, **about)
    return _exception(cls, response=response, **about)


def _exception(cls: type[Exception], **arguments: object) -> Exception:
    return cls(**arguments)
