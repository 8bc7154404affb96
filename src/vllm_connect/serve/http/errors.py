"""Every failure as a status and OpenAI's error object.

    {"error": {"message", "type", "param", "code"}}          everywhere
    {"type": "error", "error": {"type", "message", …}}       on /v1/messages, whose clients look for that

The message is the server's own. Which server it came from goes into a header and the log, not into the
message: who asks the gateway need not know what stands behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import openai
import orjson

from ..._wire.payloads import find_error
from ...errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ConfigError,
    ContextLengthError,
    IncompleteStreamError,
    InvalidResponseError,
    NoKeyError,
    UnsupportedOperationError,
    VLLMError,
)

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    421: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    501: "unsupported_operation",
    503: "overloaded_error",
    504: "timeout_error",
}
# What the client puts around a server's message.
_DECORATION = re.compile(r"^Error code: \d+ - (.*?)(?: \(sent as HTTP \d+\))?(?: \[[^\]]*\])?$", re.DOTALL)
_PLACE = re.compile(r" ?\[[^\[\]]* at [^\[\]]*\]$")


class Refusal(Exception):
    """A failure, ready to be sent.

    Args:
        status: of the reply.
        message: what a person reads.
        type: OpenAI's word for the kind; by default the status's.
        code: a word for programs.
        param: the parameter that is wrong.
        retry_after: what the server said about another attempt.
        key_name: the key whose server answered.
        close: whether the connection is of no further use.
        headers: of the reply, besides.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: str = "",
        key_name: str | None = None,
        close: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type or _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.key_name = key_name
        self.close = close
        self.more_headers = headers

    @property
    def error(self) -> dict[str, str | None]:
        """OpenAI's error object."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def body(self, *, typed: bool = False) -> bytes:
        """The payload.

        Args:
            typed: in Anthropic's form, which OpenAI's clients can read, too.
        """
        error: dict[str, object] = {"error": self.error}
        return orjson.dumps({"type": "error", **error} if typed else error)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the reply."""
        headers = [*self.more_headers]
        if self.retry_after:
            headers.append((b"retry-after", self.retry_after.encode("latin-1", "ignore")))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers


def refusal_of(error: Exception, operation: str) -> Refusal | None:
    """The failure that an exception of the client stands for; None for a bug of ours.

    Args:
        error: the exception.
        operation: what was asked: complaints about arguments begin with it.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, (TypeError, ValueError)) and operation and str(error).startswith(operation):
        return Refusal(400, str(error))
    refusal = _refusal(error)
    if refusal is not None and isinstance(error, VLLMError):
        refusal.key_name = error.key_name
    return refusal


def _refusal(error: Exception) -> Refusal | None:
    if isinstance(error, APIStatusError):
        return _of_status(error)
    if isinstance(error, NoKeyError):
        return Refusal(404, str(error), code="model_not_found", param="model")
    if isinstance(error, ConfigError):
        return Refusal(500, str(error), type="config_error", code="misconfigured")
    if isinstance(error, UnsupportedOperationError):
        return Refusal(501, str(error), code="unsupported_operation")
    if isinstance(error, IncompleteStreamError):
        return Refusal(502, _PLACE.sub("", str(error)), type="server_error", code="incomplete_stream")
    if isinstance(error, APITimeoutError):
        return Refusal(504, "the server did not answer in time", code="upstream_timeout")
    if isinstance(error, APIConnectionError):
        return Refusal(
            502, "the server cannot be reached, or broke the connection", code="upstream_unreachable"
        )
    if isinstance(error, InvalidResponseError):
        return Refusal(
            502, re.sub(r" \([^()]*, from [^()]*\)$", "", str(error)), code="invalid_upstream_reply"
        )
    if isinstance(error, openai.APIError):
        return Refusal(502, str(error))
    return None


def _of_status(error: APIStatusError) -> Refusal:
    status = error.status_code
    body = error.body
    inner: Mapping[str, object] = body if isinstance(body, Mapping) else {}
    if status in (401, 403):  # the gateway's own credentials, of which its client knows nothing
        message = "the server refuses the credentials that the gateway has for it"
        return Refusal(502, message, code="upstream_credentials_refused")
    code, kind, param = inner.get("code"), inner.get("type"), inner.get("param")
    if isinstance(error, ContextLengthError):
        code, kind = "context_length_exceeded", "invalid_request_error"
    if not isinstance(code, str) or code.isdecimal():
        code = "model_not_found" if status == 404 and param == "model" else None
    return Refusal(
        status,
        _message_of(error),
        type=kind if isinstance(kind, str) and kind.endswith("_error") else None,
        code=code,
        param=param if isinstance(param, str) else None,
        retry_after=error.response.headers.get("retry-after", ""),
    )


def _message_of(error: APIStatusError) -> str:
    found = find_error(error.body) or find_error({"error": error.body})
    if found is not None and found.shape == "detail" and error.status_code == 404:
        return f"{found.message}: the server has no such route, its model or version does not serve this"
    if found is not None:
        return found.message
    match = _DECORATION.match(error.message)
    return match[1] if match else error.message
