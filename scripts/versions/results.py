"""What the trials gave on each release, as it is kept in the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, TypedDict

from scripts.live.releases import numbers

FOLDER = Path(__file__).resolve().parent / "results"
Outcome = Literal["works", "lacks", "fails", "not shown"]


class Result(TypedDict):
    """What a trial gave.

    `note` says how, where there is something to say; `requests` are those that the server took, in its own
    words: "POST /v1/rerank 200".
    """

    outcome: Outcome
    note: str
    requests: list[str]


class Release(TypedDict):
    """What was tried on a release, when, and with what."""

    release: str
    installed: str
    date: str
    python: str
    machine: str
    unstarted: dict[str, str]
    """Servers that did not start, and why."""
    trials: dict[str, Result]


def read(release: str) -> Release | None:
    """The results of a release, if there are any."""
    file = FOLDER / f"{release}.json"
    if not file.exists():
        return None
    found: Release = json.loads(file.read_text())
    return found


def write(results: Release) -> None:
    """Keep the results of a release."""
    file = FOLDER / f"{results['release']}.json"
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def read_all() -> list[Release]:
    """The results of all releases, the newest first."""
    releases = sorted((file.stem for file in FOLDER.glob("*.json")), key=numbers, reverse=True)
    return [results for release in releases if (results := read(release)) is not None]
