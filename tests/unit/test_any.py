"""`Any` is a debt: how often the word may stand in a thousand lines, for each package."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.count_any import count

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("folder", "without", "most"),
    [
        ("src/vllm_connect", ("sim", "cli"), 20),
        ("integrations/langchain-vllm/langchain_vllm", (), 40),
        ("integrations/llama-index-vllm-connect/llama_index", (), 40),
    ],
)
def test_the_word_any_is_rare(folder: str, without: tuple[str, ...], most: int) -> None:
    found = count(ROOT / folder, without)
    assert found.lines > 1000
    assert found.per_thousand <= most
