"""Compare our client with the stock openai SDK: `python -m benchmarks [SCENARIO …]`.

CPU time, user and system, of the client process; the server is another. The sides take turns in one run, and
medians are compared: the figures depend on the machine, the ratios hardly do.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable

import openai

from .scenarios import OURS, SCENARIOS, Clients, Row, Scenario
from .server import running

_HEADINGS = ("scenario", "against", "theirs", "ours", "compared", "goal", "met")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n" + "".join(f"  {name:12}{run.__doc__}\n" for name, run in SCENARIOS.items()),
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all of them")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(unknown)} (there are {', '.join(SCENARIOS)})")

    rows: list[Row] = []
    with running() as url:
        clients = Clients(url)
        for name in arguments.scenarios or SCENARIOS:
            for scenario in SCENARIOS[name](clients, url):
                rows += _run(scenario, arguments.rounds)
        clients.close()
    if arguments.json:
        print(json.dumps([{**row._asdict(), "ratio": row.ratio, "met": row.met} for row in rows], indent=1))
        return
    print(f"{OURS} beside openai {openai.__version__}, Python {platform.python_version()}:")
    print(f"median of {arguments.rounds} rounds; times are CPU time of the client process\n")
    print(_table([_HEADINGS, *map(_cells, rows)]))


def _run(scenario: Scenario, rounds: int) -> list[Row]:
    if sys.stderr.isatty():
        print(f"\r\033[K{scenario.title} …", end="", file=sys.stderr, flush=True)
    try:
        return scenario.run(rounds)
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


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


if __name__ == "__main__":
    main()
