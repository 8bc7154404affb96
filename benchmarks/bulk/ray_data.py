"""`vllm_connect.ray.Map` beside Ray's own HTTP processor, on a local Ray: `make bench-ray`.

Both send the same chats in batches of the same size, from one actor, to the simulator in a process of its
own, which takes some time for each token. Rows a second, and the CPU time of all of Ray's processes and the
driver for a row; of both, the cost of a run of one batch is subtracted, which is the start of the actor.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, NamedTuple

import ray
import ray.data
from ray.data.llm import HttpRequestProcessorConfig, build_processor

from vllm_connect.ray import Map

from .. import pages
from ..machine import caption, machine
from .simulator import MODEL, simulator

ROWS, BATCH = 2000, 64
DELAY = 0.005
"""Seconds that the simulator takes for a token."""
ABOUT = (
    "The difference, measured (`make bench-ray`): short chats, one actor, batches of the same size, the "
    "simulator with a delay for each token; CPU time of all of Ray's processes."
)
NAME = "bulk_ray"
THEIRS, OURS = "Ray's HTTP processor", "Map"


class Cost(NamedTuple):
    """The cost of a run: seconds, and seconds of CPU time."""

    wall: float
    cpu: float


def _process_times() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds, with those of children that ended, of each process of this machine."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
    return found


def cpu_time(without: int) -> float:
    """Return the CPU seconds of this process and all below it, but for one of its children.

    Args:
        without: the child's process id.
    """
    times = _process_times()
    wanted, total = [os.getpid()], 0.0
    while wanted:
        process = wanted.pop()
        total += times[process][1]
        wanted += [each for each, (parent, _) in times.items() if parent == process and each != without]
    return total


def questions(rows: int) -> Any:
    """The rows, in one block."""
    return ray.data.range(rows, override_num_blocks=1)


def theirs(url: str, rows: int) -> None:
    """Run Ray's own."""

    def request(row: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "user", "content": f"Say: row {row['id']}"}]
        return {"payload": {"model": MODEL, "messages": messages}}

    def answer(row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "answer": row["http_response"]["choices"][0]["message"]["content"]}

    config = HttpRequestProcessorConfig(url=f"{url}/v1/chat/completions", batch_size=BATCH, concurrency=1)
    _check(build_processor(config, preprocess=request, postprocess=answer)(questions(rows)), rows)


def ours(url: str, rows: int) -> None:
    """Run ours."""

    def request(row: dict[str, Any]) -> str:
        return f"Say: row {row['id']}"

    settings = {"inputs": request, "model": MODEL}
    done = questions(rows).map_batches(
        Map,
        fn_constructor_args=("chat", url),
        fn_constructor_kwargs=settings,
        batch_size=BATCH,
        concurrency=1,
    )
    _check(done, rows)


def _check(data: Any, rows: int) -> None:
    answers = {row["id"]: row["answer"] for row in data.take_all()}
    assert answers == {number: f"row {number}" for number in range(rows)}


def measured(run: Callable[[str, int], None], url: str, rows: int, server: int) -> Cost:
    """Return the cost of a run."""
    cpu, began = cpu_time(server), monotonic()
    run(url, rows)
    return Cost(monotonic() - began, cpu_time(server) - cpu)


def compare(rows: int, rounds: int) -> dict[str, list[Cost]]:
    """Cost of each row, of both sides, by round."""
    costs: dict[str, list[Cost]] = {THEIRS: [], OURS: []}
    before = set(_process_times())
    with simulator(DELAY) as url:
        (server,) = [
            process
            for process, (parent, _) in _process_times().items()
            if parent == os.getpid() and process not in before
        ]
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        for run in (theirs, ours):  # a warm-up
            run(url, BATCH)
        for _ in range(rounds):
            for name, run in ((THEIRS, theirs), (OURS, ours)):
                start, whole = measured(run, url, BATCH, server), measured(run, url, rows, server)
                count = rows - BATCH
                costs[name].append(Cost((whole.wall - start.wall) / count, (whole.cpu - start.cpu) / count))
        ray.shutdown()
    return costs


def table(costs: dict[str, list[Cost]]) -> str:
    """The result, for the documentation."""
    medians = {
        name: Cost(median(each.wall for each in runs), median(each.cpu for each in runs))
        for name, runs in costs.items()
    }
    lines = ["| | rows a second | CPU a row |", "|---|---|---|"]
    lines += [f"| {name} | {1 / each.wall:.0f} | {each.cpu * 1e3:.2f} ms |" for name, each in medians.items()]
    one, other = medians[THEIRS], medians[OURS]
    lines.append(f"| | {one.wall / other.wall:.1f}× | {one.cpu / other.cpu:.1f}× less |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk.ray_data", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the result, and write docs/bulk.md anew")
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    costs = compare(arguments.rows, arguments.rounds)
    made = machine("ray", "aiohttp", "vllm-connect")
    about = f"{arguments.rows} rows in batches of {BATCH}, {DELAY * 1e3:g} ms a token"
    text = f"{caption(made)}; {about}\n\n{table(costs)}"
    print(text)
    if arguments.write:
        pages.keep(NAME, {"machine": made, "costs": costs})
        pages.write("bulk.md", NAME, f"{ABOUT}\n\n{text}")


if __name__ == "__main__":
    main()
