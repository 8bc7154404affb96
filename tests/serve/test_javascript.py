"""JavaScript's clients on the gateway: the stock SDK, LangChain.js, Anthropic's SDK and Vercel's AI SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import Running

from vllm_connect.sim import SimServer

FOLDER = Path(__file__).parent / "javascript"
NODE = shutil.which("node")
GREETING, DIMENSIONS = "Grüße", 64

if NODE is None or not (FOLDER / "node_modules").is_dir():
    if os.environ.get("JAVASCRIPT_REQUIRED"):
        raise RuntimeError("Node.js, or what `make test-javascript` installs for it, is not here")
    pytest.skip("needs Node.js 20 and what `make test-javascript` installs", allow_module_level=True)


def printed(script: str, gateway: Running) -> Any:
    """What a script prints that is given the gateway's URL."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(FOLDER / script), gateway.url],
        capture_output=True, check=False, timeout=120, encoding="utf-8",
        env={**os.environ, "NO_COLOR": "1", "LANGSMITH_TRACING": "false"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_stock_sdk(gateway: Running) -> None:
    got = printed("openai.mjs", gateway)
    assert (got["chat"], got["streamed"], got["finish"]) == (GREETING, GREETING, "stop")
    assert got["called"]["name"] == "get_weather"
    assert isinstance(json.loads(got["called"]["arguments"])["city"], str)
    assert isinstance(got["age"], int)
    assert len(got["vectors"]) == 2
    assert got["vectors"][0] == got["vectors"][1] > 0
    assert (got["response"], got["responseText"]) == ("hi", "hi")
    assert "llama" in got["models"]
    assert got["unknown"] == {"status": 404, "code": "model_not_found", "kind": "NotFoundError"}
    assert got["unsupported"]["status"] == 501


def test_langchain(gateway: Running, sim: SimServer) -> None:
    got = printed("langchain.mjs", gateway)
    assert (got["chat"], got["streamed"], got["responses"]) == (GREETING, GREETING, "hi")
    assert got["usage"]["output_tokens"] > 0
    for called in (got["called"], *got["gathered"]):
        assert called["name"] == "get_weather"
        assert isinstance(called["args"]["city"], str)
    assert len(got["gathered"]) == 1
    assert all(isinstance(age, int) for age in got["ages"].values())
    assert len(got["ages"]) == 2
    assert len(set(got["vectors"])) == 1
    assert len(got["vectors"]) == 3
    assert got["error"] == {"status": 404, "code": "model_not_found"}
    assert "sk-of-the-client" not in str([request.headers for request in sim.requests])


def test_langchain_is_told_of_a_broken_stream(gateway: Running, sim: SimServer) -> None:
    sim.fail_next("unfinished", after=2)
    assert printed("broken_stream.mjs", gateway) == {"began": True, "ended": "incomplete_stream"}


def test_anthropics_sdk(gateway: Running) -> None:
    got = printed("anthropic.mjs", gateway)
    assert (got["message"], got["streamed"]) == ("hi", "hi")
    assert got["tokens"] > 0
    assert got["error"] == {"status": 404, "type": "not_found_error"}


def test_vercels_ai_sdk(gateway: Running) -> None:
    got = printed("ai_sdk.mjs", gateway)
    assert (got["text"], got["streamed"]) == (GREETING, GREETING)
    assert got["called"]["name"] == "get_weather"
    assert isinstance(got["called"]["input"]["city"], str)
    assert isinstance(got["age"], int)
    assert len(set(got["vectors"])) == 1
    assert got["status"] == 404
