"""The examples run as they are, and so do the snippets of both READMEs that are for LlamaIndex."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vllm_connect.sim import SimServer

HERE = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (HERE / "examples").glob("*.py"))
SNIPPETS = [
    snippet
    for readme in (HERE / "README.md", HERE.parents[1] / "README.md")
    for snippet in re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    if "llama_index" in snippet
]


def run(arguments: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rag_with_rerank.py", "The capital of France is Paris."),
        ("agent_with_tools.py", "The weather in Paris is sunny."),
    ],
)
def test_example(name, says):
    assert says in run([str(HERE / "examples" / name)])


def test_every_example_is_run():
    assert EXAMPLES == ["agent_with_tools.py", "rag_with_rerank.py"]


def test_the_smoke_test():
    assert "all is well" in run([str(HERE / "tests" / "smoke.py")])


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme(number, tmp_path):
    with SimServer() as server:
        code = (
            SNIPPETS[number]
            .replace("http://localhost:8000", server.url)
            .replace("http://gpu1:8000", server.url)
        )
        path = tmp_path / "snippet.py"
        path.write_text(code)
        run([str(path)], GPU2_URL=server.url, VLLM_BASE_URL=server.url)
        assert server.requests
