"""The client's errors, each also the langchain-core error for the same condition.

    try:
        model.invoke("…")
    except ContextOverflowError: …          # langchain-core's, for every provider
    except vllm_connect.VLLMError: …        # the client's
    except openai.APIStatusError: …         # the SDK's

The client has retried by then; `is_retryable` tells middleware whether another attempt may help.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import vllm_connect
from langchain_core import exceptions as core


class VLLMContextOverflowError(vllm_connect.ContextLengthError, core.ContextOverflowError):
    """The prompt is longer than the model's context."""


class VLLMInvalidRequestError(vllm_connect.BadRequestError, core.ModelInvalidRequestError):
    """400."""


class VLLMUnprocessableError(vllm_connect.UnprocessableEntityError, core.ModelInvalidRequestError):
    """422."""


class VLLMConflictError(vllm_connect.ConflictError, core.ModelInvalidRequestError):
    """409."""


class VLLMAuthenticationError(vllm_connect.AuthenticationError, core.ModelAuthenticationError):
    """401."""


class VLLMPermissionDeniedError(vllm_connect.PermissionDeniedError, core.ModelPermissionDeniedError):
    """403."""


class VLLMNotFoundError(vllm_connect.NotFoundError, core.ModelNotFoundError):
    """404: no such model, or no such route on this server."""


class VLLMNoKeyError(vllm_connect.NoKeyError, core.ModelNotFoundError):
    """None of the keys may serve the model."""


class VLLMRateLimitError(vllm_connect.RateLimitError, core.ModelRateLimitError):
    """429."""


class VLLMServerError(vllm_connect.InternalServerError, core.ModelAPIError):
    """500 and above."""


class VLLMTimeoutError(vllm_connect.APITimeoutError, core.ModelTimeoutError):
    """No reply, or no further part of one, within the timeout."""


class VLLMConnectionError(vllm_connect.APIConnectionError, core.ModelConnectionError):
    """The server could not be reached."""


class VLLMIncompleteStreamError(vllm_connect.IncompleteStreamError, core.ModelAPIError):
    """A stream ended without saying that it was complete."""


class VLLMInvalidResponseError(vllm_connect.InvalidResponseError, core.ModelAPIError):
    """A reply that is neither an answer nor an error."""

    is_retryable = False


class StructuredOutputError(core.OutputParserException):
    """An answer that is not what `with_structured_output` was to give; `llm_output` is what it is."""


class InvalidToolCallsError(core.OutputParserException):
    """An agent's model that goes on calling tools with arguments that cannot be read."""


# The special before the general.
_CLASSES: tuple[tuple[type[vllm_connect.VLLMError], type[vllm_connect.VLLMError]], ...] = tuple(
    (made.__mro__[1], made)
    for made in (
        VLLMContextOverflowError,
        VLLMInvalidRequestError,
        VLLMUnprocessableError,
        VLLMConflictError,
        VLLMAuthenticationError,
        VLLMPermissionDeniedError,
        VLLMNotFoundError,
        VLLMNoKeyError,
        VLLMRateLimitError,
        VLLMServerError,
        VLLMTimeoutError,
        VLLMConnectionError,
        VLLMIncompleteStreamError,
        VLLMInvalidResponseError,
    )
)


def as_model_error(error: vllm_connect.VLLMError) -> vllm_connect.VLLMError:
    """The same error as one of the classes above; one that has no class there stays what it is."""
    if isinstance(error, core.ModelError):
        return error
    for base, made in _CLASSES:
        if isinstance(error, base):
            mapped = made.__new__(made)
            mapped.__dict__.update(error.__dict__)
            mapped.args = error.args
            mapped.__cause__ = error.__cause__
            return mapped
    return error


@contextmanager
def model_errors() -> Iterator[None]:
    """Raise the client's errors as langchain-core's."""
    try:
        yield
    except vllm_connect.VLLMError as error:
        mapped = as_model_error(error)
        if mapped is error:
            raise
        raise mapped.with_traceback(error.__traceback__) from error.__cause__
