"""`vllm-connect demo`: it shows every operation through both clients, and the quirks, as they happen."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console
from tests.client.test_cli import OPERATIONS, SECRET, STREAMED, server_of
from typer.testing import CliRunner, Result

from vllm_connect.cli import demo as demonstration
from vllm_connect.cli.app import app
from vllm_connect.cli.demo import demonstrate
from vllm_connect.cli.demo_page import DemoPage
from vllm_connect.cli.outcomes import NotAsExpected, Piece
from vllm_connect.cli.probes import PROBES, SENTENCE
from vllm_connect.cli.quirks import QUIRKS, Quirk
from vllm_connect.sim import SimServer

LACKING = "images, speech, files, batches, …"


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody watches, so nothing is slowed down."""
    monkeypatch.setattr(demonstration, "_PACE", 0.0)
    for name in ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["demo", *arguments])


def test_the_demo_in_a_process_of_its_own() -> None:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VLLM_", "PYTHONIO", "PYTHONUTF"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "vllm_connect", "demo"],
        env={**kept, "COLUMNS": "120", "PYTHONUTF8": "1"}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    text = done.stdout.decode()
    assert done.returncode == 0, text
    assert done.stderr == b""
    assert "\x1b" not in text
    for operation in OPERATIONS:
        assert re.search(rf"^{re.escape(operation)} .*✅ .*✅ ", text, re.MULTILINE), operation
    assert "refused without a request: " in text
    assert "images.generate is " in text
    assert text.count("  streamed ") == len(STREAMED)
    assert "│ arr│ives│" in text  # the chunks that a streamed answer came in
    assert f"18 operations; {len(QUIRKS)} quirks; " in text
    assert "all as it should be." in text
    for claim in (
        "raises BadRequestError: The prompt is bad. (sent as HTTP 200)",
        "asks /rerank, remembers it",
        "raises MissingURLError: no base URL configured",
    ):
        assert claim in " ".join(text.split())


def test_json_is_complete() -> None:
    result = run("--json")
    assert result.exit_code == 0, result.output
    read = json.loads(result.stdout)
    assert (read["ok"], read["simulated"], read["version"]) == (True, True, "sim")
    rows = [(row["operation"], row["stream"]) for row in read["operations"]]
    assert [operation for operation, stream in rows if not stream] == [*OPERATIONS, LACKING]
    assert {operation for operation, stream in rows if stream} == STREAMED
    for row in read["operations"]:
        for way in ("sync", "async"):
            expected = "absent" if row["operation"] == LACKING else "ok"
            assert row[way]["status"] == expected, row
    for row in read["operations"][:6]:
        for way in ("sync", "async"):
            assert row[way]["answer"] == SENTENCE
            assert row[way]["reasoning"] == "I say it."
    assert len(read["quirks"]) == len(QUIRKS)
    assert all(quirk["ok"] for quirk in read["quirks"]), read["quirks"]


def test_a_server_of_ones_own_shows_what_it_serves() -> None:
    with SimServer(tasks="embed", models="mine") as sim:
        result = run("--url", sim.url)
        asked = [request.path for request in sim.requests]
    assert result.exit_code == 0, result.output
    assert re.search(r"^embeddings .*384 numbers.*✅ .*✅ ", result.output, re.MULTILINE)
    assert re.search(r"^chat completions .*not served: no such route +– +–", result.output, re.MULTILINE)
    assert "all as it should be" in result.output
    assert "raises MissingURLError" in result.output  # quirks need no server but the simulator
    assert asked.count("/v1/chat/completions") == 2  # no use in asking again through the other client


def test_a_failure_is_one(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("500", path="/v1/embeddings", message="The engine is gone.")
    result = run("--url", vllm_sim.url)
    assert result.exit_code == 1
    assert "sync: The engine is gone." in result.output
    assert "1 failure." in result.output


def test_a_stream_that_fails_in_the_middle(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("cut", path="/v1/completions", after=3)
    read = json.loads(run("--url", vllm_sim.url, "--json").stdout)
    streamed = next(
        row for row in read["operations"] if row["stream"] and row["operation"] == "text completions"
    )
    for way in ("sync", "async"):
        assert streamed[way]["status"] == "failed"
        assert "The stream ended before it was complete" in streamed[way]["reason"]
    assert read["exit_code"] == 1


def test_a_quirk_that_is_not_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def disappoint(sim: SimServer) -> str:
        raise NotAsExpected("it did nothing")

    monkeypatch.setattr(demonstration, "QUIRKS", (Quirk("the server sleeps", disappoint),))
    result = run()
    assert result.exit_code == 1
    assert re.search(r"❌ +the server sleeps +it did nothing", result.output)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_vllm_server(options: list[str]) -> None:
    with server_of(lambda path, _: (200, "text/html", "<h1>Hello</h1>")) as url:
        result = run("--url", url, *options)
    assert result.exit_code == 3
    assert "no vLLM server" in result.output
    assert run("--url", url, *options).exit_code == 3  # gone


def test_api_keys_are_used_and_not_shown() -> None:
    with SimServer(api_key=SECRET) as sim:
        locked, right = run("--url", sim.url), run("--url", sim.url, "--api-key", SECRET)
    assert locked.exit_code == 1
    assert "asks for an API key" in locked.output
    assert right.exit_code == 0
    assert SECRET not in right.output


def test_words_appear_one_after_another_on_a_terminal() -> None:
    file = io.StringIO()
    page = DemoPage(Console(file=file, force_terminal=True, width=100, markup=False))
    pieces = [Piece("I say it.", thought=True)]
    for word in ("Each", " word", " arrives"):
        pieces.append(Piece(word))
        before = file.tell()
        page.grow(PROBES[0], "sync", pieces)
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()[before:])
        assert "(I say it.) " + "".join(piece.text for piece in pieces[1:]) in shown
    page.close()
    assert file.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in file.getvalue()  # the cursor is back


def test_every_row_is_told_as_soon_as_it_is_done() -> None:
    told: list[str] = []

    class Page:
        def begin(self, facts: Any, simulated: bool) -> None:
            told.append("begin")

        def grow(self, probe: Any, by: str, pieces: Any) -> None:
            told.append(f"{by}: {pieces[-1].text}")

        def add(self, row: Any) -> None:
            told.append(f"{row.probe.operation}{' streamed' * row.stream}")

        def add_quirk(self, shown: Any) -> None:
            told.append("quirk")

        def end(self, result: Any) -> None:
            told.append("end")

    demonstrate(page=Page())
    assert told[:2] == ["begin", "chat completions"]
    first = told[2 : told.index("chat completions streamed")]
    assert [text for text in first if text.startswith("sync")][-3:] == ["sync:  wri", "sync: tten", "sync: ."]
    assert first[-1] == "async: ."
    assert told[-1 - len(QUIRKS) :] == ["quirk"] * len(QUIRKS) + ["end"]
