"""What a real server says of itself explains its errors."""

from __future__ import annotations

import re

import pytest

from vllm_connect import NotFoundError, UnsupportedOperationError
from vllm_connect._calls.capabilities import ROUTES_SINCE, read_version

QUESTION = {"type": "predicate", "instructions": "Is it good?"}


async def test_a_model_of_another_kind(chat):
    version = str(await chat("server.version"))
    with pytest.raises(NotFoundError, match=re.escape(f"(vLLM {version})")) as raised:
        await chat("embeddings.create", input="a")
    assert "it serves chat completions, text completions" in str(raised.value)


async def test_a_route_of_a_newer_version(open):
    version = str(await open("server.version"))
    if read_version(version) >= ROUTES_SINCE["/v1/decisions"]:
        pytest.skip("this vLLM is no older than the route")
    with pytest.raises(UnsupportedOperationError, match=re.escape(f"0.33, the server is {version}")):
        await open("decisions.create", model="tiny-open", input="a", questions=[QUESTION], joint=True)
