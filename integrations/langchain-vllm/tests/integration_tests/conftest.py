from __future__ import annotations

import pytest
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM
from tests.servers import simulator


@pytest.fixture
def sim() -> SimServer:
    server = simulator()
    server.reset()
    yield server
    server.reset()


@pytest.fixture
def model(sim: SimServer) -> ChatVLLM:
    return ChatVLLM(model="sim-chat", base_url=sim.url, max_retries=0)
