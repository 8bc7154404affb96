"""Starting, stopping, remembering, and noticing who leaves."""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import Options, SimServer, Upload, create_app

from .conftest import CHAT, QUIET, Caller, said


def test_starts_and_stops() -> None:
    before = threading.active_count()
    with SimServer() as sim:
        assert httpx.get(f"{sim.url}/health").status_code == 200
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{sim.url}/health")


def test_stops_while_somebody_is_let_in() -> None:
    sim = SimServer().start()
    loop, stop = sim._loop, sim._stop
    assert loop is not None
    assert stop is not None
    holding, connected = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert connected.wait(10)
        loop.call_soon(stop.set)  # in the turn in which the connection is accepted

    loop.call_soon_threadsafe(hold)
    assert holding.wait(10)
    with socket.create_connection(sim._address) as client:
        connected.set()
        sim.stop()
        client.settimeout(10)
        with suppress(ConnectionError):
            assert client.recv(1) == b""
    gc.collect()  # a transport that is left open warns, which is an error


def test_a_port_of_ones_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with SimServer(port=port) as sim:
        assert sim.url == f"http://127.0.0.1:{port}"
        with pytest.raises(RuntimeError, match="the server is running"):
            sim.start()
    sim.stop()
    with sim:
        assert httpx.get(f"{sim.url}/health").status_code == 200


