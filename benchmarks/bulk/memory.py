"""Memory of a process that sends a million rows through `map`: `python -m benchmarks.bulk.memory [ROWS]`.

The rows come from a generator, go to the simulator in another process, and are dropped; what the process
holds is looked at after each hundredth of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic, process_time
from typing import Any, NamedTuple

from vllm_connect import AsyncVLLM

from .. import pages
from ..machine import caption, machine
from ..pictures import line
from .simulator import simulator

ROWS = 1_000_000
ABOUT = "Many rows (`make bench-memory`), tokenized by the simulator in another process:"
NAME = "bulk_memory"


class Point(NamedTuple):
    """How a run stood.

    Attributes:
        rows: done so far.
        megabytes: of memory that the process holds (resident set).
        seconds: since it began.
        cpu_seconds: user and system, of this process.
    """

    rows: int
    megabytes: float
    seconds: float
    cpu_seconds: float


def resident_megabytes() -> float:
    """Return the memory that this process holds now; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def run(url: str, rows: int, *, tell: bool = False) -> tuple[list[Point], int]:
    """Send the rows; return how the run stood meanwhile, and how many rows failed."""
    began, cpu = monotonic(), process_time()
    points: list[Point] = []
    failed = done = 0

    def note() -> None:
        points.append(Point(done, resident_megabytes(), monotonic() - began, process_time() - cpu))
        if tell:
            print(f"{done:9,} rows  {points[-1].megabytes:6.1f} MB  {points[-1].seconds:6.0f} s", flush=True)

    def inputs() -> Iterator[str]:
        for number in range(rows):
            yield f"Row {number} is about something else than the one before it."

    note()
    async with AsyncVLLM(url) as client:
        async for row in client.map("tokenize", inputs()):
            done += 1
            failed += row.error is not None or row.index != done - 1
            if done % max(1, rows // 100) == 0:
                note()
    return points, failed


def growth(points: list[Point]) -> float:
    """Return how much more was held at the most in the last half than at the most in the first tenth."""
    rows = points[-1].rows
    first = max(point.megabytes for point in points if point.rows <= rows / 10)
    return max(point.megabytes for point in points if point.rows > rows / 2) - first


def table(result: Mapping[str, Any]) -> str:
    """The result, for the documentation."""
    points = [Point(*each) for each in result["points"]]
    rows = points[-1].rows
    shown = [point for point in points if point.rows * 10 % rows == 0]
    lines = [caption(result["machine"]), "", "| rows done | memory | CPU a row |", "|---|---|---|"]
    for point in shown:
        cpu = f"{point.cpu_seconds / point.rows * 1e3:.2f} ms" if point.rows else ""
        lines.append(f"| {point.rows:,} | {point.megabytes:.1f} MB | {cpu} |")
    told = f"{result['failed']} rows failed or came out of order"
    return "\n".join([*lines, "", f"{told}; {growth(points):+.1f} MB after the first tenth."])


def publish(result: Mapping[str, Any]) -> None:
    """Write the page and its picture."""
    points = [Point(*each) for each in result["points"]]
    title = f"Memory of a process that sends {points[-1].rows:,} rows through map"
    drawn = [(point.rows, point.megabytes) for point in points]
    across = f"{points[-1].rows:,} rows"
    picture = line(title, caption(result["machine"]), drawn, across, "MB", most=100)
    (pages.IMAGES / "bulk-memory.svg").write_text(picture)
    shown = f"![{title}](images/bulk-memory.svg)"
    pages.write("bulk.md", NAME, f"{ABOUT}\n\n{shown}\n\n{table(result)}")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk.memory", description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the result, and write docs/bulk.md anew")
    parser.add_argument("--again", action="store_true", help="measure nothing, and write what was kept")
    arguments = parser.parse_args()
    if arguments.again:
        publish(pages.kept(NAME))
        return
    with simulator() as url:
        points, failed = asyncio.run(run(url, arguments.rows, tell=True))
    result = {"machine": machine("openai", "vllm-connect"), "failed": failed, "points": points}
    print(table(result))
    if arguments.write:
        pages.keep(NAME, result)
        publish(result)


if __name__ == "__main__":
    main()
