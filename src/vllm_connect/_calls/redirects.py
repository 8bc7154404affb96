"""Redirects: followed on the server that was asked, and to no other.

Headers and prompt are the caller's, and may be secret: a server does not decide who else gets them. And a
POST that a redirect would turn into a GET, as 301, 302 and 303 do by custom, is not followed either: without
its body, it asks for something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._transport import unix
from .._transport._httpx import url_exceptions
from .._wire.payloads import ErrorPayload

if TYPE_CHECKING:
    from .._transport._httpx import httpx

MOST = 20
"""How many redirects in a row are followed."""

_HOPS = "vllm_connect.redirects"
_PORTS = {"http": 80, "https": 443}


def redirected(response: httpx.Response) -> httpx.Request | None:
    """The request that a reply redirects to; None if it is no redirect, or one that is not followed."""
    request = response.request
    hops: int = request.extensions.get(_HOPS, 0)
    target = _target(response)
    if target is None or not _is_same_server(request.url, target):
        return None
    if hops >= MOST or _turns_into_get(response):
        return None
    return type(request)(
        request.method,
        target,
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, _HOPS: hops + 1},
    )


def is_bad_location(cause: Exception) -> bool:
    """Tell whether an http client ended a request since it was redirected to what is no URL.

    The httpx of openai 2.x reads the address even where it is told to follow none, and the reply is lost.
    """
    return "Invalid URL in location header" in str(cause)


def refused_redirect(response: httpx.Response) -> ErrorPayload | None:
    """Return the error that a redirect is which was not followed; None if the reply is no redirect."""
    if not response.has_redirect_location:
        return None
    request, target = response.request, _target(response)
    if target is None:
        problem = "to what is no URL"
    elif not _is_same_server(request.url, target):
        problem = (
            f"to another server, {_public(target)}. Neither prompt nor headers are sent there; "
            "if that is where they belong, set the client's or key's URL accordingly"
        )
    elif _turns_into_get(response):
        problem = (
            f"to {_public(target)}, which turns the {request.method} into a GET without a body. "
            "Set the client's or key's URL to one that needs no redirect (is it https://, or has it a "
            "path prefix?), or have the server redirect with 307 or 308"
        )
    else:
        problem = f"to {_public(target)}, after {MOST} others"
    message = f"{request.method} {_public(request.url)} is redirected ({response.status_code}) {problem}"
    return ErrorPayload(message, response.status_code, None, "redirect")


def _target(response: httpx.Response) -> httpx.URL | None:
    if not response.has_redirect_location:
        return None
    url = response.request.url
    try:
        if url.scheme != unix.SCHEME:
            return url.join(response.headers["location"])
        target = unix.as_http(url).join(response.headers["location"])
    except url_exceptions():
        return None
    return unix.on_same_socket(url, target) if target.host == unix.HOST and target.port is None else target


def _turns_into_get(response: httpx.Response) -> bool:
    return response.status_code in (301, 302, 303) and response.request.method not in ("GET", "HEAD")


def _is_same_server(one: httpx.URL, other: httpx.URL) -> bool:
    if one.scheme == unix.SCHEME or other.scheme == unix.SCHEME:
        return one.scheme == other.scheme and unix.socket_path(one) == unix.socket_path(other)
    return not other.userinfo and _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme)


def _public(url: httpx.URL) -> str:
    """A URL without what may be secret."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))
