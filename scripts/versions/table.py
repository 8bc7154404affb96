"""The table of operations by release, made of the results alone."""

from __future__ import annotations

from pathlib import Path

from scripts.versions.results import Release, Result
from scripts.versions.trial import SECTIONS, Trial

PAGE = Path(__file__).resolve().parents[2] / "docs" / "versions.md"
BEGIN = "<!-- table: made by `make versions` -->"
END = "<!-- end of the table -->"


def render(releases: list[Release]) -> str:
    """The table in Markdown, one for each section, with the notes below it."""
    parts = [render_runs(releases)]
    for section, trials in SECTIONS.items():
        notes: list[str] = []
        lines = [f"## {section}", "", "| | " + " | ".join(short(one) for one in releases) + " |"]
        lines.append("|---|" + "---|" * len(releases))
        for one in trials:
            cells = [cell(one, release, releases[0], notes) for release in releases]
            lines.append(f"| {one.row} | " + " | ".join(cells) + " |")
        lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts)


def render_runs(releases: list[Release]) -> str:
    """What was run, and when."""
    lines = ["| vLLM | with | on |", "|---|---|---|"]
    for one in releases:
        torch = one["installed"].partition(", ")[2]
        lines.append(
            f"| {one['release']} | {torch}, Python {one['python']}, {one['machine']} | {one['date']} |"
        )
    return "\n".join(lines)


def short(release: Release) -> str:
    """The name of a release in the head of a column."""
    return release["release"].removesuffix(".0")


def cell(one: Trial, release: Release, newest: Release, notes: list[str]) -> str:
    """What a trial gave on a release; what is to be said of it is added to the notes."""
    result = release["trials"].get(one.name)
    if result is None:
        why = release["unstarted"].get(one.server)
        return "not run" + (mark(f"the server did not start: {why}", notes) if why else "")
    note = result["note"]
    if result["outcome"] == "works" and (other := other_way(result, newest["trials"].get(one.name))):
        note = "; ".join(filter(None, (note, other)))
    word = result["outcome"] if result["outcome"] != "works" or not note else "differs"
    return word + (mark(note, notes) if note else "")


def other_way(result: Result, usual: Result | None) -> str:
    """By which routes an operation went, if these are not those of the newest release."""
    others = set() if usual is None or usual["outcome"] != "works" else routes(result) - routes(usual)
    return "by " + ", ".join(f"`{route}`" for route in sorted(others)) if others else ""


def routes(result: Result) -> set[str]:
    """The routes that answered."""
    answered = (request.split() for request in result["requests"])
    return {target.partition("?")[0] for _, target, status in answered if status.startswith("2")}


def mark(note: str, notes: list[str]) -> str:
    """The number of a note, which is added if it is new."""
    if note not in notes:
        notes.append(note)
    return f" ({notes.index(note) + 1})"


def write(releases: list[Release]) -> None:
    """Put the table into its page."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{render(releases)}\n\n{END}{tail}")
