"""Who may ask, and how much of the gateway one client may take."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from tests.serve.conftest import Running, Serve

from vllm_connect.errors import ConfigError
from vllm_connect.serve.http.settings import Settings, read_api_keys
from vllm_connect.sim import SimServer

CHAT: Any = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}


class TestHost:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "LOCALHOST:1", "127.0.0.2"])
    def test_its_own_names(self, gateway: Running, host: str) -> None:
        assert gateway.http.get("/v1/models", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "a b", "@localhost"],
    )
    def test_names_of_others(self, gateway: Running, sim: SimServer, host: str) -> None:
        for path in ("/v1/models", "/metrics", "/"):
            assert gateway.http.get(path, headers={"Host": host}).status_code == 421
        assert not sim.requests

    def test_a_name_that_is_allowed(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"allowed_hosts": ("gpu.example",)})
        assert gateway.http.get("/v1/models", headers={"Host": "gpu.example:8080"}).status_code == 200


class TestOrigin:
    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "https://localhost:1", "http://localhost"]
    )
    def test_of_another_site(self, gateway: Running, sim: SimServer, origin: str) -> None:
        reply = gateway.post("/v1/chat/completions", CHAT, headers={"Origin": origin})
        assert reply.status_code == 403
        assert not sim.requests

    def test_its_own(self, gateway: Running) -> None:
        headers = {"Origin": gateway.url, "Sec-Fetch-Site": "same-origin"}
        assert gateway.post("/v1/chat/completions", CHAT, headers=headers).status_code == 200

    def test_one_that_is_allowed(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"allowed_origins": ("https://app.example",)})
        headers = {"Origin": "https://app.example"}
        assert gateway.post("/v1/chat/completions", CHAT, headers=headers).status_code == 200

    def test_a_form_of_another_site_without_an_origin(self, gateway: Running, sim: SimServer) -> None:
        headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
        assert gateway.post("/v1/chat/completions", CHAT, headers=headers).status_code == 403
        assert not sim.requests


class TestKey:
    @pytest.fixture
    def locked(self, serve: Serve, sim: SimServer) -> Running:
        return serve(sim, settings={"api_keys": ("sk-one", "sk-two")})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer sk-on"},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic !!"},
            {"Authorization": "Digest sk-one"},
            {"x-api-key": "sk-three"},
        ],
    )
    def test_wrong_or_none(self, locked: Running, sim: SimServer, headers: dict[str, str]) -> None:
        for path in ("/v1/models", "/metrics", "/"):
            reply = locked.http.get(path, headers=headers)
            assert reply.status_code == 401
            assert reply.json()["error"]["code"] == "invalid_api_key"
            assert "sk-" not in reply.text
        assert not sim.requests

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer sk-one"},
            {"Authorization": "bearer sk-two"},
            {"x-api-key": "sk-one"},
            {"Authorization": "Basic YW55OnNrLW9uZQ=="},
        ],
    )
    def test_right(self, locked: Running, sim: SimServer, headers: dict[str, str]) -> None:
        assert locked.post("/v1/chat/completions", CHAT, headers=headers).status_code == 200
        assert "sk-" not in str(sim.requests[-1].headers)

    def test_health_needs_none(self, locked: Running) -> None:
        assert locked.http.get("/health").status_code == 200

    def test_others_are_let_in_with_a_key_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for host in ("0.0.0.0", "::", "192.168.1.2", "gpu.example"):
            with pytest.raises(ConfigError, match="give --api-key"):
                Settings(host=host)
            assert Settings(host=host, api_keys=("sk-1",)).api_keys
        monkeypatch.setenv("GATEWAY_KEY", "sk-2")
        assert read_api_keys(["sk-1", "env.GATEWAY_KEY"]) == ("sk-1", "sk-2")
        with pytest.raises(ConfigError, match="NOT_SET"):
            read_api_keys(["env.NOT_SET"])
        assert "sk-1" not in repr(Settings(api_keys=("sk-1",)))


class TestSize:
    def test_a_body_that_is_too_large(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"max_body": 1000})
        reply = gateway.http.post("/v1/chat/completions", content=b"x" * 1001)
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "request_too_large"

    def test_one_without_a_length(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"max_body": 1000})
        reply = gateway.http.post("/v1/chat/completions", content=(b"x" * 100 for _ in range(20)))
        assert reply.status_code == 413

    def test_a_head_that_is_too_large(self, gateway: Running) -> None:
        with connection(gateway) as sock:
            sock.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
            assert ended(sock, (b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(1000)))


class TestSlowClients:
    def test_a_head_that_never_comes(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"head_seconds": 0.3})
        for start in (b"", b"GET /v1/models HT", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"):
            with connection(gateway) as sock:
                sock.sendall(start)
                assert sock.recv(1000) == b""

    def test_a_second_head_that_never_comes(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"head_seconds": 0.3})
        with connection(gateway) as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in sock.recv(1000)
            time.sleep(0.5)  # longer than a head may take; an idle connection may wait
            sock.sendall(b"GET /health HTTP/1.1\r\n")
            assert sock.recv(1000) == b""

    def test_a_body_that_never_ends(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"body_seconds": 0.3})
        with connection(gateway) as sock:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            sock.sendall(head)
            assert b"HTTP/1.1 408" in sock.recv(1000)
        assert not sim.requests

    def test_a_reader_that_stops_reading(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"stall_seconds": 0.5})
        # Little room on both sides, and a server that goes on: else the kernel would take all of an answer.
        gateway.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sim.fail_next("stall", where="middle", after=4000, seconds=120)
        content = b'{"model":"llama","stream":true,"max_tokens":8000,"min_tokens":8000,"ignore_eos":true,'
        content += b'"prompt":"Count to 9000"}'
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(60)
            sock.connect(("127.0.0.1", gateway.port))
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            sock.sendall(head % len(content) + content)
            assert sim.wait_for_abort(timeout=60)
            assert b"[DONE]" not in rest_of(sock)

    def test_a_reader_that_goes_on_in_time(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"stall_seconds": 60})
        gateway.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        content = b'{"model":"llama","stream":true,"max_tokens":4000,"min_tokens":4000,"ignore_eos":true,'
        content += b'"prompt":"Count to 9000"}'
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(60)
            sock.connect(("127.0.0.1", gateway.port))
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
            time.sleep(0.7)  # the gateway waits
            assert b"[DONE]" in rest_of(sock)
        assert not sim.aborted

    def test_too_many_connections(self, serve: Serve, sim: SimServer) -> None:
        gateway = serve(sim, settings={"max_connections": 3})
        held = [connection(gateway) for _ in range(3)]
        time.sleep(0.1)
        with connection(gateway) as sock:
            assert ended(sock, [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
        for each in held:
            each.close()


def connection(gateway: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=10)


def rest_of(sock: socket.socket) -> bytes:
    """What comes until the gateway ends the connection, however it does."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def ended(sock: socket.socket, parts: Any) -> bool:
    """Whether the gateway ends the connection while it is sent these."""
    try:
        for part in parts:
            sock.sendall(part)
        return sock.recv(1000) == b""
    except ConnectionError:
        return True


def test_a_gateway_that_is_stopped_while_it_starts_ends(serve: Serve) -> None:
    running = serve(config={"keys": []})
    running.server.stop()
    running.thread.join(timeout=20)
    assert not running.thread.is_alive()
    assert running.listener.fileno() == -1
