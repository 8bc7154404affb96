"""Every operation of the client on several releases of vLLM, one after another, and the table of it.

    python -m scripts.versions run [RELEASE...]   install and try each, keep the results (`make versions`)
    python -m scripts.versions table              write the table of all that is kept into docs/versions.md

Each release is installed into a cache folder of its own (`VLLM=0.28.0 python -m scripts.live install`), and
each server of it runs alone while it is tried. What is kept of a release that is not run again stays.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.live.cache import cache_folder
from scripts.versions import results, table, trying
from scripts.versions.trial import all_trials

RELEASES = ("0.32.0", "0.30.0", "0.28.0", "0.24.0", "0.12.0")


def run(release: str, servers: list[str]) -> bool:
    """Try a release, and keep the results; whether it could be installed."""
    environment = os.environ | {"VLLM": release}
    live = [sys.executable, "-m", "scripts.live"]
    if subprocess.run([*live, "install"], env=environment).returncode:
        return False
    known = results.read(release)
    found = results.Release(
        release=release,
        installed=json.loads((cache_folder(release) / "installed.json").read_text())["versions"],
        date=datetime.date.today().isoformat(),
        python=python_of(release),
        machine=platform.machine(),
        unstarted=dict(known["unstarted"]) if known else {},
        trials=dict(known["trials"]) if known else {},
    )
    for server in servers:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "results.json"
            trial = [sys.executable, "-m", "scripts.versions", "try", server, str(file)]
            done = subprocess.run([*live, "run", "--only", server, "--", *trial], env=environment)
            for one in all_trials():
                if one.server == server:
                    found["trials"].pop(one.name, None)
            found["unstarted"].pop(server, None)
            if file.exists():
                found["trials"] |= json.loads(file.read_text())
            else:
                found["unstarted"][server] = first_error(release, server) or f"exit code {done.returncode}"
    order = [one.name for one in all_trials()]
    found["trials"] = {name: found["trials"][name] for name in order if name in found["trials"]}
    results.write(found)
    return True


def first_error(release: str, server: str) -> str:
    """What the log of a server that did not start says first of it."""
    log = (cache_folder(release) / "logs" / f"{server}.log").read_text(errors="replace")
    errors = re.findall(r"\b\w+(?:Error|Exception)\b(?:: [^`\n]+)?$", log, re.MULTILINE)
    return errors[0] if errors else ""


def python_of(release: str) -> str:
    """The version of Python that a release is installed for."""
    show = "import platform; print(platform.python_version())"
    python = cache_folder(release) / "venv" / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", show], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> int:
    """Read the command line and do it."""
    verbatim = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m scripts.versions", description=__doc__, formatter_class=verbatim
    )
    commands = parser.add_subparsers(dest="command", required=True)
    servers = sorted({one.server for one in all_trials()})
    running = commands.add_parser("run", help="try releases, and write the table")
    running.add_argument("releases", nargs="*", metavar="RELEASE", default=list(RELEASES))
    running.add_argument("--only", action="append", choices=servers, help="try this server, not all")
    one = commands.add_parser("try", help="do the trials of one server that is up")
    one.add_argument("server", choices=servers)
    one.add_argument("file", type=Path)
    commands.add_parser("table", help="write the table")
    options = parser.parse_args()

    if options.command == "try":
        options.file.write_text(json.dumps(trying.try_server(options.server)))
        return 0
    failed = []
    if options.command == "run":
        failed = [release for release in options.releases if not run(release, options.only or servers)]
        for release in failed:
            print(f"versions: {release} could not be installed", file=sys.stderr)
    table.write(results.read_all())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
