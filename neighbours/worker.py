"""Run one tool's scenarios where it is installed: `python -m neighbours.worker MODULE FILE`.

Both sides of all scenarios run in this process, and FILE gets what they saw, as JSON. Nothing here leaves the
machine: a connection to anywhere but the loopback is refused.

A module that patches the SDK or the HTTP library has a function `instrument`; its scenarios run with
`vllm_connect` imported before the patch, or, with `--patched-first`, after it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import inspect
import ipaddress
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from . import recipes
from .scenario import MODEL, Scenario, Subject, comparable, scenarios_of, trace_of


class LeavesTheMachineError(OSError):
    """A tool wanted to reach another machine."""


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections to other machines, and looking up their names."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host or "localhost"
    try:
        here = ipaddress.ip_address(host).is_loopback or host == "0.0.0.0"
    except ValueError:
        here = host in ("localhost", os.uname().nodename)
    if not here:
        raise LeavesTheMachineError(f"{host} is not this machine")


def main() -> None:
    """Run the scenarios, write the file, and end at once, whatever threads the tool has left running."""
    parser = argparse.ArgumentParser(prog="python -m neighbours.worker", description=__doc__)
    parser.add_argument("module")
    parser.add_argument("file", type=Path)
    parser.add_argument("--patched-first", action="store_true")
    parser.add_argument("--recipes", action="store_true", help="run the page's code, and no scenario")
    arguments = parser.parse_args()
    sys.addaudithook(stay_here)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)

    from vllm_connect.sim import SimServer

    with SimServer(models=MODEL) as sim:
        if arguments.patched_first:  # the simulator keeps running, the client is imported anew
            for name in [each for each in sys.modules if each.partition(".")[0] == "vllm_connect"]:
                del sys.modules[name]
        module = importlib.import_module(f"neighbours.tools.{arguments.module}")
        if hasattr(module, "instrument"):
            if not arguments.patched_first:
                importlib.import_module("vllm_connect")
            module.instrument()
        cells = []
        for scenario in [] if arguments.recipes else scenarios_of(module):
            began = time.perf_counter()
            direct = not hasattr(module, "BEHIND_ANOTHER")
            sides = {kind: one_side(scenario, kind, sim, direct=direct) for kind in ("stock", "ours")}
            if sides["stock"]["requests"] and not sides["ours"]["requests"] and "saw" in sides["ours"]:
                sides["ours"] = {
                    "raised": "no request of ours reached the server, but one of the stock's did"
                }
            seconds = round(time.perf_counter() - began, 2)
            cells.append({"scenario": scenario.name, "column": scenario.column, "seconds": seconds, **sides})
            arguments.file.write_text(json.dumps({"cells": cells, "recipes": []}))
        if hasattr(module, "close"):
            module.close()
        pages = [] if arguments.patched_first else recipes.run_all(arguments.module, sim)
        arguments.file.write_text(json.dumps({"cells": cells, "recipes": pages}))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def one_side(scenario: Scenario, kind: Any, sim: Any, *, direct: bool) -> dict[str, Any]:
    """Run a scenario with one kind of client.

    Args:
        scenario: The scenario.
        kind: "stock" or "ours".
        sim: The server.
        direct: Whether the client's own requests reach the server, which are looked at then.

    Returns:
        `{"saw": …}`, or what it raised.
    """
    sim.reset()
    subject = Subject(kind, sim.url, sim)
    try:
        answer = scenario.run(subject)
        if inspect.iscoroutine(answer):
            answer = asyncio.run(asyncio.wait_for(answer, 60))
        requests = len(sim.requests)
        if direct and (strangers := subject.strangers()):
            raise AssertionError(f"the tool did not use the client that it was given: {strangers}")
        return {"saw": comparable(answer), "requests": requests}
    except BaseException as error:  # whatever a tool raises is a result
        if isinstance(error, KeyboardInterrupt):
            raise
        return {
            "raised": f"{type(error).__name__}: {error}"[:2000],
            "trace": trace_of(error),
            "requests": len(sim.requests),
        }


if __name__ == "__main__":
    main()
