"""Clients and servers that are closed when a test ends."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.transport.sockets import Both, Peer, Server


@pytest.fixture(autouse=True, scope="module")
def leaks() -> Iterator[None]:
    """Let unclosed sockets show themselves here, as warnings, and not in someone else's tests."""
    yield
    gc.collect()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Iterator[Callable[..., Both]]:
    made: list[Both] = []

    def make(**options: Any) -> Both:
        made.append(Both(kind, **options))
        return made[-1]

    yield make
    for both in made:
        both.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    servers: list[Server] = []

    def serve(handler: Callable[[Peer], Any] = Peer.serve, **options: Any) -> Server:
        servers.append(Server(handler, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def both(make: Callable[..., Both], serve: Callable[..., Server]) -> Both:
    """A client that is closed before the servers are."""
    return make()
