"""Error payloads: recognised among answers, and read for what they say.

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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import orjson

from .decoding import loads

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
    "request_too_large": 413,
    "api_error": 500,
}
# Codes that are words: OpenAI's, which routers and gateways use.
_STATUS_OF_CODE = {
    "context_length_exceeded": 400,
    "invalid_request": 400,
    "invalid_value": 400,
    "invalid_api_key": 401,
    "unauthorized": 401,
    "permission_denied": 403,
    "forbidden": 403,
    "model_not_found": 404,
    "not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "internal_server_error": 500,
    "server_error": 500,
    "bad_gateway": 502,
    "overloaded": 503,
    "server_overloaded": 503,
    "service_unavailable": 503,
    "gateway_timeout": 504,
    "timeout": 504,
}


_EMPTY = "empty reply"


@dataclass(frozen=True)
class ErrorPayload:
    """An error payload, read, whatever its shape.

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
    def is_empty(self) -> bool:
        """Tell whether there was nothing to read."""
        return self.shape == "text" and self.message == _EMPTY

    @property
    def weight(self) -> int:
        """The amount it says: a typed message more than a bare phrase, that more than a page."""
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
            inner = _inner(error)
            if inner is not None:
                return inner
            shape = "typed" if payload.get("type") == "error" else "nested"
            return _payload(_message(error) or _message(payload), error, shape, error, payload)
        return _payload(str(error), error, "string", payload)
    if payload.get("object") == "error" or payload.get("type") == "error":
        return _payload(_message(payload), payload, "flat", payload)
    if "detail" in payload and len(payload) == 1:
        inner = find_error(payload["detail"])
        if inner is not None:
            return inner
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


def _inner(error: Mapping[str, object]) -> ErrorPayload | None:
    """The error of a server behind a gateway that put it into one of its own, as it is or as JSON text."""
    inner: object = error
    message = error.get("message")
    if isinstance(message, dict):
        inner = message if "error" in message else {"error": message}
    elif isinstance(message, str) and message.lstrip().startswith("{"):
        try:
            inner = orjson.loads(message)
        except orjson.JSONDecodeError:
            return None
    elif not isinstance(error.get("error"), dict):
        return None
    found = find_error(inner)
    if found is not None and found.status is None and (status := _status(error)) is not None:
        return replace(found, status=status)
    return found


def read_error(content: bytes) -> ErrorPayload:
    """Read the body of a reply that is known to be an error; never fails.

    Args:
        content: the whole body, of any type.
    """
    text = content.decode("utf-8", "replace").strip()
    try:
        payload = loads(content)
    except ValueError:
        return ErrorPayload(_summary(text), None, text or None, "text")
    if (found := find_error(payload)) is not None:
        return found
    # Something else that came with an error status, e.g. FastAPI's detail beside other fields.
    if isinstance(payload, dict):
        message = _detail(payload["detail"]) if "detail" in payload else _message(payload)
        return _payload(message or _summary(text), payload, "detail", payload)
    return ErrorPayload(_summary(text), None, payload, "text")


def _payload(message: str, body: object, shape: str, *sources: Mapping[str, object]) -> ErrorPayload:
    status = next((s for source in sources if (s := _status(source)) is not None), None)
    if status is None:  # {"error": "Unauthorized"}, {"detail": "Not Found"}: the phrase is the status
        status = _STATUS_OF_TYPE.get(message.lower().strip(" ."))
    return ErrorPayload(
        message or (f"error code {status}" if status else "error without a message"), status, body, shape
    )


def _status(source: Mapping[str, object]) -> int | None:
    for name in ("code", "status", "status_code"):
        code = source.get(name)
        if isinstance(code, str):
            word = code.lower().replace("-", "_")
            code = int(code) if len(code) == 3 and code.isdecimal() else _STATUS_OF_CODE.get(word)
        if isinstance(code, int) and 400 <= code <= 599:
            return code
    kind = str(source.get("type")).lower()
    return _STATUS_OF_TYPE.get(kind) or _STATUS_OF_CODE.get(kind)


def _message(source: Mapping[str, object]) -> str:
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
        return _EMPTY
    if text[:1] == "<":
        title = re.search(r"<(title|h1)[^>]*>(.*?)</\1>", text, re.IGNORECASE | re.DOTALL)
        return f"HTML reply: {' '.join(title[2].split()) if title else ' '.join(text[:80].split())}"
    return text if len(text) <= 500 else f"{text[:500]}…"
