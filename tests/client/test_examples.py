"""Every example runs, against the simulator."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from tests.media import png, tone

from vllm_connect.sim import SimServer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SAYS = {
    "chat.py": "Paris",
    "stream.py": "tokens",
    "structured_outputs.py": "City(name=",
    "tools.py": "18 degrees and cloudy in Paris",
    "responses.py": "Alice",
    "embeddings.py": "(3, 384)",
    "rerank.py": "{'text': 'Paris is the capital of France.'}",
    "async_many.py": "97 98 99",
    "errors.py": "unsupported: images.generate is not supported by vllm",
    "transcribe.py": "in all: ' This is a low tone.'",
    "reasoning.py": "thinking False: None, 'The capital of France is Paris.'",
    "choice_regex_grammar.py": "grammar red",
    "stop_early.py": "1 2 3",
    "tokens.py": "of 32768",
    "score_and_classify.py": "LABEL_0",
    "completions.py": "1 '",
    "several_servers.py": "up healthy",
    "models.py": "sim-chat with a context of 32768",
    "image.py": "1 picture",
    "logprobs.py": "'yes' 0.9",
    "parse_stream.py": "City(name='name', country='country')",
    "simulator.py": "noticed: The stream ended before it was complete",
}
ARGUMENTS = {"transcribe.py": "low.wav", "image.py": "red.png"}


def test_every_example_is_known() -> None:
    assert {example.name for example in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_is_read_at_a_glance(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 20


@pytest.fixture
def arguments(vllm_sim: SimServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The command line of each example that has one; the simulator is the server of all."""
    monkeypatch.setenv("VLLM_BASE_URL", vllm_sim.url)
    (tmp_path / "low.wav").write_bytes(tone(300))
    (tmp_path / "red.png").write_bytes(png((255, 0, 0)))
    return {name: [str(tmp_path / file)] for name, file in ARGUMENTS.items()}


# Here, since starting Python and importing the SDK takes ten times what an example does.
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(
    example: Path,
    arguments: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [str(example), *arguments.get(example.name, [])])
    runpy.run_path(str(example), run_name="__main__")
    stdout, stderr = capfd.readouterr()
    assert SAYS[example.name] in stdout
    assert stderr == ""


@pytest.mark.usefixtures("arguments")
@pytest.mark.parametrize("name", ["chat.py", "async_many.py"])
def test_an_example_in_a_process_of_its_own(name: str) -> None:
    (example,) = (example for example in EXAMPLES if example.name == name)
    # Old versions of starlette import what warns of its own name.
    command = [sys.executable, "-W", "error", "-W", "ignore::PendingDeprecationWarning", str(example)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert SAYS[name] in ran.stdout
    assert ran.stderr == ""
