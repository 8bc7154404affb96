"""Errors are LiteLLM's own, streams end or fail, and one layer retries."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import litellm
import pytest
from litellm.exceptions import MidStreamFallbackError

import vllm_connect
from tests.conftest import SAY, Asker
from vllm_connect.sim import SimServer

STATUSES = [
    ("400", litellm.BadRequestError, 400),
    ("401", litellm.AuthenticationError, 401),
    ("403", litellm.PermissionDeniedError, 403),
    ("404", litellm.NotFoundError, 404),
    ("408", litellm.Timeout, 408),
    ("422", litellm.UnprocessableEntityError, 422),
    ("429", litellm.RateLimitError, 429),
    ("500", litellm.InternalServerError, 500),
    ("502", litellm.BadGatewayError, 502),
    ("503", litellm.ServiceUnavailableError, 503),
    ("504", litellm.Timeout, 504),
]


@pytest.mark.parametrize(("fault", "expected", "status"), STATUSES)
async def test_a_status(
    ask: Asker, at: dict[str, Any], vllm_sim: SimServer, fault: str, expected: type[Exception], status: int
) -> None:
    vllm_sim.fail_always(fault)
    with pytest.raises(expected) as caught:
        await ask("completion", **at, messages=SAY)
    assert caught.value.status_code == status  # type: ignore[attr-defined]
    assert isinstance(caught.value.__cause__, vllm_connect.APIStatusError)
    # What explains a 404 is asked by GET.
    assert [request.method for request in vllm_sim.requests].count("POST") == 1


async def test_an_error_in_a_200(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("error_200", code=429)
    with pytest.raises(litellm.RateLimitError):
        await ask("completion", **at, messages=SAY)
    with pytest.raises(litellm.RateLimitError):
        await ask("embedding", **{**at, "model": "vllm-connect/sim-chat"}, input=["a"])


async def test_too_long_a_prompt(ask: Asker) -> None:
    with SimServer(max_model_len=64) as server:
        long = [{"role": "user", "content": "word " * 500}]
        at = {"model": "vllm-connect/sim-chat", "api_base": server.url}
        with pytest.raises(litellm.ContextWindowExceededError):
            await ask("completion", **at, messages=long)
        with pytest.raises(litellm.ContextWindowExceededError):
            await ask.stream(**at, messages=long)


async def test_nobody_there(ask: Asker) -> None:
    with pytest.raises(litellm.APIConnectionError):
        await ask("completion", model="vllm-connect/m", api_base="http://127.0.0.1:1", messages=SAY)


async def test_too_slow(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("stall", seconds=5)
    started = time.monotonic()
    with pytest.raises(litellm.Timeout):
        await ask("completion", **at, messages=SAY, timeout=0.2)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"topk": 5}, litellm.BadRequestError),
        ({"keys": [{"name": "a"}]}, litellm.BadRequestError),
        ({"keys": [{"name": "a", "url": "http://127.0.0.1:1", "models": ["b"]}]}, litellm.NotFoundError),
    ],
    ids=["misspelt", "key without a URL", "no key for the model"],
)
async def test_what_cannot_be_sent(
    ask: Asker, at: dict[str, Any], vllm_sim: SimServer, more: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await ask("completion", **at, messages=SAY, **more)
    with pytest.raises(expected):
        await ask.stream(**at, messages=SAY, **more)
    assert vllm_sim.requests == []


BROKEN = [
    ("done_only", {}),
    ("unfinished", {}),
    ("error_chunk", {"after": 2, "shape": "flat"}),
    ("cut", {"where": "between", "after": 2}),
    ("abort", {}),
]


@pytest.mark.parametrize(("fault", "values"), BROKEN)
async def test_a_stream_that_breaks(
    ask: Asker, at: dict[str, Any], vllm_sim: SimServer, fault: str, values: dict[str, Any]
) -> None:
    vllm_sim.fail_next(fault, **values)
    # LiteLLM raises its own around what another attempt may mend.
    with pytest.raises((litellm.APIError, MidStreamFallbackError)) as caught:
        await ask.stream(**at, messages=SAY)
    error = getattr(caught.value, "original_exception", caught.value)
    assert isinstance(error, (litellm.APIError, litellm.InternalServerError))


async def test_hosted_vllm_takes_some_of_them_for_answers(at: dict[str, Any], vllm_sim: SimServer) -> None:
    """What this provider is for; if it fails, LiteLLM has mended it, and the README says so no more."""
    for fault, values in (("done_only", {}), ("error_chunk", {"after": 2, "shape": "flat"})):
        vllm_sim.fail_next(fault, **values)
        stock = {"model": "hosted_vllm/sim-chat", "api_base": f"{vllm_sim.url}/v1"}
        chunks = list(litellm.completion(**stock, messages=SAY, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"


async def test_an_aborted_answer(ask: Asker, at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("abort")
    with pytest.raises(litellm.APIError, match="abort"):
        await ask("completion", **at, messages=SAY)


async def test_num_retries_are_litellms_alone(at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("503")
    with pytest.raises(litellm.ServiceUnavailableError):
        litellm.completion(**at, messages=SAY, num_retries=2)
    assert len(vllm_sim.requests) == 3


async def test_litellm_cannot_repeat_an_async_stream_so_the_client_does(
    at: dict[str, Any], vllm_sim: SimServer
) -> None:
    vllm_sim.fail_next("503", times=2)
    stream = await litellm.acompletion(**at, messages=SAY, stream=True, num_retries=2)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "hello there"
    assert len(vllm_sim.requests) == 3


async def test_litellm_does_not_repeat_embeddings_so_the_client_does(ask: Asker, vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("503", times=2)
    at = {"model": "vllm-connect/sim-chat", "api_base": vllm_sim.url}
    assert (await ask("embedding", **at, input=["a"], max_retries=2)).data
    assert len(vllm_sim.requests) == 3


async def test_a_cancelled_call_ends_at_the_server(at: dict[str, Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("stall", seconds=5)
    task = asyncio.create_task(litellm.acompletion(**at, messages=SAY))
    assert await asyncio.to_thread(vllm_sim.wait_for_requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(vllm_sim.wait_for_abort)


async def test_no_error_shows_a_key(ask: Asker, vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("401")
    with pytest.raises(litellm.AuthenticationError) as caught:
        await ask(
            "completion",
            model="vllm-connect/sim-chat",
            api_base=vllm_sim.url,
            api_key="sk-secret",
            messages=SAY,
        )
    error = caught.value
    shown = [str(error), repr(error), str(error.response.request.headers), repr(error.__cause__)]
    assert not any("sk-secret" in text for text in shown)
