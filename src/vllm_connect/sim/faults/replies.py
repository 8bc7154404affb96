"""Faults that put another answer in place of the right one."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.errors import error_body
from .fault import Fault, declare

SHAPES = ("nested", "flat", "string", "detail", "anthropic", "null", "code_only")

_MESSAGES = {
    400: "The request is not valid.",
    401: "Unauthorized",
    403: "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them.",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "The request took too long to arrive.",
    413: "The request is too large.",
    422: "Expected 'file' to be a file-like object, not 'str'.",
    429: "The server is saturated.",
    500: "EngineCore encountered an issue. See stack trace (above) for the root cause.",
    501: "The model does not support this API",
    502: "Bad Gateway",
    503: "The model is currently scaling. Please try again later.",
    504: "Gateway Timeout",
}
# In what shape an answer with this status usually comes, where it is not vLLM's own.
_USUAL = {401: "string", 404: "detail", 405: "detail", 502: "html", 504: "html"}

_FORMS = (*SHAPES, "html", "text", "empty")

for _code in _MESSAGES:
    declare(str(_code), shape=(_USUAL.get(_code, "nested"), *_FORMS), message="", retry_after="")
declare("status", code=503, shape=_FORMS, message="", retry_after="")
declare("error_200", code=503, shape=SHAPES, message="")
declare("html", status=502)
declare("empty", status=200)
declare("text", status=200, text="upstream connect error or disconnect/reset before headers")
declare("redirect", status=307, location="")
declare("vllm_router")


def reply_instead(fault: Fault, request: Request) -> Response | None:
    """The answer that a fault puts in place of the right one; `None` if it is not that kind of fault."""
    name = fault.name
    if name.isdigit():
        return _failed(int(name), fault["shape"], fault["message"], fault["retry_after"])
    if name == "status":
        return _failed(fault["code"], fault["shape"], fault["message"], fault["retry_after"])
    if name == "error_200":
        payload = payload_of(fault["shape"], fault["code"], fault["message"])
        return _json(payload, 200)
    if name == "html":
        return _html(fault["status"])
    if name == "empty":
        return Response(status_code=fault["status"])
    if name == "text":
        return Response(fault["text"], fault["status"], media_type="text/plain")
    if name == "redirect" and "redirected" not in request.query_params:
        again = request.url.include_query_params(redirected=1)
        return Response(status_code=fault["status"], headers={"location": fault["location"] or str(again)})
    return _router(request) if name == "vllm_router" else None


def payload_of(shape: str, code: int, message: str = "") -> Any:
    """An error payload.

    Args:
        shape: one of `SHAPES`.
        code: the code inside.
        message: the message inside, by default a usual one for the code.
    """
    message = message or _MESSAGES.get(code, "Something went wrong.")
    if shape in ("nested", "flat"):
        return error_body(shape, code, message)
    others: dict[str, Any] = {
        "string": {"error": message},
        "detail": {"detail": message},
        "anthropic": {"type": "error", "error": {"type": "internal_error", "message": message}},
        "null": None,
        "code_only": {"code": code, "object": "error"},
    }
    return others[shape]


def _failed(code: int, shape: str, message: str, retry_after: str) -> Response:
    if shape == "html":
        reply = _html(code)
    elif shape == "text":
        reply = Response(message or _MESSAGES.get(code, ""), code, media_type="text/plain")
    elif shape == "empty":
        reply = Response(status_code=code)
    else:
        reply = _json(payload_of(shape, code, message), code)
    if retry_after:
        reply.headers["retry-after"] = retry_after
    return reply


def _json(payload: Any, status: int) -> Response:
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def _html(status: int) -> Response:
    title = f"{status} {_MESSAGES.get(status, 'Error')}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return Response(
        page + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", status, media_type="text/html"
    )


def _router(request: Request) -> Response | None:
    """The answers of vllm-router 0.1.17 where it does not simply pass a request on."""
    path = request.url.path
    if path == "/v1/rerank":
        return _json(error_body("nested", 404, "The model `default` does not exist."), 404)
    if path == "/rerank":
        return Response("Failed to build rerank response", 500, media_type="text/plain")
    if path in ("/version", "/load"):
        return _json({"detail": "Method Not Allowed"}, 405)
    if path == "/health":
        return Response("All servers healthy", media_type="text/plain")
    return None
