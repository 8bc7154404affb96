"""Compare our client with the stock openai SDK: `python -m benchmarks [SCENARIO …]`.

CPU time, user and system, of the client process; the server is another. The sides take turns in one run, and
medians are compared: the figures depend on the machine, the ratios hardly do.
"""

from __future__ import annotations

import argparse
import json

import openai

from .report import run, show
from .scenarios import OURS, SCENARIOS, Clients
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
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
