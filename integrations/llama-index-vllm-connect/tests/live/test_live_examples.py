"""The examples on real vLLM servers. What the tiny model says there is not looked at, except for the call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_agent_with_tools(url_of: Callable[[str], str]):
    assert "get_weather({'city': 'Paris'}) -> sunny" in run(
        "agent_with_tools.py", VLLM_BASE_URL=url_of("chat")
    )


def test_rag_with_rerank(url_of: Callable[[str], str]):
    said = run(
        "rag_with_rerank.py",
        VLLM_BASE_URL=url_of("chat"),
        VLLM_EMBED_URL=url_of("embed"),
        VLLM_RERANK_URL=url_of("rerank"),
    )
    first, second = [
        line for line in said.splitlines() if line.endswith((".", "!")) and line[:2] in ("0.", "1.")
    ]
    assert first.endswith("Paris is the capital of France.")
    assert second.endswith("Rome is the capital of Italy.")
