"""The simulator answers as vLLM 0.32 did: the table of `agreement.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.simulator.agreement import LIKE, ROWS, ask, recorded

from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

ANSWERS = recorded()


@pytest.fixture(scope="module")
def simulators() -> Iterator[dict[str, Any]]:
    """A client of a simulator that is like each of the live servers."""
    servers = {name: SimServer(**options).start() for name, options in LIKE.items()}
    clients = {name: httpx.Client(base_url=one.url, verify=False) for name, one in servers.items()}
    yield clients
    for name, server in servers.items():
        clients[name].close()
        server.stop()


@pytest.mark.parametrize("name", ROWS)
def test_simulator_answers_as_vllm_did(simulators: dict[str, Any], name: str) -> None:
    assert ask(simulators[ROWS[name].server], ROWS[name]) == ANSWERS[name]
