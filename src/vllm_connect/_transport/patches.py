"""Detection of whoever took the place of httpx's own transport: a mock, a recorder, a tracer.

respx, pytest-httpx, vcrpy, OpenTelemetry's httpx instrumentation and their kin replace methods of the classes
that httpx sends requests with; pytest-socket and mocket replace `socket.socket`. They expect to get every
request, so where one of them is at work our own transport steps back. They may have come before this module
was imported, and may go at any time.
"""

from __future__ import annotations

import socket
import sys
from types import FunctionType, ModuleType
from typing import Any

from ._httpx import httpx
from .connecting import Socket

_HTTPX = httpx.__name__
_CORE = _HTTPX.replace("httpx", "httpcore")  # imported by httpx when it first makes a transport of its own
_SOCKET = Socket.__base__


def sync_is_patched() -> bool:
    """Tell whether requests of the stock `HTTPTransport` go elsewhere than to the network."""
    transport, pool, connection = _sync.classes
    if (
        transport.handle_request is _sync.methods[0]
        and pool.handle_request is _sync.methods[1]
        and connection.handle_request is _sync.methods[2]
        and socket.socket is _SOCKET
        and sys.modules.get(_CORE) is _sync.core
    ):
        return False
    return _sync.look()


def async_is_patched() -> bool:
    """Tell whether requests of the stock `AsyncHTTPTransport` go elsewhere than to the network."""
    transport, pool, connection = _async.classes
    if (
        transport.handle_async_request is _async.methods[0]
        and pool.handle_async_request is _async.methods[1]
        and connection.handle_async_request is _async.methods[2]
        and socket.socket is _SOCKET
        and sys.modules.get(_CORE) is _async.core
    ):
        return False
    return _async.look()


class _Originals:
    """The methods by which httpx and httpcore send a request, as they were when none was replaced."""

    def __init__(self, transport: type, prefix: str, method: str) -> None:
        self.classes: tuple[Any, Any, Any] = (transport, transport, transport)
        self.methods: tuple[object, ...] = (None, None, None)
        self.core: ModuleType | None = None
        self._names = f"{prefix}ConnectionPool", f"{prefix}HTTPConnection"
        self._method = method

    def look(self) -> bool:
        """Tell whether one of them is replaced; else remember them, so that telling is cheap from now on."""
        transport, core = self.classes[0], sys.modules.get(_CORE)
        pool, connection = (transport if core is None else getattr(core, name) for name in self._names)
        methods = tuple(getattr(each, self._method) for each in (transport, pool, connection))
        if socket.socket is not _SOCKET or not all(map(_is_original, methods)):
            return True
        self.classes, self.methods, self.core = (transport, pool, connection), methods, core
        return False


def _is_original(method: object) -> bool:
    # A wrapper may bear the name, the module and even the code of what it wraps. But it is no plain function,
    # or one of another module.
    if type(method) is not FunctionType:
        return False
    name = method.__module__ or ""
    module = sys.modules.get(name)
    is_of_httpx = name.partition(".")[0] in (_HTTPX, _CORE)
    return is_of_httpx and module is not None and method.__globals__ is vars(module)


_sync = _Originals(httpx.HTTPTransport, "", "handle_request")
_async = _Originals(httpx.AsyncHTTPTransport, "Async", "handle_async_request")
