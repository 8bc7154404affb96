"""Objects that are made per request share connections."""

from __future__ import annotations

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from vllm_connect.sim import SimServer

COUNT = 50


async def test_objects_of_different_settings_share_connections():
    with SimServer() as sim:
        for number in range(COUNT):
            settings = {"timeout": 10 + number, "default_headers": {"X-User": str(number)}}
            llm = VLLM(base_url=sim.url, model="sim-chat", temperature=number / COUNT, **settings)
            llm.complete("hi")
            list(llm.stream_complete("hi"))
            VLLMEmbedding(base_url=sim.url, model_name="sim-chat", **settings).get_text_embedding("hi")
        assert len({request.client for request in sim.requests}) <= 2
        sim.reset()
        for number in range(COUNT):
            llm = VLLM(base_url=sim.url, model="sim-chat", timeout=10 + number)
            await llm.acomplete("hi")
        assert len({request.client for request in sim.requests}) <= 2


async def test_a_configuration_opens_and_closes_connections_of_its_own():
    config = {"keys": [{"name": "a"}], "network_config": {"insecure_skip_verify": True}}
    with SimServer() as sim:
        config["keys"][0]["vllm_key_config"] = {"url": sim.url}
        llm = VLLM.from_config(config, model="sim-chat")
        llm.complete("hi")
        await llm.acomplete("hi")
        clients = llm.client, llm.async_client
        await llm.aclose()
        assert [client.is_closed() for client in clients] == [True, True]
        llm.complete("hi")  # it can still be used
        await llm.aclose()
