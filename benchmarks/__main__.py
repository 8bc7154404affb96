"""Compare our client with the stock openai SDK: `python -m benchmarks [SCENARIO …]`.

CPU time, user and system, of the client process; the server is another. The sides take turns in one run, and
medians are compared: the figures depend on the machine, the ratios hardly do. A run of all scenarios with
`--write` keeps its figures in `benchmarks/results`, and puts them into the documentation, as a table and as a
picture.
"""

from __future__ import annotations

import argparse
import json

import openai

from . import pages
from .machine import Machine, caption, machine
from .pictures import Pair, amount, bars
from .report import run, show
from .scenarios import OURS, SCENARIOS, STOCK, Clients, Row
from .server import running


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
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its picture anew")
    arguments = parser.parse_args()
    if arguments.write and arguments.scenarios:
        parser.error("--write wants all scenarios")
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(unknown)} (there are {', '.join(SCENARIOS)})")

    rows = []
    with running() as url:
        clients = Clients(url)
        for name in arguments.scenarios or SCENARIOS:
            for scenario in SCENARIOS[name](clients, url):
                rows += run(scenario, arguments.rounds)
        clients.close()
    if arguments.json:
        print(json.dumps([{**row._asdict(), "ratio": row.ratio, "met": row.met} for row in rows], indent=1))
        return
    show(rows, arguments.rounds, f"{OURS} beside openai {openai.__version__}")
    if arguments.write:
        write(rows, machine("openai", "vllm-connect"))


def write(rows: list[Row], made: Machine) -> None:
    """Keep the figures, and write what the documentation shows of them."""
    pages.keep("client", {"machine": made, "rows": [row._asdict() for row in rows]})
    pages.write("performance.md", "client", f"{caption(made)}\n\n{table(rows)}")
    (pages.IMAGES / "performance.svg").write_text(picture(rows, made))


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| scenario | stock SDK | here | |", "|---|---|---|---|"]
    lines += [f"| {row.scenario} | {' | '.join((*_texts(row), _compared(row)))} |" for row in rows]
    return "\n".join(lines)


def picture(rows: list[Row], made: Machine) -> str:
    """What costs CPU time on both sides, in bars."""
    pairs = [
        Pair(row.scenario, row.theirs, row.ours, _texts(row), _compared(row))
        for row in rows
        if row.against == STOCK and row.goal_is_ratio
    ]
    return bars("CPU time in the client's process", caption(made), ("stock SDK", "vllm-connect"), pairs)


def _texts(row: Row) -> tuple[str, str]:
    is_ours_alone = not row.goal_is_ratio and row.unit == "us"  # what the stock SDK has nothing like
    return "" if is_ours_alone else amount(row.theirs, row.unit), amount(row.ours, row.unit)


def _compared(row: Row) -> str:
    return f"{row.ratio:.1f}× less" if row.goal_is_ratio else ""


if __name__ == "__main__":
    main()
