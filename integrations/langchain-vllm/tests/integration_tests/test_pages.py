"""LangChain's blocks of each page of the documentation run, from the top of the page to its bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vllm_connect.sim import SimServer

BLOCK = re.compile(r"<!-- run: langchain -->\n```python\n(.*?)```", re.DOTALL)
TEXTS = {page: page.read_text("utf-8") for page in (Path(__file__).parents[4] / "docs").glob("*.md")}
PAGES = sorted(page for page, text in TEXTS.items() if BLOCK.search(text))


def test_there_are_pages():
    assert {"langchain", "index"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page, monkeypatch):
    with SimServer(models=["llama"]) as server:
        monkeypatch.setenv("GPU2_URL", server.url)
        namespace = {"__name__": "__main__"}
        for block in BLOCK.findall(TEXTS[page]):
            block = re.sub(r"http://(localhost|gpu1):8000", server.url, block)
            exec(compile(block, page.name, "exec"), namespace)
