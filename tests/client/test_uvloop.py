"""The client on uvloop, the loop of many servers, which watches sockets in its own way."""

from __future__ import annotations

import sys

import pytest

from vllm_connect import AsyncVLLM
from vllm_connect.errors import IncompleteStreamError
from vllm_connect.sim import SimServer

if sys.platform == "win32":
    pytest.skip("uvloop is not made for Windows", allow_module_level=True)
else:
    import uvloop


def test_a_reset_behind_data_is_noticed() -> None:
    async def main() -> None:
        with SimServer(models="llama") as sim:
            async with AsyncVLLM(sim.url, max_retries=0, timeout=5) as client:
                for _ in range(5):
                    sim.fail_next("cut", where="between", after=2, how="rst")
                    stream = await client.completions.create(model="llama", prompt="Say: x", stream=True)
                    with pytest.raises(IncompleteStreamError):
                        [chunk async for chunk in stream]

    uvloop.run(main())
