"""Clients that do not read, or slowly: the server is slowed down, nothing piles up or is lost."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.serve.conftest import Running, Serve

EVENT = (
    b"data: %b\n\n"
    % json.dumps(
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "llama",
            "choices": [{"index": 0, "delta": {"content": "a" * 4000}, "finish_reason": None}],
        }
    ).encode()
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
LAST = EVENT.replace(b'"finish_reason": null', b'"finish_reason": "stop"') + b"data: [DONE]\n\n"
REQUEST = json.dumps({"model": "llama", "messages": [{"role": "user", "content": "a"}], "stream": True})


class Fountain:
    """A server whose stream goes on until nobody takes it, or it has sent so many events."""

    def __init__(self, events: int) -> None:
        self._events = events
        self.sent = 0
        self.is_closed = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock:
            if not sock.recv(1 << 16).startswith(b"POST"):
                return
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            try:
                sock.sendall(head)
                for _ in range(self._events):
                    sock.sendall(CHUNK)
                    self.sent += 1
                sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST))
            except OSError:
                self.is_closed.set()


@contextmanager
def fountain(events: int) -> Iterator[Fountain]:
    made = Fountain(events)
    try:
        yield made
    finally:
        made.listener.close()


def config(server: Fountain) -> object:
    return {"keys": [{"name": "a", "vllm_key_config": {"url": server.url}}]}


def ask(gateway: Running) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", gateway.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(REQUEST)}\r\n"
    sock.sendall(f"{head}Content-Type: application/json\r\n\r\n{REQUEST}".encode())
    return sock


def settled(server: Fountain) -> int:
    """How many events a server has sent when it can send no more."""
    before = -1
    deadline = time.monotonic() + 20
    while server.sent != before or not before:
        assert time.monotonic() < deadline, "the server is never slowed down"
        before = server.sent
        time.sleep(0.4)
    return before


def test_a_reader_that_stops_slows_the_server_down(serve: Serve) -> None:
    with fountain(100_000) as server:  # 400 MB, if anybody took them
        gateway = serve(config=config(server))
        with ask(gateway):
            # What the kernel's buffers between the three hold, and not much more.
            assert settled(server) < 10_000
        assert server.is_closed.wait(10)


def test_a_reader_that_never_goes_on_is_dropped(serve: Serve) -> None:
    with fountain(100_000) as server:
        gateway = serve(config=config(server), settings={"stall_seconds": 0.5})
        with ask(gateway):
            assert server.is_closed.wait(20)


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_a_slow_reader_gets_all_of_it(serve: Serve, pause: float) -> None:
    with fountain(600) as server:
        gateway = serve(config=config(server))
        with ask(gateway) as sock:
            received = bytearray()
            while not received.endswith(b"0\r\n\r\n"):
                part = sock.recv(1 << 16)
                assert part
                received += part
                time.sleep(pause if len(received) < 1 << 20 else 0)
        assert received.count(b'"finish_reason": null') == 600
        assert received.count(b"[DONE]") == 1
