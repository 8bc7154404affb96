"""The exceptions.

    openai.OpenAIError
      x VLLMError                             operation, key_name, server_url
          + ConfigError                       before any request: bad keys or configuration
          |   · MissingURLError
          |   · NoKeyError
          + UnsupportedOperationError         before any request: vLLM has no such operation
          + APIConnectionError                = openai.APIConnectionError
          |   · APITimeoutError               = openai.APITimeoutError
          + IncompleteStreamError             = openai.APIError: a stream that ended before its end
          + InvalidResponseError              = openai.APIResponseValidationError: neither answer nor error
          + APIStatusError                    = openai.APIStatusError
              · BadRequestError (400)         = openai.BadRequestError
              |   · ContextLengthError        the prompt is longer than the model's context
              · AuthenticationError (401)     … and so on: every status class of the SDK
              · PermissionDeniedError (403)
              · NotFoundError (404)
              · ConflictError (409)
              · UnprocessableEntityError (422)
              · RateLimitError (429)
              · InternalServerError (5xx)

`=` means that the class is also a subclass of that class of the SDK, so code written for the
OpenAI client catches it unchanged; `except VLLMError` catches everything that this client raises.
"""

from __future__ import annotations

from copy import copy

import openai

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ContextLengthError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidResponseError",
    "MissingURLError",
    "NoKeyError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "UnprocessableEntityError",
    "UnsupportedOperationError",
    "VLLMError",
]


class VLLMError(openai.OpenAIError):
    """Whatever this client raises.

    Attributes:
        operation: what was asked, e.g. ``"chat.completions.create"``; None outside an operation.
        key_name: name of the `Key` in use, None before one was chosen.
        server_url: root URL of the server in use (credentials removed), None before one was chosen.
    """

    operation: str | None = None
    key_name: str | None = None
    server_url: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle, so that a pool of processes can hand an error over; `__init__` is not repeated.

        Of the request its method and URL go along, neither headers, which hold the key, nor body.
        """
        state = dict(vars(self))
        if request := state.get("request"):
            state["request"] = request = type(request)(request.method, request.url)
        if response := state.get("response"):
            state["response"] = response = copy(response)
            response.request = request
        return type(self).__new__, (type(self), *self.args), state


class ConfigError(VLLMError):
    """Keys or configuration that cannot work; raised before any request."""


class MissingURLError(ConfigError):
    """The key that was chosen has no URL (Bifrost: ``vllm_key_config.url`` is mandatory)."""


class NoKeyError(ConfigError):
    """No key may serve the model; the message says of each key why not."""


class UnsupportedOperationError(VLLMError):
    """An operation, or a part of one, that the server cannot do; no request was sent.

    Args:
        operation: what was asked, e.g. ``"images.generate"``.
        reason: why not, and what to do instead.
        provider: who cannot do it.
    """

    code = "unsupported_operation"

    def __init__(self, operation: str, reason: str | None = None, *, provider: str = "vllm") -> None:
        message = f"{operation} is not supported by {provider}"
        super().__init__(f"{message}: {reason}" if reason else message)
        self.operation = operation
        self.reason = reason
        self.provider = provider


class APIConnectionError(VLLMError, openai.APIConnectionError):
    """The server could not be reached, or the connection broke before the reply."""


class APITimeoutError(APIConnectionError, openai.APITimeoutError):
    """No reply, or no further part of one, within the timeout."""


class IncompleteStreamError(VLLMError, openai.APIError):
    """A stream that ended without saying that it was complete; what came before was handed over."""


class InvalidResponseError(VLLMError, openai.APIResponseValidationError):
    """A reply that is neither a valid answer nor a known error."""


class APIStatusError(VLLMError, openai.APIStatusError):
    """The server answered with an error, as HTTP status or inside an HTTP 200.

    Attributes:
        status_code: the status; for an error inside an HTTP 200, the payload's own code.
        http_status: the status that was really on the wire.
        body: the error object of the payload, the whole payload, or the text.
    """

    http_status: int


class BadRequestError(APIStatusError, openai.BadRequestError):
    """400."""


class ContextLengthError(BadRequestError):
    """The prompt (plus requested output) is longer than the model's context.

    vLLM says so with a plain 400; it is recognised by its text.
    """


class AuthenticationError(APIStatusError, openai.AuthenticationError):
    """401."""


class PermissionDeniedError(APIStatusError, openai.PermissionDeniedError):
    """403."""


class NotFoundError(APIStatusError, openai.NotFoundError):
    """404: no such model, or no such route on this server."""


class ConflictError(APIStatusError, openai.ConflictError):
    """409."""


class UnprocessableEntityError(APIStatusError, openai.UnprocessableEntityError):
    """422."""


class RateLimitError(APIStatusError, openai.RateLimitError):
    """429: vLLM itself never sends it, gateways in front of it do."""


class InternalServerError(APIStatusError, openai.InternalServerError):
    """500 and above."""
