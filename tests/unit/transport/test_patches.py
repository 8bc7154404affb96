"""Mocks, recorders and tracers that replace a method of httpx's own transport get every request."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from tests.unit.transport.sockets import Both, Serve

from vllm_connect._transport import patches
from vllm_connect._transport._httpx import httpx

CORE = pytest.importorskip(httpx.__name__.replace("httpx", "httpcore"), reason="httpx cannot do without it")
IS_PATCHED = {"sync": patches.sync_is_patched, "async": patches.async_is_patched}


def method_of(kind: str, owner: str) -> tuple[Any, str]:
    """The class and the name of a method by which httpx sends requests."""
    prefix, name = ("", "handle_request") if kind == "sync" else ("Async", "handle_async_request")
    module = httpx if owner == "HTTPTransport" else CORE
    return getattr(module, prefix + owner), name


def test_nothing_is_patched(kind: str) -> None:
    """With the installed httpx, on which the cheap way relies."""
    assert not IS_PATCHED[kind]()
    httpx.HTTPTransport()  # imports httpcore
    assert not IS_PATCHED[kind]()


def wrapped(original: Callable[..., Any], seen: list[httpx.URL]) -> Callable[..., Any]:
    """As tracers do it: named like the original, and calling it."""

    @functools.wraps(original)
    def wrapper(self: Any, request: Any) -> Any:
        seen.append(request.url)
        return original(self, request)

    return wrapper


@pytest.mark.parametrize("owner", ["HTTPTransport", "ConnectionPool", "HTTPConnection"])
def test_tracer_sees_each_request_once(
    serve: Serve, both: Both, kind: str, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    seen: list[httpx.URL] = []
    target, name = method_of(kind, owner)
    assert both.get(server.url).content == b"ok"
    with monkeypatch.context() as patch:
        patch.setattr(target, name, wrapped(getattr(target, name), seen))
        for _ in range(2):
            assert both.get(server.url).content == b"ok"
        assert len(seen) == 2
        response = both.open(server.url)
        assert b"".join(both.pieces(response)) == b"ok"
        assert len(seen) == 3
    assert both.get(server.url).content == b"ok"
    assert len(seen) == 3
    assert not IS_PATCHED[kind]()


def test_mock_answers_without_the_network(both: Both, kind: str) -> None:
    target, name = method_of(kind, "HTTPTransport")
    with mock.patch.object(target, name, return_value=httpx.Response(200, content=b"mock")) as method:
        assert both.get("http://127.0.0.1:1/").content == b"mock"
        assert both.get("http://127.0.0.1:1/").content == b"mock"
    assert method.call_count == 2


@pytest.mark.parametrize("autospec", [True, False])
def test_failure_of_a_mock_is_not_repeated(both: Both, kind: str, autospec: bool) -> None:
    """As a dead connection would be: whoever counts requests counts those of the caller."""
    target, name = method_of(kind, "HTTPTransport")
    failure = httpx.ReadError("mock")
    with mock.patch.object(target, name, autospec=autospec, side_effect=failure) as method:
        with pytest.raises(httpx.ReadError, match=r"^mock$"):
            both.get("http://127.0.0.1:1/")
        assert method.call_count == 1


def test_blocked_sockets_are_blocked(
    serve: Serve, both: Both, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest-socket does it."""

    class Guard(socket.socket):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            raise PermissionError("no sockets in tests")

    url = serve().url
    monkeypatch.setattr(socket, "socket", Guard)
    assert IS_PATCHED[kind]()
    with pytest.raises((PermissionError, httpx.ConnectError)):
        both.get(url)


PATCHED_FIRST = """
import functools
import importlib
import openai
httpx = importlib.import_module(openai.DefaultHttpxClient.__bases__[0].__module__)
original = httpx.HTTPTransport.handle_request
patched = functools.wraps(original)(lambda self, request: httpx.Response(200, content=b"mock"))
httpx.HTTPTransport.handle_request = patched
from vllm_connect._transport.clients import default_http_client
from vllm_connect._transport.patches import sync_is_patched
with default_http_client() as client:
    assert client.get("http://127.0.0.1:1/").content == b"mock"
    httpx.HTTPTransport.handle_request = original
    assert not sync_is_patched()
    try:
        client.get("http://127.0.0.1:1/")
    except httpx.ConnectError:
        pass
    else:
        raise AssertionError("the patch is gone")
"""


def test_patch_from_before_our_import_is_seen_and_its_end_too() -> None:
    subprocess.run([sys.executable, "-c", PATCHED_FIRST], check=True, timeout=60)
