"""LangChain's caches, where no model was named: what one model has said is no other's answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from vllm_connect import AsyncVLLM
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM, VLLMCompletion


def chat_model(**fields: Any) -> Any:
    return ChatVLLM(**fields)


def completion_model(**fields: Any) -> Any:
    return VLLMCompletion(**fields)


async def invoked(model: Any) -> None:
    model.invoke("Say: hello")


async def ainvoked(model: Any) -> None:
    await model.ainvoke("Say: hello")


def generations(sim: SimServer) -> int:
    return sum("completions" in request.path for request in sim.requests)


models = pytest.mark.parametrize("make", [chat_model, completion_model])
faces = pytest.mark.parametrize("face", [invoked, ainvoked])


@models
@faces
async def test_the_served_model_tells_answers_apart(make: Any, face: Any) -> None:
    cache = InMemoryCache()
    with SimServer(models="small") as sim:
        port = int(sim.url.rsplit(":", 1)[1])
        for _ in range(2):  # another model object, the same server
            await face(make(base_url=sim.url, cache=cache))
        assert generations(sim) == 1
    with SimServer(models="large", port=port) as sim:
        await face(make(base_url=sim.url, cache=cache))
        assert generations(sim) == 1


@models
@faces
async def test_the_global_cache_too(make: Any, face: Any) -> None:
    set_llm_cache(InMemoryCache())
    try:
        with SimServer(models="small") as sim:
            port = int(sim.url.rsplit(":", 1)[1])
            await face(make(base_url=sim.url))
        with SimServer(models="large", port=port) as sim:
            await face(make(base_url=sim.url))
            await face(make(base_url=sim.url))
            assert generations(sim) == 1
    finally:
        set_llm_cache(None)


@models
@faces
async def test_a_model_that_is_named_is_not_asked_for(make: Any, face: Any) -> None:
    with SimServer(models="m") as sim:
        await face(make(base_url=sim.url, model="m", cache=InMemoryCache()))
        assert [request.path for request in sim.requests if "models" in request.path] == []


@models
@faces
async def test_without_a_cache_nobody_asks(make: Any, face: Any) -> None:
    with SimServer() as sim:
        await face(make(base_url=sim.url))
        assert [request.path for request in sim.requests if "models" in request.path] == []


@models
async def test_nothing_is_taken_for_an_answer_where_the_model_is_not_known(make: Any) -> None:
    with SimServer() as sim:
        model = make(async_client=AsyncVLLM(sim.url), cache=InMemoryCache())
        for _ in range(2):
            await model.ainvoke("Say: hello")
        assert generations(sim) == 2
