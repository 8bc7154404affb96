"""The examples run as they are, and so do the snippets of both READMEs that are for LlamaIndex."""

from __future__ import annotations

import re
import runpy
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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rag_with_rerank.py", "The capital of France is Paris."),
        ("agent_with_tools.py", "The weather in Paris is sunny."),
    ],
)
def test_example(name, says, capsys):
    # Here, since starting Python and importing LlamaIndex takes ten times what an example does.
    runpy.run_path(str(HERE / "examples" / name), run_name="__main__")
    assert says in capsys.readouterr().out


def test_every_example_is_run():
    assert EXAMPLES == ["agent_with_tools.py", "rag_with_rerank.py"]


def test_the_smoke_test_in_a_process_of_its_own():
    command = [sys.executable, str(HERE / "tests" / "smoke.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme(number, tmp_path, monkeypatch):
    with SimServer() as server:
        monkeypatch.setenv("GPU2_URL", server.url)
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        code = (
            SNIPPETS[number]
            .replace("http://localhost:8000", server.url)
            .replace("http://gpu1:8000", server.url)
        )
        path = tmp_path / "snippet.py"
        path.write_text(code)
        runpy.run_path(str(path), run_name="__main__")
        assert server.requests
