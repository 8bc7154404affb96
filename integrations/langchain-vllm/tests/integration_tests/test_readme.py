"""The README's Python, run as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vllm_connect.sim import SimServer

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_block(block):
    with SimServer(models=["llama", "bge", "bge-reranker"]) as server:
        exec(compile(block.replace("http://localhost:8000", server.url), str(README), "exec"), {})
