"""pytest fixtures: a simulated vLLM server for tests.

    def test_something(vllm_sim):
        client = VLLM(vllm_sim.url)

pytest loads this module wherever vllm-connect is installed, so it imports nothing that is not there
without the extra `vllm-connect[sim]`, and the server starts only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import SimServer


@pytest.fixture(scope="session")
def _vllm_sim_server() -> Iterator[SimServer]:
    """One server for the whole session; `vllm_sim` makes it forget between tests."""
    try:
        from .. import SimServer
    except ModuleNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    with SimServer() as server:
        yield server


@pytest.fixture
def vllm_sim(_vllm_sim_server: SimServer) -> Iterator[SimServer]:
    """A simulated vLLM server with default options, as if freshly started."""
    _vllm_sim_server.reset()
    yield _vllm_sim_server
    _vllm_sim_server.reset()


@pytest.fixture
def vllm_sim_url(vllm_sim: SimServer) -> str:
    """The URL of the `vllm_sim` server, without `/v1`."""
    return vllm_sim.url
