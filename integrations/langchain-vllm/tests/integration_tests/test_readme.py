"""The Python of this package's README, and vllm-connect's that uses it, run as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vllm_connect.sim import SimServer

PACKAGE = Path(__file__).parents[2]
BLOCKS = [
    block
    for readme in (PACKAGE / "README.md", PACKAGE.parents[1] / "README.md")
    for block in re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    if "langchain_vllm" in block
]


def test_there_are_examples():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block(block, monkeypatch):
    with SimServer(models=["llama", "bge", "bge-reranker"]) as server:
        monkeypatch.setenv("GPU2_URL", server.url)
        block = re.sub(r"http://(localhost|gpu1):8000", server.url, block)
        exec(compile(block, "README.md", "exec"), {})
