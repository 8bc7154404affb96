"""Real vLLM servers on this machine's CPU, serving the tiny models of `tests/models`.

    python -m scripts.live run -- pytest tests/live     everything: install, up, the command, down
    python -m scripts.live install                      once: about 3 minutes, 2.7 GB
    python -m scripts.live run --only chat -- CMD       the same with some of them
    python -m scripts.live up [NAME...]                 default: chat embed rerank whisper vision strict open
    eval "$(python -m scripts.live env)"                name those that are up to the tests, as `run` does
    python -m scripts.live status
    python -m scripts.live down

All it makes lies in one folder outside the checkout, which may be deleted at any time after `down`:
$VLLM_CONNECT_CACHE/live, else $XDG_CACHE_HOME/vllm-connect/live, else ~/.cache/vllm-connect/live. With
VLLM=0.28.0 in the environment all is about that release, and lies beside, in `live-0.28.0`.

It needs Linux and Python 3.11 to 3.13; any Python from 3.10 may run this, which looks for the others.
vLLM for the CPU wants a CPU build of torch. PyPI has the CUDA build only (several GB, and the wrong one): set
PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels before the first `install`.

Exit codes: 3 when the environment cannot be installed, 1 when a server does not start, else the command's.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

from scripts.live.cache import CACHE, NotInstalled, Running, lock, read_state, say
from scripts.live.environment import STAMP, install
from scripts.live.processes import down, healthy, up
from scripts.live.servers import SERVERS, USUAL

NOT_INSTALLED = 3
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: list[str], names: list[str], keep: bool) -> int:
    """Run a command with the servers' addresses in its environment, then stop what was started for it."""
    try:
        with lock("users", fcntl.LOCK_SH):  # while this is held no other `run` stops the servers
            with lock("lock", fcntl.LOCK_EX):
                install()
                servers = up(names, keep)
            return run_command(arguments, os.environ | variables(servers))
    finally:
        for ending in ENDINGS:  # a second Ctrl-C must not leave servers behind
            signal.signal(ending, signal.SIG_IGN)
        if not all(server["keep"] for server in read_state().values()):
            try:
                with lock("users", fcntl.LOCK_EX | fcntl.LOCK_NB), lock("lock", fcntl.LOCK_EX):
                    down(every=False)
            except BlockingIOError:
                say("another run uses the servers and will stop them")


def variables(servers: dict[str, Running]) -> dict[str, str]:
    """The environment variables in which the tests look for servers."""
    return {f"VLLM_LIVE_{name.upper()}_URL": server["url"] for name, server in servers.items()}


def run_command(arguments: list[str], environment: dict[str, str]) -> int:
    """Run it to its end, also when this process is told to end first."""
    process = subprocess.Popen(arguments, env=environment)
    try:
        process.wait()
    except SystemExit as ending:
        if ending.code != 128 + signal.SIGINT:  # of Ctrl-C the terminal has told it
            process.terminate()
        raise
    finally:
        for insist in (process.terminate, process.kill):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                insist()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def status() -> None:
    """One line for each server."""
    if STAMP.exists():
        print(f"installed in {CACHE}: {json.loads(STAMP.read_text())['versions']}")
    else:
        print("not installed")
    state = read_state()
    for name in SERVERS:
        if name not in state:
            print(f"{name:8} down")
        elif healthy(state[name]["url"]):
            print(f"{name:8} up    {state[name]['url']}  pid {state[name]['pid']}")
        else:
            print(f"{name:8} dead  {state[name]['log']}")


def env() -> None:
    """One shell command for each server that is up."""
    up = {name: server for name, server in read_state().items() if healthy(server["url"])}
    for name, url in variables(up).items():
        print(f"export {name}={url}")


def main() -> int:
    """Read the command line and do it."""
    verbatim = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m scripts.live", description=__doc__, formatter_class=verbatim)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make the environment, once")
    starting = commands.add_parser("up", help="start servers and keep them")
    starting.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVERS))
    commands.add_parser("down", help="stop all servers")
    commands.add_parser("status", help="what is installed and up")
    commands.add_parser("env", help="print shell commands that name the servers to the tests")
    running = commands.add_parser("run", help="run a command while the servers are up")
    running.add_argument("--keep", action="store_true", help="leave the servers up")
    running.add_argument(
        "--only", dest="names", action="append", metavar="NAME", help="start this one, not all"
    )
    running.add_argument("arguments", nargs="+", metavar="-- CMD")
    options = parser.parse_args()
    if unknown := set(getattr(options, "names", None) or []) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    if options.command == "run" and not shutil.which(options.arguments[0]):
        parser.error(f"no such command: {options.arguments[0]}")

    for ending in ENDINGS:  # end this program through every `finally`
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, lambda number, frame: sys.exit(128 + number))
    try:
        if options.command == "run":
            return run(options.arguments, options.names or USUAL, options.keep)
        if options.command in ("status", "env"):
            status() if options.command == "status" else env()
            return 0
        with lock("lock", fcntl.LOCK_EX):
            if options.command == "down":
                down()
            else:
                install()
            if options.command == "up":
                up(options.names or USUAL, keep=True)
        return 0
    except NotInstalled as error:
        say(f"\n*** THE LIVE ENVIRONMENT CANNOT BE INSTALLED: nothing was tested ***\n{error}")
        return NOT_INSTALLED


if __name__ == "__main__":
    sys.exit(main())
