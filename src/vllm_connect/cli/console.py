"""Output on terminals, into pipes and files, and on consoles that know ASCII only."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from .outcomes import TIMED_OUT, Outcome, Status

_PIPE_COLUMNS = 100

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✅", "ok"),
    "absent": ("–", "-"),
    "failed": ("❌", "FAILED"),
    "skipped": ("·", "."),
}
_ASCII = str.maketrans({"…": "...", "–": "-", "→": "->", "│": "|"})


def make_console() -> Console:
    """A console that writes plain text where there is no terminal, as wide as COLUMNS says."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a model may say what the console cannot
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _PIPE_COLUMNS
    return console


def knows_unicode(console: Console) -> bool:
    """Tell whether the console can show more than ASCII."""
    return console.encoding.lower().startswith("utf")


def mark(console: Console, status: Status) -> str:
    """The sign for how something went."""
    return _MARKS[status][not knows_unicode(console)]


def printable(console: Console, text: str) -> str:
    """One of our own texts as the console can show it."""
    return text if knows_unicode(console) else text.translate(_ASCII)


def duration(seconds: float | None) -> str:
    """A time for people: "0.8 ms", "24 ms", "1.3 s"."""
    if seconds is None:
        return ""
    thousandths = seconds * 1000
    if thousandths < 9.95:
        return f"{thousandths:.1f} ms"
    return f"{thousandths:.0f} ms" if thousandths < 999.5 else f"{seconds:.1f} s"


def cell(console: Console, outcome: Outcome | None) -> Text:
    """An outcome in a table: its sign, and how long it took or what it failed with."""
    if outcome is None:
        return Text()
    sign = mark(console, outcome.status)
    if outcome.status == "ok":
        return Text.assemble(f"{sign} ", (duration(outcome.seconds), "green"))
    if outcome.status == "failed":
        what = "timeout" if outcome.reason == TIMED_OUT else outcome.code or "error"
        return Text(f"{sign} {what}", "bold red")
    return Text(sign, "dim")


def print_json(value: Any) -> None:
    """Write JSON for scripts; nothing else is then written to stdout."""
    print(json.dumps(value, indent=2))