def test_stops_in_the_middle_of_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    body = {"messages": said("Count to 999"), "stream": True}
    with SimServer(delay=0.05) as sim, httpx.stream("POST", f"{sim.url}{CHAT}", json=body) as reply:
        chunks = reply.iter_bytes()
        next(chunks)
        start = time.monotonic()
        sim.stop()
        assert time.monotonic() - start < 1
        with pytest.raises(httpx.TransportError):
            list(chunks)
    assert sim.aborted == 0
    assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"modles": "x"}, TypeError, "no such option: modles"),
        ({"tasks": "rerankt"}, ValueError, "no such task: rerankt; there are generate, embed, "),
        ({"models": []}, ValueError, "at least one model"),
        ({"faults": ["nope"]}, ValueError, "no such fault: 'nope'"),
    ],
)
def test_options_that_are_wrong(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SimServer(**options)  # type: ignore[arg-type]


def test_options_are_normalized() -> None:
    sim = SimServer(models="one", tasks="embed", api_key=None)
    assert sim.options == Options(models=("one",), tasks=("embed",))


def test_requests_are_remembered(ask: Caller) -> None:
    ask.http.post(f"{CHAT}?a=b", json={"messages": said("Say: x")}, headers={"X-Mine": "yes"})
    ask.http.post("/v1/audio/transcriptions", files={"file": ("a.wav", b"abc")}, data={"model": "m"})
    ask.http.post("/nope", content=b"raw")
    chat, audio, raw = ask.sim.requests
    assert (chat.method, chat.path, chat.query) == ("POST", CHAT, "a=b")
    assert chat.headers["x-mine"] == "yes"
    assert chat.json == {"messages": said("Say: x")}
    assert chat.form == {}
    assert audio.form == {"model": ["m"], "file": [Upload("a.wav", b"abc")]}
    assert audio.json is None
    assert (raw.path, raw.body) == ("/nope", b"raw")
    assert chat.client is not None
    assert chat.client == audio.client  # the same connection
    ask.sim.reset()
    assert ask.sim.requests == []


def test_who_leaves_is_noticed(ask: Caller) -> None:
    body = {"messages": said("Count to 9999"), "stream": True}
    with ask.http.stream("POST", CHAT, json=body, headers={"X-Sim-Fault": "pace"}) as reply:
        chunks = reply.iter_bytes()
        next(chunks)
        assert ask.sim.aborted == 0
    assert ask.sim.wait_for_abort()
    assert [request.aborted for request in ask.sim.requests] == [True]
    ask.post(CHAT, messages=said("Say: x"))
    assert ask.sim.aborted == 1


def test_who_leaves_before_the_headers_is_noticed(ask: Caller) -> None:
    with pytest.raises(httpx.ReadTimeout):
        ask.http.post(CHAT, json={"messages": said("x")}, headers={"X-Sim-Fault": "stall"}, timeout=0.1)
    assert ask.sim.wait_for_abort()


def test_waiting_for_requests(ask: Caller) -> None:
    assert not ask.sim.wait_for_requests(1, timeout=0.01)
    later = threading.Timer(0.05, lambda: ask.http.get("/health"))
    later.start()
    assert ask.sim.wait_for_requests(1)
    later.join()


def test_idle_connections_are_closed_in_time(serve: Callable[..., Caller]) -> None:
    caller = serve(keep_alive=0.1)
    host, port = caller.sim.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert connection.recv(1000) == b""


def test_many_at_once(serve: Callable[..., Caller]) -> None:
    caller = serve(delay=0.005)
    texts: dict[int, str] = {}

    def one(number: int) -> None:
        body = {"model": "sim-chat", "messages": said(f"Say: {number}"), **QUIET}
        reply = httpx.post(f"{caller.sim.url}{CHAT}", json=body, verify=False)
        texts[number] = reply.json()["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: str(number) for number in range(16)}
    assert len(caller.sim.requests) == 16


async def test_as_an_application() -> None:
    transport = httpx.ASGITransport(app=create_app(models="in-process"))
    async with httpx.AsyncClient(transport=transport, base_url="http://sim") as client:
        reply = await client.post(
            CHAT, json={"messages": said("Say: hello")}, headers={"X-Sim-Fault": "crlf"}
        )
        assert reply.json()["model"] == "in-process"
        reply = await client.post(CHAT, json={"messages": said("Say: hello"), "stream": True})
        assert reply.text.endswith("data: [DONE]\n\n")


def test_the_plugin_imports_no_server() -> None:
    code = (
        "import sys, vllm_connect.sim.http.pytest_plugin\n"
        "print([name for name in ('starlette', 'uvicorn', 'python_multipart') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]", result.stdout


def test_what_is_missing_is_told() -> None:
    code = "import sys; sys.modules['starlette'] = None; from vllm_connect.sim import SimServer"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "SimServer needs starlette: install the extra, vllm-connect[sim]" in result.stderr


def test_the_simulator_needs_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; from vllm_connect.sim import SimServer; print('fine')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "fine"


def test_in_a_program_whose_loops_are_uvloops() -> None:
    pytest.importorskip("uvloop", reason="uvloop is not made for Windows, nor for PyPy")
    code = (
        "import asyncio, uvloop, urllib.request\n"
        "asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n"
        "from vllm_connect.sim import SimServer\n"
        "with SimServer() as sim:\n"
        "    print(urllib.request.urlopen(f'{sim.url}/v1/models', timeout=20).status)\n"
        "    sim.fail_next('drop')\n"
        "    try: urllib.request.urlopen(f'{sim.url}/v1/models', timeout=20)\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["200", "RemoteDisconnected"], result.stderr


def test_the_fixtures(vllm_sim: SimServer, vllm_sim_url: str) -> None:
    assert vllm_sim_url == vllm_sim.url
    assert json.loads(httpx.get(f"{vllm_sim_url}/version").text) == {"version": "sim"}


@pytest.mark.parametrize("turn", [1, 2])
def test_the_fixture_is_fresh_each_time(vllm_sim: SimServer, turn: int) -> None:
    assert vllm_sim.requests == []
    assert httpx.get(f"{vllm_sim.url}/v1/models").status_code == 200
    vllm_sim.fail_always("503")


def test_tokenizer_info_is_there_on_request(ask: Caller, serve: Callable[..., Caller]) -> None:
    assert ask.http.get("/tokenizer_info").status_code == 404
    info = serve(tokenizer_info=True, max_model_len=99).http.get("/tokenizer_info").json()
    assert (info["tokenizer_class"], info["model_max_length"]) == ("SimTokenizer", 99)
    assert info["added_tokens_decoder"]["2"] == info["eos_token"] == "<|im_end|>"


@pytest.mark.parametrize("name", ["template", "error_shape", "reasoning_field"])
def test_option_of_no_known_value(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is .* or .*, not 'nope'"):
        SimServer(**{name: "nope"})
