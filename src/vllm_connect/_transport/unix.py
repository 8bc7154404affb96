"""URLs of Unix sockets: ``unix://localhost/run/vllm.sock:/v1/models``.

What comes before the colon is the socket's path, percent-encoded where need be; what follows is the path on
the server, as nginx writes it. The host is always "localhost": it is what the Host header says, and httpx
takes a URL without one for a relative one.
"""

from __future__ import annotations

from urllib.parse import unquote

from ._httpx import httpx

SCHEME = "unix"
HOST = "localhost"


def socket_path(url: httpx.URL) -> str:
    """The path of the socket that a URL names."""
    return unquote(url.raw_path.partition(b":")[0].decode())


def origin_and_target(url: httpx.URL) -> tuple[bytes, bytes]:
    """Return the origin of a URL, which identifies its server, and the target to ask that server for."""
    if url.scheme != SCHEME:
        return url.netloc, url.raw_path
    path, _, target = url.raw_path.partition(b":")
    return b"unix:" + path, target or b"/"


def as_http(url: httpx.URL) -> httpx.URL:
    """The same URL as it is once the socket is connected: ``http://localhost/v1/models``."""
    return httpx.URL(f"http://{HOST}").copy_with(raw_path=origin_and_target(url)[1])


def on_same_socket(url: httpx.URL, target: httpx.URL) -> httpx.URL:
    """Turn a URL that `as_http` made into one on the same socket again."""
    return url.copy_with(raw_path=url.raw_path.partition(b":")[0] + b":" + target.raw_path)
