"""Waiting for a server that is about to start."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from vllm_connect import AuthenticationError
from vllm_connect.sim import SimServer


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_a_server_that_is_ready(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    assert await client("server.wait_until_ready") < 5
    assert await client("server.wait_until_ready", model="vllm/sim-chat") < 5


async def test_a_server_that_comes(make_client):
    port, told, up = free_port(), [], threading.Event()

    def serve():
        time.sleep(0.4)
        with SimServer(port=port):
            up.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = make_client(f"http://127.0.0.1:{port}")
        took = await client(
            "server.wait_until_ready", model="sim-chat", timeout=15, interval=0.05, progress=told.append
        )
        assert 0.3 < took < 15
        assert told
        assert all("no answer" in each for each in told)
    finally:
        up.set()
        thread.join()


async def test_a_model_that_does_not_come(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="it serves sim-chat, not other"):
        await client("server.wait_until_ready", model="other", timeout=0.3, interval=0.1)
    assert time.monotonic() - began < 5


async def test_a_server_that_is_not_well(make_client, vllm_sim):
    vllm_sim.fail_always("status", path="/health", code=503)
    client = make_client(vllm_sim.url)
    with pytest.raises(TimeoutError, match="503"):
        await client("server.wait_until_ready", timeout=0.3, interval=0.1)


async def test_a_key_that_is_refused(make_client):
    with SimServer(api_key="right") as server:
        client = make_client(server.url, api_key="wrong")
        with pytest.raises(AuthenticationError):
            await client("server.wait_until_ready", model="sim-chat", timeout=5)


async def test_arguments(make_client, vllm_sim):
    with pytest.raises(TypeError, match="intervall"):
        await make_client(vllm_sim.url)("server.wait_until_ready", intervall=1)
