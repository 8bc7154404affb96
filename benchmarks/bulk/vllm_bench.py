"""`vllm bench serve`, started once for many measurements; its imports alone take half a minute of CPU time.

    PYTHON_OF_VLLM benchmarks/bulk/vllm_bench.py

Each line of standard input is a list of its arguments, in JSON; for each one the result that it saves comes
back as a line after `RESULT`. What it prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys


def main() -> None:
    """Measure until the standard input ends."""
    from vllm.benchmarks.serve import add_cli_args
    from vllm.benchmarks.serve import main as measure
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm bench serve")
    add_cli_args(parser)
    print("READY", flush=True)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            result = measure(parser.parse_args(json.loads(line)))
        print("RESULT", json.dumps(result, default=str), flush=True)


if __name__ == "__main__":
    main()
