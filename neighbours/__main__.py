"""Run the tools, a process for each, and compare: see `neighbours`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import __doc__ as about
from .catalogue import TOOLS, Tool
from .recipes import blocks
from .report import THEIRS, Cell, Outcome, matrix, page, stale

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "neighbours.md"
KEPT = REPOSITORY / ".neighbours"
MINUTES_PER_TOOL = 10

# Tools that would call home, or fetch something at their start, do not.
QUIET = {
    "AGNO_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "INSPECT_DISPLAY": "none",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "TRACELOOP_TELEMETRY": "false",
}
_FORGOTTEN = (
    "OPENAI_",
    "VLLM_",
    "PYTHON",
    "VIRTUAL_ENV",
    "XDG_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment."""
    return REPOSITORY / f".venv-neighbours-{environment}" / "bin" / "python"


def versions(tool: Tool, environment: str) -> tuple[str, str]:
    """Return the pinned versions of the tool and of the SDK."""
    pins = REPOSITORY / "neighbours" / "environments" / f"{environment}.txt"
    pinned = dict(line.split(" ;")[0].split("==") for line in pins.read_text().splitlines() if "==" in line)
    return pinned.get(tool.distribution, ""), pinned["openai"]


def run_recipes(tool: Tool, environment: str) -> Outcome:
    """Run a tool's recipes again; its cells are those of its last run."""
    outcome = Outcome.load(KEPT, tool, environment) or Outcome(tool, environment, versions(tool, environment))
    result, outcome.broken = run_once(tool, environment, ["--recipes"])
    outcome.recipes = result["recipes"]
    return outcome


def run(tool: Tool, environment: str) -> Outcome:
    """Run a tool's scenarios, and once more patched first where the tool patches anything."""
    outcome = Outcome(tool, environment, versions(tool, environment))
    began = time.perf_counter()
    source = (REPOSITORY / "neighbours" / "tools" / f"{tool.module}.py").read_text(encoding="utf-8")
    for first in (False, True) if "\ndef instrument(" in source else (False,):
        result, broken = run_once(tool, environment, ["--patched-first"] if first else [])
        for cell in result["cells"]:
            name = f"{environment}/{tool.module}/{cell['scenario']}" + (":patched_first" if first else "")
            outcome.cells.append(Cell(name, cell["column"], cell["seconds"], cell["stock"], cell["ours"]))
        outcome.recipes += result["recipes"]
        outcome.broken = outcome.broken or broken
    outcome.seconds = time.perf_counter() - began
    return outcome


def run_once(tool: Tool, environment: str, arguments: list[str]) -> tuple[dict[str, Any], str | None]:
    """Run the worker in a folder and a home of its own; return its result, and how it died if it did."""
    with tempfile.TemporaryDirectory(prefix="neighbours-", ignore_cleanup_errors=True) as folder:
        variables = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(_FORGOTTEN)
        }
        variables |= QUIET | {"HOME": folder, "PYTHONPATH": str(REPOSITORY)}
        file = Path(folder) / "result.json"
        command = [str(python_of(environment)), "-m", "neighbours.worker", tool.module, str(file), *arguments]
        with (Path(folder) / "log").open("w+") as log:
            try:
                code: int | str = subprocess.run(
                    command, cwd=folder, env=variables, stdout=log, stderr=log, timeout=60 * MINUTES_PER_TOOL
                ).returncode
            except subprocess.TimeoutExpired:
                code = f"none within {MINUTES_PER_TOOL} minutes"
            log.seek(0)
            said = log.read()[-3000:]
        result = json.loads(file.read_text()) if file.exists() else {"cells": [], "recipes": []}
        return result, None if code == 0 else f"exit code: {code}\n{said}"


