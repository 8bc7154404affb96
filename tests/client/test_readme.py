"""What the README tells users to write and to type works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vllm_connect.sim import SimServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
# Examples of the integrations are run by their own tests, in their own environments.
EXAMPLES = [
    example
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    if not re.search(r"^(from|import) (langchain|litellm|llama_index)", example, re.MULTILINE)
]
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_run(
    example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with SimServer(models=["llama"], max_model_len=4096) as server:
        monkeypatch.setenv("GPU2_URL", server.url)
        monkeypatch.setenv("GPU2_KEY", "secret")
        example = re.sub(r"http://(localhost:8000|gpu1:8000)", server.url, example)
        namespace: dict[str, object] = {"__name__": "__main__"}
        exec(compile(example, "README.md", "exec"), namespace)
        for name in ("client", "loop"):
            if hasattr(namespace.get(name), "close"):
                namespace[name].close()  # type: ignore[attr-defined]
    assert "Error" not in capsys.readouterr().err


def test_there_are_examples_and_commands() -> None:
    assert len(EXAMPLES) >= 3
    assert len(COMMANDS) >= 4


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z][a-z-]+)", README))
    assert named - {"sure"} <= targets
    assert {"demo", "test", "live", "live-up", "live-down", "record", "bench", "help"} <= targets


def test_extras_and_subcommands_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for extra in re.findall(r"vllm-connect\[(\w+)\]", README):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    from vllm_connect.cli import main

    assert callable(main)
