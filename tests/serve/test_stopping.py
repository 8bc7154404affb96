"""A gateway that stops while somebody connects leaves nothing open, and waits for nobody who asks nothing."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from contextlib import suppress

import pytest
import uvicorn
from tests.serve.conftest import Serve

from vllm_connect.serve.http import server


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_is_let_in_while_it_stops_is_let_out(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    if loop == "asyncio":
        monkeypatch.setattr(server, "_new_loop", asyncio.new_event_loop)
    else:
        pytest.importorskip("uvloop", reason="uvloop is not made for Windows")
    holding, connected = threading.Event(), threading.Event()
    on_tick = uvicorn.Server.on_tick

    async def hold(self: uvicorn.Server, counter: int) -> bool:
        if not self.should_exit:
            return await on_tick(self, counter)
        holding.set()
        assert connected.wait(10)
        for _ in range(2):  # it is accepted, and is no connection yet
            await asyncio.sleep(0)
        return True

    monkeypatch.setattr(uvicorn.Server, "on_tick", hold)
    running = serve(config={"keys": []}, settings={"grace": 15, "head_seconds": 15})
    assert running.http.get("/health").status_code == 200
    running.server.stop()
    assert holding.wait(10)
    with socket.create_connection(("127.0.0.1", running.port)) as sock:
        connected.set()
        sock.settimeout(10)
        with suppress(ConnectionError):
            assert sock.recv(1) == b""
        running.thread.join(timeout=10)
        assert not running.thread.is_alive()
    gc.collect()  # a transport that is left open warns, which is an error
