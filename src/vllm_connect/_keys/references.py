"""References and URLs of settings: read from the environment, checked, and shown or saved without secrets.

A setting `"env.NAME"` is a reference: it stands for the environment variable NAME, and is no secret itself.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from .._transport._httpx import httpx

# Anything else would be refused, and quoted, by the HTTP library.
SENDABLE = re.compile(r"[\x20-\x7e]*")
HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
NOT_SENDABLE = "holds a line break or a character outside ASCII, which no HTTP header can carry"

# No "@" in the path: after an unescaped "/" in a password, the rest of the password would be there.
_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<userinfo>[^/?#]*)@)?"
    r"(?P<host>(?:\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?)"
    r"(?P<path>/[^?#@\\\s\x00-\x1f\x7f]*)?",
    re.IGNORECASE,
)
_UNIX_URL = re.compile(
    r"unix://(?:localhost)?(?P<socket>/[^?#@:\s\\\x00-\x1f\x7f]+)(?::(?P<path>/[^?#@\\\s]*)?)?"
)
_LACKS_SCHEME = re.compile(r"(?:localhost|[\w.-]+:\d+)(?:/[\w./-]*)?")
_REFERENCE = re.compile(r"env\.([^\s=]+)")
_ROUTE = re.compile(r"/v1/(?:chat/completions|completions|responses|embeddings|rerank|models)$")


def variable_of(value: str | None) -> str | None:
    """The NAME of a reference ``env.NAME``; None if the value is no reference."""
    match = _REFERENCE.fullmatch(value or "")
    return match[1] if match else None


def misses_variable(value: str) -> bool:
    """Tell whether a value begins like a reference, but no environment variable can have such a name."""
    return value.startswith("env.") and variable_of(value) is None


def public_secret(value: str | None) -> str | None:
    """A secret as it may be shown and saved: the reference that it is, or None."""
    return None if variable_of(value) is None else value


def read(value: str | None) -> tuple[str, str | None]:
    """Return the value that a field stands for, and the environment variable it came from, if any."""
    variable = variable_of(value)
    return ((value or "") if variable is None else os.environ.get(variable, "")).strip(), variable


@lru_cache(maxsize=1024)
def parse_url(url: str) -> tuple[str, str | None, str]:
    """The root of a URL, the credentials in it, and what is wrong with it (in words that are no secret)."""
    if url.startswith("unix:"):
        return _parse_unix_url(url)
    match = _URL.fullmatch(url)
    if match is None or not is_url(f"{match['scheme']}://{match['host']}"):
        if _LACKS_SCHEME.fullmatch(url):
            return "", None, f"has no scheme: did you mean http://{url}?"
        if not re.match("https?://", url, re.IGNORECASE):
            return (
                "",
                None,
                "must begin with http:// or https://, for example http://localhost:8000, "
                "or be that of a Unix socket, for example unix:///run/vllm.sock",
            )
        if "?" in url or "#" in url:
            return "", None, "must not have a query or a fragment: leave out '?' or '#' and what follows"
        return "", None, "is not of the form http://HOST:PORT/PATH (in a password, '@' is %40 and '/' is %2F)"
    root, problem = _root(f"{match['scheme']}://{match['host']}".lower(), match["path"] or "")
    return root, match["userinfo"] or None if root else None, problem


def is_url(url: str) -> bool:
    """Tell whether the HTTP library takes it: whether its host and port are such."""
    try:
        port = httpx.URL(url).port
    except (httpx.InvalidURL, ValueError):
        return False
    return port is None or 0 < port <= 65535


def _parse_unix_url(url: str) -> tuple[str, str | None, str]:
    match = _UNIX_URL.fullmatch(url)
    if match is None:
        return "", None, "is not of the form unix:///PATH/OF/SOCKET, or unix:///PATH/OF/SOCKET:/PREFIX"
    root, problem = _root(f"unix://localhost{match['socket']}:", match["path"] or "")
    return root, None, problem


def _root(server: str, path: str) -> tuple[str, str]:
    """The root of a server and a path on it, or what is wrong with that."""
    # However often: "/v1" and "/v1/v1" can only mean the same server.
    root = server + re.sub("(?:/+v1)*/*$", "", path, count=1)
    route = _ROUTE.search(path)
    if route:
        return "", f"is a route, not a server: did you mean {root.removesuffix(route[0])}?"
    return root, ""


def masked(url: str) -> str:
    """A URL fit to be shown: neither credentials nor a query, even if it is not a valid URL."""
    return _without_secrets(url, "***")


def public_url(url: str) -> str:
    """A URL fit to be saved and used again: without credentials, query and fragment. References stay."""
    return _without_secrets(url, "")


def _without_secrets(url: str, instead: str) -> str:
    # As far as the last "@": a password may hold any character that it should not.
    userinfo = rf"\1{instead}@" if instead else r"\1"
    shown = re.sub(r"^(\w[\w+.-]*://)?.*@", userinfo, url, flags=re.DOTALL)
    return re.sub(r"[?#].*", instead and f"?{instead}", shown, flags=re.DOTALL)


def kind_of(value: object) -> str:
    """The type alone, for messages: the value may be a secret that ended up in the wrong place."""
    return type(value).__name__
