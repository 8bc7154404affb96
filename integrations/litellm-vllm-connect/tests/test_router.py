"""A Router retries, falls back and rests deployments by our errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from litellm import Router

from tests.conftest import SAY, Asker
from vllm_connect.sim import SimServer


@pytest.fixture
def servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer(models=["m"], max_model_len=64) as first, SimServer(models=["m"]) as second:
        yield first, second


def router(servers: tuple[SimServer, SimServer], **options: Any) -> Router:
    """A group `small` on the first server, and `large` on the second."""
    groups = zip(("small", "large"), servers, strict=True)
    deployments = [
        {"model_name": name, "litellm_params": {"model": "vllm-connect/m", "api_base": server.url}}
        for name, server in groups
    ]
    return Router(model_list=deployments, **{"num_retries": 0, **options})


async def test_an_answer(ask: Asker, servers: tuple[SimServer, SimServer]) -> None:
    owner = router(servers)
    reply = await ask("completion", owner=owner, model="small", messages=SAY)
    assert reply.choices[0].message.content == "hello there"
    assert reply._hidden_params["response_cost"] == 0
    chunks = await ask.stream(owner=owner, model="small", messages=SAY)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello there"
    assert len((await ask("embedding", owner=owner, model="small", input=["a"])).data) == 1


async def test_its_retries_are_the_only_ones(ask: Asker, servers: tuple[SimServer, SimServer]) -> None:
    servers[0].fail_always("500")
    with pytest.raises(litellm.InternalServerError):
        await ask(
            "completion", owner=router(servers, num_retries=2, retry_after=0), model="small", messages=SAY
        )
    assert len(servers[0].requests) == 3


async def test_it_falls_back(ask: Asker, servers: tuple[SimServer, SimServer]) -> None:
    owner = router(servers, fallbacks=[{"small": ["large"]}])
    servers[0].fail_always("503")
    reply = await ask("completion", owner=owner, model="small", messages=SAY)
    assert reply.choices[0].message.content == "hello there"
    assert len(servers[1].requests) == 1


async def test_it_falls_back_before_a_stream_begins(servers: tuple[SimServer, SimServer]) -> None:
    owner = router(servers, fallbacks=[{"small": ["large"]}])
    servers[0].fail_always("503")
    stream = await owner.acompletion(model="small", messages=SAY, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "hello there"


async def test_it_goes_where_there_is_room(ask: Asker, servers: tuple[SimServer, SimServer]) -> None:
    owner = router(servers, context_window_fallbacks=[{"small": ["large"]}])
    long = [{"role": "user", "content": "word " * 200}]
    reply = await ask("completion", owner=owner, model="small", messages=long)
    assert reply.choices[0].message.content
    assert [len(server.requests) for server in servers] == [1, 1]


async def test_one_deployment_of_several_servers(ask: Asker, servers: tuple[SimServer, SimServer]) -> None:
    keys = [{"name": "a", "url": servers[0].url, "weight": 0}, {"name": "b", "url": servers[1].url}]
    params = {"model": "vllm-connect/m", "keys": keys}
    owner = Router(model_list=[{"model_name": "both", "litellm_params": params}], num_retries=0)
    servers[1].fail_always("503", retry_after=60)
    for _ in range(3):
        reply = await ask("completion", owner=owner, model="both", messages=SAY)
        assert reply.choices[0].message.content == "hello there"
    assert [len(server.requests) for server in servers] == [3, 1]
