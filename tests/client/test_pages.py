"""The Python of every page of the documentation runs, from the top of the page to its bottom.

A block after `<!-- run: WHERE -->` is run elsewhere: by the tests of an integration, by those of third-party
tools, or by one of its own below.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import media

from vllm_connect.sim import SimServer

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
BLOCK = re.compile(r"(?:<!-- run: (\w+) -->\n)?```python\n(.*?)```", re.DOTALL)
ELSEWHERE = {"alone", "langchain", "litellm", "llama_index", "pytest", "ray"}


def blocks(page: Path, where: str = "") -> list[str]:
    """Return the blocks of a page that are run there; by default here, one program of several parts."""
    return [text for mark, text in BLOCK.findall(page.read_text("utf-8")) if mark == where]


WITH_PYTHON = [page for page in PAGES if blocks(page)]


@pytest.fixture
def server() -> Iterator[SimServer]:
    with SimServer(models=["llama"], max_model_len=4096) as sim:
        yield sim


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(
    page: Path, server: SimServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPU2_URL", server.url)
    monkeypatch.setenv("GPU2_KEY", "secret")
    monkeypatch.setenv("TEAM_KEY", "of the page on security, which sets it")
    monkeypatch.chdir(tmp_path)
    Path("speech.wav").write_bytes(media.tone(300))
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        block = re.sub(r"http://(localhost|gpu1):8000", server.url, block)
        exec(compile(block, page.name, "exec"), namespace)
        if hasattr(namespace.get("client"), "close"):
            namespace.setdefault("clients", []).append(namespace["client"])  # type: ignore[attr-defined]
    for client in namespace.get("clients", []):  # type: ignore[attr-defined]
        client.close()


def test_the_fixture_of_the_page_on_testing_works(tmp_path: Path) -> None:
    (block,) = blocks(next(page for page in PAGES if page.stem == "testing"), "pytest")
    (tmp_path / "test_it.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "alone")], ids=lambda page: page.stem
)
def test_what_changes_the_whole_process_runs_in_one_of_its_own(page: Path, server: SimServer) -> None:
    for block in blocks(page, "alone"):
        code = block.replace("http://localhost:8000", server.url)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert server.requests


def test_every_page_is_found_and_every_mark_is_known() -> None:
    assert len(WITH_PYTHON) >= 10
    marks = {mark for page in PAGES for mark, _ in BLOCK.findall(page.read_text("utf-8")) if mark}
    recipes = {mark for mark, _ in BLOCK.findall((PAGES[0].parent / "recipes.md").read_text("utf-8"))}
    assert marks - recipes <= ELSEWHERE