def main() -> int:
    """Run what the command line names, print what differs and the matrix; 1 if anything is unexpected."""
    parser = argparse.ArgumentParser(
        prog="python -m neighbours", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tools", nargs="*", metavar="TOOL", help="a module of tools/, or ENVIRONMENT/MODULE")
    parser.add_argument("--quick", action="store_true", help="the subset")
    parser.add_argument("--recipes", action="store_true", help="run the code of docs/recipes.md only")
    parser.add_argument("--page", action="store_true", help="write the page of all runs so far")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default: %(default)s)")
    arguments = parser.parse_args()

    runs = [(tool, environment) for tool in TOOLS for environment in tool.environments]
    if arguments.quick:
        runs = [
            (tool, environment)
            for tool, environment in runs
            if tool.quick and environment == tool.environments[0]
        ]
    if arguments.recipes:
        owners = {owner for owner, _, _ in blocks()}
        runs = [(tool, environment) for tool, environment in runs if tool.module in owners]
    everything = not arguments.tools and not arguments.quick and not arguments.recipes
    if arguments.page:
        return write_page(runs)
    if arguments.tools:
        names = {name for tool, environment in runs for name in (tool.module, f"{environment}/{tool.module}")}
        if unknown := set(arguments.tools) - names:
            parser.error(f"no such tool: {', '.join(sorted(unknown))} (there are {', '.join(sorted(names))})")
        runs = [
            each for each in runs if {each[0].module, f"{each[1]}/{each[0].module}"} & set(arguments.tools)
        ]
    if missing := {environment for _, environment in runs if not python_of(environment).exists()}:
        parser.error(f"not installed: {', '.join(sorted(missing))}; `make neighbours` does that")

    began = time.perf_counter()
    outcomes = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        doing = run_recipes if arguments.recipes else run
        for outcome in pool.map(lambda each: doing(*each), runs):
            outcomes.append(outcome)
            outcome.save(KEPT)
            wrong = len(outcome.complaints)
            verdict = f"{wrong} not as expected" if wrong else "as expected"
            name = f"{outcome.environment}/{outcome.tool.module}"
            print(f"{name:32}{len(outcome.cells):4} cells {outcome.seconds:6.1f} s  {verdict}", flush=True)
    print("\n" + "\n".join(matrix(outcomes)) + "\n")

    complaints = [each for outcome in outcomes for each in outcome.complaints]
    if everything:
        complaints += complaints_of_all(outcomes)
        PAGE.write_text(page(outcomes), encoding="utf-8")
    for each in complaints:
        print(each + "\n")
    theirs = [each for each in complaints if each.startswith(THEIRS)]
    count = sum(len(outcome.cells) for outcome in outcomes)
    print(
        f"neighbours: {count} cells in {time.perf_counter() - began:.0f} s, {len(complaints)} not as "
        f"expected, {len(theirs)} of them with the stock client, too"
    )
    return 1 if len(theirs) < len(complaints) else 0


def complaints_of_all(outcomes: list[Outcome]) -> list[str]:
    """Return what only a run of everything can tell."""
    strangers = {owner for owner, _, _ in blocks()} - {tool.module for tool in TOOLS}
    return [f"STALE: no cell fits {each!r} of expected.py" for each in stale(outcomes)] + [
        f"RECIPE: docs/recipes.md names the unknown tool {each!r}" for each in sorted(strangers)
    ]


def write_page(runs: list[tuple[Tool, str]]) -> int:
    """Write the page of what is kept of every tool's last run; 1 if one is missing or not as expected."""
    kept = {
        f"{environment}/{tool.module}": Outcome.load(KEPT, tool, environment) for tool, environment in runs
    }
    outcomes = [outcome for outcome in kept.values() if outcome is not None]
    complaints = [f"NOT RUN: {name}" for name, outcome in kept.items() if outcome is None]
    complaints += [each for outcome in outcomes for each in outcome.complaints] + complaints_of_all(outcomes)
    PAGE.write_text(page(outcomes), encoding="utf-8")
    for each in complaints:
        print(each + "\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
