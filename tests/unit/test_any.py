"""`Any` is a debt: how often the word may stand in a thousand lines, for each package."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.count_any import count

ROOT = Path(__file__).parents[2]


def test_a_name_that_stands_for_any_counts(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from typing import Any\n\nThing = Any\n\nx: Thing = 1\n")
    (tmp_path / "b.py").write_text("from .a import Thing, x\n\ny: Thing = x\n")
    (tmp_path / "c.py").write_text("class Thing: ...\n")
    assert count(tmp_path).words == 2 + 2 + 2


@pytest.mark.parametrize(
    ("folder", "without", "most"),
    [
        ("src/vllm_connect", ("sim", "cli"), 20),
        ("integrations/langchain-vllm/langchain_vllm", (), 40),
        ("integrations/litellm-vllm-connect/litellm_vllm_connect", (), 40),
        ("integrations/llama-index-vllm-connect/llama_index", (), 40),
        ("integrations/llama-index-vllm-connect/llama_index_vllm_connect", (), 40),
    ],
)
def test_the_word_any_is_rare(folder: str, without: tuple[str, ...], most: int) -> None:
    found = count(ROOT / folder, without)
    assert found.lines > 400
    assert found.per_thousand <= most
