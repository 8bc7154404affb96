"""A batch that is killed and goes on, beside one that runs straight: `python -m benchmarks.bulk.resume`.

`vllm-connect batch` answers the same file twice, greedily. One run is ended by `kill -9` when half of the
answers are written, and goes on with `--resume`. Then the two outputs are compared, row by row. On the
simulator, and on the live servers that `VLLM_LIVE_CHAT_URL` and `VLLM_LIVE_TWIN_URL` name.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import pages
from ..machine import caption, machine
from .simulator import MODEL, simulator

ROWS = 2000
NAME = "bulk_resume"
LIVE = ("VLLM_LIVE_CHAT_URL", "VLLM_LIVE_TWIN_URL")
LIVE_MODEL = "tiny-chat"


class Comparison(NamedTuple):
    """The result of a run that was killed.

    Attributes:
        servers: "simulator" or "vLLM", and how many.
        rows: of the input.
        at_kill: rows that were answered when it was killed.
        answered: rows that the second run answered.
        missing: rows without an answer.
        twice: rows with more than one.
        different: rows whose answer is not that of the straight run.
    """

    servers: str
    rows: int
    at_kill: int
    answered: int
    missing: int
    twice: int
    different: int

    @property
    def is_equal(self) -> bool:
        """Whether the outputs are the same, and the second run answered no more than was left."""
        wrong = self.missing + self.twice + self.different
        return wrong == 0 and self.at_kill + self.answered == self.rows


def write_requests(path: Path, rows: int, model: str) -> None:
    """Write the input: questions that differ, of which each has one likeliest answer."""
    with path.open("w") as lines:
        for number in range(rows):
            message = {"role": "user", "content": f"Say: the number {number}"}
            body = {"model": model, "messages": [message], "temperature": 0, "max_tokens": 12}
            entry = {"custom_id": f"row-{number}", "url": "/v1/chat/completions", "body": body}
            lines.write(json.dumps({**entry, "method": "POST"}) + "\n")


def answers(path: Path) -> dict[str, list[Any]]:
    """Return what an output says of each row: message, reason of the end, token counts."""
    found: dict[str, list[Any]] = {}
    with path.open() as lines:
        for line in lines:
            entry = json.loads(line)
            body = entry["response"]["body"]
            choice, usage = body["choices"][0], body["usage"]
            said = choice["message"]["content"], choice["finish_reason"], usage["completion_tokens"]
            found.setdefault(entry["custom_id"], []).append((entry["response"]["status_code"], *said))
    return found


def compare(servers: str, urls: Sequence[str], model: str, rows: int, folder: Path) -> Comparison:
    """Run both."""
    given, straight, killed = (folder / f"{name}.jsonl" for name in ("in", "straight", "killed"))
    write_requests(given, rows, model)
    command = [sys.executable, "-m", "vllm_connect", "batch", str(given)]
    options = [part for url in urls for part in ("--url", url)] + ["--json"]
    subprocess.run([*command, str(straight), *options], check=True, stdout=subprocess.DEVNULL)

    process = subprocess.Popen([*command, str(killed), *options], stdout=subprocess.DEVNULL)
    while not killed.exists() or killed.read_bytes().count(b"\n") < rows // 2:
        if process.poll() is not None:
            raise RuntimeError("the run ended before it was killed")
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    at_kill = killed.read_bytes().count(b"\n")
    resumed = subprocess.run(
        [*command, str(killed), *options, "--resume"], check=True, stdout=subprocess.PIPE
    )
    summary = json.loads(resumed.stdout)

    one, other = answers(straight), answers(killed)
    return Comparison(
        servers,
        rows,
        at_kill,
        summary["answered"],
        missing=rows - len(other),
        twice=sum(len(each) > 1 for each in other.values()),
        different=sum(other.get(name) != each for name, each in one.items()),
    )


def table(comparisons: Sequence[Comparison]) -> str:
    """The result, for the documentation."""
    lines = [
        "| servers | rows | answered when killed | by the second run | missing | twice | different |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [f"| {' | '.join(map(str, each))} |" for each in comparisons])


def main() -> int:
    """Run what the command line says; 1 if anything differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bulk.resume",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the result, and write docs/bulk.md anew")
    arguments = parser.parse_args()
    comparisons = []
    with tempfile.TemporaryDirectory() as folder, simulator() as one, simulator() as two:
        comparisons.append(compare("2 simulators", [one, two], MODEL, arguments.rows, Path(folder)))
    if urls := [os.environ[name] for name in LIVE if name in os.environ]:
        with tempfile.TemporaryDirectory() as folder:
            comparisons.append(compare(f"{len(urls)} vLLM", urls, LIVE_MODEL, arguments.rows, Path(folder)))
    else:
        print(f"without live servers: {' and '.join(LIVE)} would name them", file=sys.stderr)
    made = machine("openai", "vllm-connect")
    text = f"{caption(made)}\n\n{table(comparisons)}"
    print(text)
    if arguments.write:
        pages.keep(NAME, {"machine": made, "comparisons": [each._asdict() for each in comparisons]})
        pages.write("bulk.md", NAME, text)
    return 0 if all(each.is_equal for each in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
