"""The exceptions, and the one parser of error payloads.

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

Error payloads come in seven shapes (vLLM 0.8 to 0.32 and the routers in front of it):

    nested     {"error": {"message", "type", "param", "code": int}}      vLLM >= 0.10.1
    flat       {"object": "error", "message", "type", "param", "code"}   vLLM <= 0.10.0, llm-d's sidecar
    string     {"error": "Unauthorized"}                                 --api-key, production-stack
    detail     {"detail": "Not Found"}                                   FastAPI: no such route
    typed      {"type": "error", "error": {"type", "message"}}           /v1/messages
    message    {"message": …, "id": …}                                   Cohere's
    text       HTML, plain text or nothing at all                        proxies
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import openai
import orjson

if TYPE_CHECKING:
    from ._transport._httpx import httpx


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

    def __reduce__(self) -> tuple[Any, ...]:
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


_STATUS_CLASSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_CONTEXT_LENGTH = re.compile(
    r"maximum context length|exceeds model's maximum|longer than the maximum model length|"
    r"cannot be greater than max_model_len|greater than the context length|too long to fit into the model"
)

# Every `type` word seen in payloads that carry no usable code, and the HTTP phrases themselves.
_STATUS_OF_TYPE = {status.phrase.lower(): status.value for status in HTTPStatus if status >= 400} | {
    "badrequesterror": 400,
    "invalid_request_error": 400,
    "valueerror": 400,
    "authenticationerror": 401,
    "authentication_error": 401,
    "permissiondeniederror": 403,
    "permission_error": 403,
    "notfounderror": 404,
    "not_found_error": 404,
    "unprocessableentityerror": 422,
    "ratelimiterror": 429,
    "rate_limit_error": 429,
    "internalservererror": 500,
    "notimplementederror": 501,
    "badgateway": 502,
    "serviceunavailableerror": 503,
    "overloaded_error": 503,
}


@dataclass(frozen=True)
class ErrorPayload:
    """What an error payload says, whatever its shape.

    Attributes:
        message: what to tell a person; never empty.
        status: the HTTP status that the payload itself names, None if it names none.
        body: what `openai.APIError.body` shall be (its `code`, `param` and `type` come from it).
        shape: which of the seven shapes, see the module's docstring.
    """

    message: str
    status: int | None
    body: object
    shape: str

    @property
    def weight(self) -> int:
        """How much the payload says: a typed message more than a bare phrase, that more than a page."""
        return {"nested": 3, "flat": 3, "typed": 3, "message": 2, "string": 2, "detail": 1, "text": 0}[
            self.shape
        ]


def find_error(payload: object) -> ErrorPayload | None:
    """Recognise an error payload by its content alone, as an HTTP 200 may carry one.

    Args:
        payload: a decoded JSON value.

    Returns:
        What the error says, or None when the payload is no error.
    """
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if error and not isinstance(error, bool) and payload.get("object") != "response":
        if isinstance(error, dict):
            shape = "typed" if payload.get("type") == "error" else "nested"
            return _payload(_message(error) or _message(payload), error, shape, error, payload)
        return _payload(str(error), error, "string", payload)
    if payload.get("object") == "error" or payload.get("type") == "error":
        return _payload(_message(payload), payload, "flat", payload)
    if "detail" in payload and len(payload) == 1:
        return _payload(_detail(payload["detail"]), payload, "detail", payload)
    if isinstance(payload.get("message"), str) and payload.keys() <= {
        "message",
        "id",
        "code",
        "type",
        "param",
        "status",
    }:
        return _payload(payload["message"], payload, "message", payload)
    return None


def read_error(content: bytes) -> ErrorPayload:
    """Read the body of a reply that is known to be an error; never fails.

    Args:
        content: the whole body, of any type.
    """
    text = content.decode("utf-8", "replace").strip()
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ErrorPayload(_summary(text), None, text or None, "text")
    if (found := find_error(payload)) is not None:
        return found
    # Something else that came with an error status, e.g. FastAPI's detail beside other fields.
    if isinstance(payload, dict):
        message = _detail(payload["detail"]) if "detail" in payload else _message(payload)
        return _payload(message or _summary(text), payload, "detail", payload)
    return ErrorPayload(_summary(text), None, payload, "text")


Where = tuple[str | None, str | None, str | None]  # operation, key's name, server's URL


def make_status_error(
    error: ErrorPayload, response: httpx.Response, status: int, http_status: int, where: Where
) -> APIStatusError:
    """Make the exception for an error reply.

    Args:
        error: what its payload says.
        response: the reply.
        status: the status that it stands for; decides the class.
        http_status: the status that was on the wire (200 for an error inside a success).
        where: operation, key's name and server's URL.
    """
    cls = _STATUS_CLASSES.get(status, InternalServerError if status >= 500 else APIStatusError)
    if status == 400 and _CONTEXT_LENGTH.search(error.message):
        cls = ContextLengthError
    text = f"Error code: {status} - {error.message}"
    if http_status < 400:
        text += f" (sent as HTTP {http_status})"
    elif status == 404 and error.shape == "detail":  # an unknown model is said in another shape
        text += " (no such route: the server's model, or a router before it, does not serve this operation)"
    raised = cls(text + _describe(where), response=response, body=error.body)
    raised.status_code = status
    raised.http_status = http_status
    if raised.code is not None:
        raised.code = str(raised.code)  # as it is declared; openai 2.x leaves vLLM's number
    return locate(raised, where)


E = TypeVar("E", bound=VLLMError)


def locate(error: E, where: Where) -> E:
    """Tell an error where it happened, and return it."""
    error.operation, error.key_name, error.server_url = where
    return error


def connection_error(cause: openai.APIConnectionError, where: Where) -> APIConnectionError:
    """Say of a connection error of the SDK what was asked of whom."""
    if isinstance(cause, openai.APITimeoutError):
        raised: APIConnectionError = APITimeoutError(request=cause.request)
        message = "Request timed out."
    else:
        raised = APIConnectionError(request=cause.request)
        reason = cause.__cause__
        why = str(reason) or type(reason).__name__
        message = f"Connection error: {why}." if reason else "Connection error."
    raised.message = message + _describe(where)
    raised.args = (raised.message,)
    return locate(raised, where)


def _describe(where: Where) -> str:
    operation, key_name, server_url = where
    parts = [operation, key_name and f"key {key_name!r}", server_url]
    return f" [{', '.join(part for part in parts if part)}]" if any(parts) else ""


def _payload(message: str, body: object, shape: str, *sources: dict[str, Any]) -> ErrorPayload:
    status = next((s for source in sources if (s := _status(source)) is not None), None)
    if status is None:  # {"error": "Unauthorized"}, {"detail": "Not Found"}: the phrase is the status
        status = _STATUS_OF_TYPE.get(message.lower().strip(" ."))
    return ErrorPayload(
        message or (f"error code {status}" if status else "error without a message"), status, body, shape
    )


def _status(source: dict[str, Any]) -> int | None:
    for name in ("code", "status", "status_code"):
        code = source.get(name)
        if isinstance(code, str) and len(code) == 3 and code.isdecimal():
            code = int(code)
        if isinstance(code, int) and 400 <= code <= 599:
            return code
    return _STATUS_OF_TYPE.get(str(source.get("type")).lower())


def _message(source: dict[str, Any]) -> str:
    message = source.get("message")
    return message.strip() if isinstance(message, str) else ""


def _detail(detail: object) -> str:
    """FastAPI's detail: a phrase, or a list of {"loc", "msg", "type"}."""
    if isinstance(detail, list):
        return "; ".join(map(_complaint, detail))
    return str(detail)


def _complaint(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    return f"{'.'.join(map(str, loc)) if isinstance(loc, list) else loc}: {item.get('msg')}"


def _summary(text: str) -> str:
    """A person-sized account of a body that is not JSON."""
    if not text:
        return "empty reply"
    if text[:1] == "<":
        title = re.search(r"<(title|h1)[^>]*>(.*?)</\1>", text, re.IGNORECASE | re.DOTALL)
        return f"HTML reply: {' '.join(title[2].split()) if title else ' '.join(text[:80].split())}"
    return text if len(text) <= 500 else f"{text[:500]}…"
