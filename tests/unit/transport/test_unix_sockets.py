"""Servers that listen on a Unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.transport.sockets import OK, Both, Make, Peer, Server

from vllm_connect._transport import clients as under_test
from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.unix import as_http, origin_and_target, socket_path

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def listen(handler: Callable[[Peer], Any] = Peer.serve, name: str = "s.sock") -> Server:
        servers.append(Server(handler, unix=tmp_path / name))
        return servers[-1]

    yield listen
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("url", "path", "target"),
    [
        ("unix://localhost/run/vllm.sock:/v1/models?a=b:c", "/run/vllm.sock", b"/v1/models?a=b:c"),
        ("unix://localhost/run/vllm.sock:/", "/run/vllm.sock", b"/"),
        ("unix://localhost/run/vllm.sock", "/run/vllm.sock", b"/"),
        ("unix://localhost/run/a%20b%3Ac.sock:/team/v1/models", "/run/a b:c.sock", b"/team/v1/models"),
    ],
)
def test_parts_of_a_url(url: str, path: str, target: bytes) -> None:
    parsed = httpx.URL(url)
    assert socket_path(parsed) == path
    assert origin_and_target(parsed)[1] == target
    assert as_http(parsed) == f"http://localhost{target.decode()}"


def test_requests_share_a_connection(listen: Callable[..., Server], make: Make) -> None:
    heads = []

    def handler(peer: Peer) -> None:
        while head := peer.read()[0]:
            heads.append(head)
            peer.send(OK)

    server, both = listen(handler), make()
    for _ in range(3):
        assert both.post(f"{server.url}:/v1/models?a=b", content=b"x").content == b"ok"
    assert server.connections == 1
    lines = heads[0].lower().split(b"\r\n")
    assert lines[0] == b"post /v1/models?a=b http/1.1"
    assert b"host: localhost" in lines


def test_servers_of_two_sockets_are_told_apart(listen: Callable[..., Server], make: Make) -> None:
    one = listen(lambda peer: peer.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"), "one.sock")
    two = listen(lambda peer: peer.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"), "two.sock")
    both = make()
    found = [both.get(f"{server.url}:/").content for server in (one, two, one, two)]
    assert found == [b"1", b"2", b"1", b"2"]


def test_no_proxy_leads_to_a_unix_socket(
    listen: Callable[..., Server], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert make().get(f"{listen().url}:/").content == b"ok"


def test_missing_socket_is_named(tmp_path: Path, both: Both) -> None:
    with pytest.raises(httpx.ConnectError, match=r"No such file.*missing\.sock"):
        both.get(f"unix://localhost{tmp_path}/missing.sock:/")


def test_path_too_long_is_an_error(tmp_path: Path, both: Both) -> None:
    with pytest.raises(httpx.ConnectError, match="too long"):
        both.get(f"unix://localhost/{'x' * 200}:/")


def test_full_queue_is_waited_for(tmp_path: Path, make: Make) -> None:
    """Linux refuses a connection then instead of keeping it waiting, as it does with TCP."""
    path = str(tmp_path / "s.sock")

    def accept(listener: socket.socket) -> None:
        for _ in range(2):  # the one that fills the queue, and ours
            sock, _ = listener.accept()
            with sock:
                peer = Peer(sock, 1)
                if peer.read()[0]:
                    peer.send(OK)

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(httpx.ConnectTimeout):
            make(timeout=httpx.Timeout(20, connect=0.1)).get(f"unix://localhost{path}:/")
        first.close()
        timer = threading.Timer(0.1, accept, [listener])
        timer.start()
        assert make().get(f"unix://localhost{path}:/").content == b"ok"
        timer.join()


def test_stock_transport_does_the_same_when_it_is_patched(
    listen: Callable[..., Server], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And under trio, where ours cannot work."""
    for name in ("sync_is_patched", "async_is_patched"):
        monkeypatch.setattr(under_test, name, lambda: True)
    both = make()
    server = listen()
    response = both.get(f"{server.url}:/v1/models")
    assert response.content == b"ok"
    assert str(response.request.url).startswith("unix://localhost/")
