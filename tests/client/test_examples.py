"""Every example runs, against the simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.media import tone

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
}


def test_every_example_is_known() -> None:
    assert {example.name for example in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(example: Path, vllm_sim: SimServer, tmp_path: Path) -> None:
    (tmp_path / "low.wav").write_bytes(tone(300))
    arguments = [str(tmp_path / "low.wav")] if example.name == "transcribe.py" else []
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        env={**os.environ, "VLLM_BASE_URL": vllm_sim.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert SAYS[example.name] in ran.stdout
    assert ran.stderr == ""
