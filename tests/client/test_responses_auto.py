"""`responses_api="auto"`: chat completions, but for what only the server's own /v1/responses can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from vllm_connect import Key, UnsupportedOperationError
from vllm_connect.sim import SimServer

ASK = {"input": "Say: hi"}
MCP = {"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1:1"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
NATIVE_ONLY = [
    {"tools": [MCP]},
    {"tools": [FUNCTION, {"type": "web_search_preview"}]},
    {"store": True},
    {"enable_response_messages": True},
]


def paths(sim: SimServer) -> list[str]:
    return [request.path for request in sim.requests]


@pytest.mark.parametrize("params", [{}, {"store": False}, {"tools": [FUNCTION]}, {"tools": []}])
async def test_what_chat_can_do_goes_there(
    make_client: Callable[..., Any], vllm_sim: SimServer, params: dict[str, Any]
) -> None:
    client = make_client(vllm_sim.url)
    assert client.client.responses_api == "auto"
    assert (await client("responses.create", **ASK, **params)).output_text == "hi"
    assert [event.type async for event in _events(client, **params)][-1] == "response.completed"
    assert paths(vllm_sim) == ["/v1/chat/completions"] * 2


@pytest.mark.parametrize("params", NATIVE_ONLY)
async def test_what_chat_cannot_do_goes_to_the_servers_own_route(
    make_client: Callable[..., Any], vllm_sim: SimServer, params: dict[str, Any]
) -> None:
    client = make_client(vllm_sim.url)
    response = await client("responses.create", **ASK, **params)
    assert response.output_text == "hi"
    assert [event.type async for event in _events(client, **params)][-1] == "response.completed"
    assert paths(vllm_sim) == ["/v1/responses"] * 2
    sent = vllm_sim.requests[0].json
    assert {name: sent[name] for name in params} == params


async def _events(client: Any, **params: Any) -> Any:
    for event in await client.stream("responses.create", **ASK, **params):
        yield event


@pytest.mark.parametrize("params", [*NATIVE_ONLY, {"previous_response_id": "resp_1"}, {"background": True}])
@pytest.mark.parametrize("status", ["404", "405", "501"])
async def test_a_server_without_that_route_refuses_in_words(
    make_client: Callable[..., Any], vllm_sim: SimServer, params: dict[str, Any], status: str
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_always(status, path="/v1/responses")
    name = "tools" if "tools" in params else next(iter(params))
    with pytest.raises(UnsupportedOperationError, match=name):
        await client("responses.create", **ASK, **params)
    with pytest.raises(UnsupportedOperationError, match=name):
        await client.stream("responses.create", **ASK, **params)
    assert set(paths(vllm_sim)) == {"/v1/responses"}
    assert (await client("responses.create", **ASK)).output_text == "hi"


async def test_what_the_route_itself_refuses_is_its_own_error(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(openai.NotFoundError, match="resp_1"):  # it keeps no responses
        await client("responses.create", **ASK, previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="VLLM_ENABLE_RESPONSES_API_STORE"):
        await client("responses.create", **ASK, background=True)
    with pytest.raises(openai.NotFoundError, match="nobody"):
        await client("responses.create", **ASK, store=True, model="nobody")


async def test_what_no_route_can_do_is_refused_before_any_request(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    for params in ({"conversation": "c"}, {"moderation": {}}, {"tools": [{"type": "computer"}]}):
        with pytest.raises(UnsupportedOperationError):
            await client("responses.create", **ASK, **params)
    chat = make_client(vllm_sim.url, responses_api="chat")
    for params in NATIVE_ONLY:
        with pytest.raises(UnsupportedOperationError, match="native"):
            await chat("responses.create", **ASK, **params)
    assert not vllm_sim.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_what_follows_a_response_goes_to_the_server_that_made_it(
    make_client: Callable[..., Any], stream: bool
) -> None:
    with SimServer(models="llama") as one, SimServer(models="llama") as two:
        keys = [Key(name="one", url=one.url), Key(name="two", url=two.url)]
        client = make_client(keys=keys, balance="round_robin", max_retries=0)
        for _ in range(3):
            sims = {sim: len(sim.requests) for sim in (one, two)}
            if stream:
                events = [event async for event in _events(client, store=True)]
                first = events[0].response
            else:
                first = await client("responses.create", **ASK, store=True)
            (made,) = (sim for sim, count in sims.items() if len(sim.requests) > count)
            for follow in ("responses.retrieve", "responses.cancel", "responses.create"):
                before = len(made.requests)
                about = {"response_id": first.id}
                if follow == "responses.create":
                    about = {**ASK, "previous_response_id": first.id}
                with pytest.raises(openai.NotFoundError):  # the simulator keeps no responses
                    await client(follow, **about)
                assert len(made.requests) > before
