"""Servers of several addresses: one that is silent, or refuses, does not cost the others their time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.transport.sockets import Make, Serve

from vllm_connect._transport import connecting
from vllm_connect._transport._httpx import httpx

Names = Callable[..., None]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Give addresses to the host `several.test`."""

    def give(*addresses: str) -> None:
        resolve = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host != "several.test":
                return resolve(host, port, *args, **kwargs)
            if kwargs.get("flags"):
                raise socket.gaierror
            families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
            return [
                (family, socket.SOCK_STREAM, 6, "", (address, port))
                for family, address in zip(families, addresses, strict=True)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return give


@contextlib.contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """A listener with a full backlog answers no further connection."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((address, port))
        yield


def test_next_address_is_tried_while_the_first_is_silent(serve: Serve, make: Make, name: Names) -> None:
    server = serve()
    name("127.0.0.2", "127.0.0.1")
    both = make(timeout=httpx.Timeout(20, connect=15))
    began = time.monotonic()
    with swallowing("127.0.0.2", server.port):
        assert both.get(f"http://several.test:{server.port}/").content == b"ok"
    assert time.monotonic() - began < 10


def test_short_timeout_suffices_for_all_addresses(serve: Serve, make: Make, name: Names) -> None:
    server = serve()
    silent = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    name(*silent, "127.0.0.1")
    both = make(timeout=httpx.Timeout(20, connect=0.6))  # less than four times the usual stagger
    with contextlib.ExitStack() as stack:
        for address in silent:
            stack.enter_context(swallowing(address, server.port))
        assert both.get(f"http://several.test:{server.port}/").content == b"ok"


def test_refusal_leads_to_the_next_address_at_once(
    serve: Serve, make: Make, name: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "STAGGER", 3600.0)
    server = serve()
    name("127.0.0.2", "127.0.0.3", "127.0.0.1")
    assert make().get(f"http://several.test:{server.port}/").content == b"ok"


def test_error_names_every_address(make: Make, name: Names) -> None:
    name("127.0.0.1", "127.0.0.2")
    with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1: .*refused; 127\.0\.0\.2: .*refused"):
        make().get("http://several.test:1/")


def test_all_addresses_silent_is_a_timeout(serve: Serve, make: Make, name: Names) -> None:
    port = serve().port
    name("127.0.0.2", "127.0.0.3")
    both = make(timeout=httpx.Timeout(20, connect=0.1))
    with (
        swallowing("127.0.0.2", port),
        swallowing("127.0.0.3", port),
        pytest.raises(httpx.ConnectTimeout, match=r"0\.1 s"),
    ):
        both.get(f"http://several.test:{port}/")


def test_families_take_turns() -> None:
    """RFC 8305, section 4."""
    six, four = socket.AF_INET6, socket.AF_INET
    addresses = [connecting.Address(family, n) for n, family in enumerate([six, six, six, four, four])]
    assert [address.sockaddr for address in connecting._in_turn(addresses)] == [0, 3, 1, 4, 2]
