"""The table that a comparison ends with."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence

from .scenarios import Row, Scenario

_HEADINGS = ("scenario", "against", "theirs", "ours", "compared", "goal", "met")


def run(scenario: Scenario, rounds: int) -> list[Row]:
    """Run a scenario, and say meanwhile which one it is."""
    if sys.stderr.isatty():
        print(f"\r\033[K{scenario.title} …", end="", file=sys.stderr, flush=True)
    try:
        return scenario.run(rounds)
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def show(rows: Sequence[Row], rounds: int, what: str) -> None:
    """Print the table."""
    print(f"{what}, Python {platform.python_version()}:")
    print(f"median of {rounds} rounds; times are CPU time of the client process\n")
    print(_table([_HEADINGS, *map(_cells, rows)]))


def _cells(row: Row) -> tuple[str, ...]:
    def amount(value: float) -> str:
        return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {row.unit}"

    compared = f"{row.ratio:.1f}x less" if row.goal_is_ratio else f"{row.on_top:+.1f} {row.unit}"
    goal = ""
    if row.goal is not None:
        goal = f"≥ {row.goal:g}x" if row.goal_is_ratio else f"≤ +{row.goal:g} {row.unit}"
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return row.scenario, row.against, amount(row.theirs), amount(row.ours), compared, goal, met


def _table(lines: Iterable[tuple[str, ...]]) -> str:
    lines = list(lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    texts = 2  # the columns of words are aligned left, those of numbers right
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
