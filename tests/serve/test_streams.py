"""Streams through the gateway: passed on as they come, ended as the server ends them, or with an error."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from tests.serve.conftest import Running, Serve

from vllm_connect import AsyncVLLM
from vllm_connect._transport._httpx import httpx
from vllm_connect.errors import IncompleteStreamError
from vllm_connect.sim import Fault, SimServer

BODY: Any = {"model": "llama", "messages": [{"role": "user", "content": "hi"}], "stream": True}
DONE = "data: [DONE]"


def payload(line: str) -> Any:
    return json.loads(line.removeprefix("data: "))


def test_events_pass_byte_for_byte(gateway: Running, sim: SimServer) -> None:
    direct = httpx.post(f"{sim.url}/v1/chat/completions", json=BODY, trust_env=False).text
    passed = "\n\n".join([*gateway.events("/v1/chat/completions", BODY), ""])

    def anonymous(text: str) -> list[Any]:
        events = [payload(line) for line in text.split("\n\n") if line and line != DONE]
        return [{**event, "id": "", "created": 0} for event in events]

    assert anonymous(passed) == anonymous(direct)
    assert passed.endswith(f"{DONE}\n\n")


def test_an_event_is_passed_on_before_the_next_one_comes(gateway: Running, sim: SimServer) -> None:
    sim.fail_next("stall", where="middle", after=3, seconds=2.0)
    began = time.monotonic()
    with gateway.http.stream("POST", "/v1/chat/completions", json=BODY) as response:
        lines = (line for line in response.iter_lines() if line)
        for _ in range(3):
            next(lines)
        early = time.monotonic() - began
        assert list(lines)[-1] == DONE
    assert early < 1.9 < time.monotonic() - began


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_generation(gateway: Running, sim: SimServer, stream: bool) -> None:
    sim.fail_next("stall", where="middle" if stream else "headers", after=2, seconds=30)
    client = httpx.Client(base_url=gateway.url, timeout=1.0, trust_env=False)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json={**BODY, "stream": stream})
    client.close()
    assert sim.wait_for_abort()
    deadline = time.monotonic() + 5
    while gateway.gateway.servers()[0].in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gateway.gateway.servers()[0].in_flight == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error_chunk; after=2; code=500; message=out of memory", None),
        ("unfinished", "incomplete_stream"),
        ("cut; where=event; after=2", "incomplete_stream"),
        ("cut; where=between; after=2; how=rst", "incomplete_stream"),
        ("cut; where=character; after=2", "incomplete_stream"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_broken_stream_ends_in_an_error(
    gateway: Running, sim: SimServer, fault: str, code: str | None, path: str
) -> None:
    sim.fail_next(Fault.of(fault))
    body = {"model": "llama", "stream": True, "prompt": "Say: Grüße, Jürgen, schöne Grüße"}
    if path == "/v1/chat/completions":
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    lines = gateway.events(path, body)
    assert DONE not in lines
    error = payload(lines[-1])["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert all("error" not in payload(line) for line in lines[:-1])
    assert len(lines) > 1


@pytest.mark.parametrize("fault", ["unfinished", "cut; where=event; after=2", "error_chunk; after=2"])
def test_the_stock_client_raises_for_a_broken_stream(gateway: Running, sim: SimServer, fault: str) -> None:
    sim.fail_next(fault.split(";")[0], **dict(item.strip().split("=") for item in fault.split(";")[1:]))
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        stream = client.chat.completions.create(**BODY)
        assert next(stream).choices
        with pytest.raises(openai.APIError):
            list(stream)


@pytest.mark.parametrize("fault", ["unfinished", "error_chunk"])
def test_a_broken_response_fails(gateway: Running, sim: SimServer, fault: str) -> None:
    sim.fail_next(fault, after=2)
    lines = gateway.events("/v1/responses", {"model": "llama", "input": "hi", "stream": True})
    assert "event: response.failed" in lines
    assert "event: response.completed" not in lines


@pytest.mark.parametrize(
    "fault", ["no_done", "comments", "crlf", "no_space", "bytewise", "burst", "pace", "gzip", "null_delta"]
)
def test_odd_but_whole_streams_are_whole(gateway: Running, sim: SimServer, fault: str) -> None:
    sim.fail_next(fault)
    lines = [line for line in gateway.events("/v1/chat/completions", BODY) if not line.startswith(":")]
    assert lines[-1] == DONE
    choices = [choice for line in lines[:-1] for choice in payload(line)["choices"]]
    assert choices[-1]["finish_reason"] == "stop"
    text = "".join((choice["delta"] or {}).get("content") or "" for choice in choices)
    assert text == "Hello! I am a tiny test model."


def test_a_heartbeat_is_passed_on(gateway: Running, sim: SimServer) -> None:
    sim.fail_next("comments", every=1)
    lines = gateway.events("/v1/chat/completions", BODY)
    assert lines[-1] == DONE


def test_an_error_before_the_first_event_is_a_status(gateway: Running, sim: SimServer) -> None:
    sim.fail_next("error_chunk", after=0, code=400, message="no")
    reply = gateway.post("/v1/chat/completions", BODY)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "no"


def test_a_stream_that_has_not_begun_goes_to_another_server(serve: Serve) -> None:
    with SimServer(models="llama") as one, SimServer(models="llama") as two:
        gateway = serve(one, two)
        one.fail_always("drop")
        for _ in range(4):
            assert gateway.events("/v1/chat/completions", BODY)[-1] == DONE
        assert {status.state for status in gateway.gateway.servers()} == {"healthy", "resting"}


async def test_many_streams_at_once(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim)
    sim.fail_always("pace", seconds=0.01)
    async with AsyncVLLM(gateway.url, max_retries=0) as client:

        async def one() -> str:
            stream = await client.chat.completions.create(**BODY)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        texts = await asyncio.gather(*(one() for _ in range(150)))
    assert set(texts) == {"Hello! I am a tiny test model."}
    assert gateway.gateway.servers()[0].in_flight == 0


async def test_streams_while_servers_die(serve: Serve) -> None:
    """What was not lost is whole; what was lost says so."""
    with (
        SimServer(models="llama") as one,
        SimServer(models="llama") as two,
        SimServer(models="llama") as three,
    ):
        gateway = serve(one, two, three)
        for sim in (one, two, three):
            sim.fail_always("pace", seconds=0.005)
        async with AsyncVLLM(gateway.url, max_retries=0) as client:

            async def run() -> str:
                text = ""
                try:
                    async for chunk in await client.chat.completions.create(**BODY):
                        text += chunk.choices[0].delta.content or ""
                except (openai.APIError, IncompleteStreamError):
                    return "broken"
                return text

            async def several() -> list[str]:
                return [await run() for _ in range(15)]

            work = asyncio.gather(*(several() for _ in range(10)))
            await asyncio.sleep(0.4)
            await asyncio.to_thread(one.stop)
            await asyncio.sleep(0.4)
            await asyncio.to_thread(two.stop)
            results = [text for texts in await work for text in texts]
    assert set(results) <= {"Hello! I am a tiny test model.", "broken"}
    assert results.count("broken") <= 20, "more streams than ran on the servers when they died"
    assert len(results) == 150


def test_a_stopping_gateway_lets_streams_end(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim, settings={})
    sim.fail_always("pace", seconds=0.004)
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(gateway.events, "/v1/chat/completions", BODY)
        assert sim.wait_for_requests()
        gateway.server.stop()
        lines = stream.result()
    assert lines[-1] == DONE


def test_a_stopping_gateway_tells_streams_that_take_longer(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim)
    sim.fail_next("stall", where="middle", after=2, seconds=30)
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(gateway.events, "/v1/chat/completions", BODY)
        assert sim.wait_for_requests()
        time.sleep(0.2)
        gateway.server.stop()
        lines = stream.result()
    assert payload(lines[-1])["error"]["code"] == "gateway_stopping"
    assert sim.wait_for_abort()
