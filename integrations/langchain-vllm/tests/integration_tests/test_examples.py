"""The examples, run as they are."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from vllm_connect.sim import SimServer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, capsys):
    with SimServer(max_model_len=2048) as server:
        runpy.run_path(str(path))["main"](server.url)
    printed = capsys.readouterr().out
    expected = {
        "agent": ["The weather in Paris is sunny.", "punchline=", "summary of the conversation"],
        "rag": ["The capital of France is Paris."],
    }
    for text in expected[path.stem]:
        assert text in printed
