"""Models that are made per request share what is dear: connections and TLS contexts."""

from __future__ import annotations

import importlib
from typing import Any

import openai
import pytest
from langchain_core.runnables import ConfigurableField
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM, VLLMEmbeddings

COUNT = 50


def settings(number: int) -> dict[str, Any]:
    """Settings that differ from request to request, as those of users and tenants do."""
    return {
        "timeout": 10 + number,
        "default_headers": {"X-User": str(number)},
        "temperature": number / COUNT,
        "max_retries": number % 2,
    }


async def test_models_of_different_settings_share_connections():
    with SimServer() as sim:
        for number in range(COUNT):
            model = ChatVLLM(base_url=sim.url, **settings(number))
            model.invoke("hi")
            list(model.stream("hi"))
            VLLMEmbeddings(base_url=sim.url, timeout=10 + number).embed_query("hi")
        assert len({request.client for request in sim.requests}) <= 2
        sim.reset()
        for number in range(COUNT):
            model = ChatVLLM(base_url=sim.url, **settings(number))
            await model.ainvoke("hi")
            assert [chunk async for chunk in model.astream("hi")]
        assert len({request.client for request in sim.requests}) <= 2
        headers = [request.headers["x-user"] for request in sim.requests if "chat" in request.path]
        assert headers == [str(number) for number in range(COUNT) for _ in (1, 2)]


def test_configurable_fields_share_connections():
    with SimServer() as sim:
        fields: dict[str, Any] = {name: ConfigurableField(id=name) for name in ("timeout", "temperature")}
        model = ChatVLLM(base_url=sim.url).configurable_fields(**fields)
        for number in range(COUNT):
            given = {"timeout": 10 + number, "temperature": number / COUNT}
            model.invoke("hi", {"configurable": given})
        assert len({request.client for request in sim.requests}) <= 2


async def test_models_share_a_tls_context(monkeypatch):
    httpx = importlib.import_module(openai.DefaultHttpxClient.__bases__[0].__module__)
    made = []
    create = httpx.create_ssl_context
    monkeypatch.setattr(
        httpx, "create_ssl_context", lambda *args, **options: made.append(1) or create(*args, **options)
    )
    for number in range(COUNT):
        model = ChatVLLM(base_url="https://127.0.0.1:9", **{**settings(number), "max_retries": 0})
        with pytest.raises(openai.APIConnectionError):
            model.invoke("hi")
        with pytest.raises(openai.APIConnectionError):
            await model.ainvoke("hi")
    assert len(made) <= 1


async def test_a_configuration_opens_and_closes_connections_of_its_own():
    with SimServer() as sim:
        config = {
            "keys": [{"name": "a", "vllm_key_config": {"url": sim.url}}],
            "network_config": {"insecure_skip_verify": True, "max_conns_per_host": 3, "max_retries": 1},
        }
        model = ChatVLLM.from_config(config, model="sim-chat")
        assert model.max_retries == 1
        model.invoke("hi")
        await model.ainvoke("hi")
        copied = model.model_copy(update={"temperature": 0})
        changed = model.configurable_fields(temperature=ConfigurableField(id="t"))
        copied.invoke("hi")
        changed.invoke("hi", {"configurable": {"t": 0.5}})
        assert len({request.client for request in sim.requests}) == 2  # a sync and an async one
        clients = model._client(), model._async_client()
        assert copied._client() is clients[0]
        copied.close()
        assert not clients[0].is_closed()  # which model uses
        model.close()
        await model.aclose()
        assert [client.is_closed() for client in clients] == [True, True]
        model.invoke("hi")  # it may be used again
        assert model._client() is not clients[0]
        model.close()


def test_connections_that_somebody_uses_stay_open():
    with SimServer() as sim:
        one, other = (ChatVLLM(base_url=sim.url, timeout=seconds) for seconds in (5, 6))
        one.invoke("hi")
        other.invoke("hi")
        one.close()
        other.invoke("hi")
        assert len({request.client for request in sim.requests}) == 1
        other.close()
        one.invoke("hi")
        assert len({request.client for request in sim.requests}) == 2
        one.close()
