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
        ("integrations/langchain-vllm/langchain_vllm", (), 58),  # as it is; 40 is the aim
        ("integrations/llama-index-vllm-connect/llama_index", (), 47),  # the same
    ],
)
def test_the_word_any_is_rare(folder: str, without: tuple[str, ...], most: int) -> None:
    found = count(ROOT / folder, without)
    assert found.lines > 1000
    assert found.per_thousand <= most
