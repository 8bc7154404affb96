"""The simulator in a process of its own, which does not remember the requests that it answered.

    python -m benchmarks.bulk.simulator

prints its URL, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from vllm_connect.sim import SimServer

MODEL = "sim"
_FORGETS = 2.0  # seconds


@contextlib.contextmanager
def simulator(delay: float = 0.0) -> Iterator[str]:
    """Run it; gives its URL.

    Args:
        delay: seconds for each generated token.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bulk.simulator", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _serve(delay: float) -> None:
    # Each client of a thousand has connections of its own.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    ended = threading.Event()
    with SimServer(models=MODEL, delay=delay) as server:
        print(server.url, flush=True)
        threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
        while not ended.wait(_FORGETS):
            server.reset()


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    _serve(float(sys.argv[1]))
