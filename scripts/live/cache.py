"""The folder outside the checkout where everything lies, its locks, and what is known of the servers."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from scripts.live.releases import NEWEST, RELEASE


class NotInstalled(Exception):
    """The environment cannot be installed here; the message says why."""


class Running(TypedDict):
    """One server of the state file."""

    url: str
    pid: int
    model: str
    log: str
    keep: bool  # started by `up`, or by `run --keep`: the end of a `run` leaves it alone


def cache_folder(release: str = RELEASE) -> Path:
    """Where the environment, the downloaded model, the logs and the state of a release live."""
    name = "live" if release == NEWEST else f"live-{release}"
    if own := os.environ.get("VLLM_CONNECT_CACHE"):
        return Path(own).absolute() / name
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).absolute() / "vllm-connect" / name


CACHE = cache_folder()
STATE = CACHE / "servers.json"


def read_state() -> dict[str, Running]:
    """What was started and not stopped; it may have died since."""
    state: dict[str, Running] = json.loads(STATE.read_text()) if STATE.exists() else {}
    return state


def write(path: Path, content: object) -> None:
    """Write JSON so that no reader ever sees half of it."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


@contextmanager
def lock(name: str, kind: int) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it however this process ends."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        file = (CACHE / name).open("ab")
    except OSError as error:
        raise NotInstalled(f"the cache folder cannot be written: {error}") from error
    with file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if kind & fcntl.LOCK_NB:
                raise
            say("waiting for another `python -m scripts.live` to finish")
            fcntl.flock(file, kind)
        yield


def say(text: str) -> None:
    """Tell the user; standard output belongs to the command that `run` runs."""
    print(f"live: {text}", file=sys.stderr, flush=True)
