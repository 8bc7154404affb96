"""What came out: each cell's verdict beside the expected one, the matrix, and the page of the docs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .catalogue import NOT_HERE, Tool
from .expected import EXPECTED, Expected, Verdict

COLUMNS = ("chat", "stream", "tools", "structured", "embeddings", "responses", "errors", "own")
FITS: dict[Verdict, tuple[str, ...]] = {
    "break": ("differs", "ours fails"),
    "better": ("differs", "stock fails"),
    "theirs": ("both fail",),
}
THEIRS = "NOT OURS"
UNEXPECTED = {
    "differs": "BREAK: ours shows something else than the stock client",
    "ours fails": "BREAK: the stock client works, ours does not",
    "stock fails": "NEW: the stock client fails here and ours works; say so in expected.py, with the reason",
    "both fail": f"{THEIRS}: the tool fails on the stock client, too; look at its release and its pins",
    "same": "MENDED: expected.py calls this a {verdict}, but both are the same; remove its line",
}


@dataclass(frozen=True)
class Cell:
    """What a scenario showed on both sides."""

    id: str
    column: str
    seconds: float
    stock: dict[str, Any]
    ours: dict[str, Any]

    @property
    def outcome(self) -> str:
        """What happened, in a word: a key of `UNEXPECTED`."""
        works = ("saw" in self.stock, "saw" in self.ours)
        if works == (True, True):
            return "same" if self.stock["saw"] == self.ours["saw"] else "differs"
        return {(True, False): "ours fails", (False, True): "stock fails", (False, False): "both fail"}[works]

    @property
    def expected(self) -> Expected | None:
        """The line of `expected.py` for this cell."""
        found = [each for each in EXPECTED if any(fnmatchcase(self.id, cell) for cell in each.cells)]
        if len(found) > 1:
            raise SystemExit(f"neighbours: expected.py has {len(found)} lines for {self.id}")
        return found[0] if found else None

    @property
    def complaint(self) -> str | None:
        """What is wrong with this cell, if anything is."""
        if self.expected is None:
            return None if self.outcome == "same" else UNEXPECTED[self.outcome]
        if self.outcome in FITS[self.expected.verdict]:
            return None
        return UNEXPECTED[self.outcome].format(verdict=self.expected.verdict)

    @property
    def evidence(self) -> str:
        """What both sides showed, for whoever looks into a complaint."""
        return "\n".join(
            f"    {name}: {side['saw'] if 'saw' in side else side['raised']}\n{side.get('trace', '')}"
            for name, side in (("stock", self.stock), ("ours", self.ours))
        )


@dataclass
class Outcome:
    """What a tool showed in one environment.

    Attributes:
        versions: The tool's version and the SDK's.
        recipes: The blocks of the page of recipes: line, and the error where one failed.
        broken: Why the process ended before its end, if it did.
    """

    tool: Tool
    environment: str
    versions: tuple[str, str]
    seconds: float = 0.0
    cells: list[Cell] = field(default_factory=list)
    recipes: list[dict[str, Any]] = field(default_factory=list)
    broken: str | None = None

    def save(self, folder: Path) -> None:
        """Keep it in a folder, where a later run of other tools finds it."""
        folder.mkdir(exist_ok=True)
        kept = {**asdict(self), "tool": self.tool.module}
        (folder / f"{self.environment}-{self.tool.module}.json").write_text(json.dumps(kept))

    @classmethod
    def load(cls, folder: Path, tool: Tool, environment: str) -> Outcome | None:
        """Return what was kept of a tool's last run, if it was run."""
        file = folder / f"{environment}-{tool.module}.json"
        if not file.exists():
            return None
        kept = json.loads(file.read_text())
        cells = [Cell(**each) for each in kept.pop("cells")]
        return cls(**{**kept, "tool": tool, "versions": tuple(kept["versions"]), "cells": cells})

    @property
    def complaints(self) -> list[str]:
        """Everything that makes the bed fail."""
        found = [f"{each.complaint}\n  {each.id}\n{each.evidence}" for each in self.cells if each.complaint]
        for each in self.recipes:
            if "error" in each:
                found.append(f"RECIPE: docs/recipes.md, line {each['line']}, fails\n{each['error']}")
        if self.broken:
            found.append(f"NO RESULT: {self.environment}/{self.tool.module}\n{self.broken}")
        return found


def stale(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the patterns of `expected.py` that fit no cell of those that were run."""
    cells = [cell.id for outcome in outcomes for cell in outcome.cells]
    patterns = [pattern for each in EXPECTED for pattern in each.cells]
    return [each for each in patterns if not any(fnmatchcase(cell, each) for cell in cells)]


def mark(cells: Sequence[Cell]) -> str:
    """Return what stands in the matrix for the scenarios of one tool and column."""
    if not cells:
        return ""
    verdicts = [each.expected.verdict if each.expected else "same" for each in cells]
    marks: dict[Verdict, str] = {"same": "✓", "break": "✗", "better": "＋", "theirs": "–"}
    counts = [(sign, verdicts.count(verdict)) for verdict, sign in marks.items()]
    return " ".join(f"{sign}{count if count > 1 else ''}" for sign, count in counts if count)


def matrix(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the table of tools and columns, in Markdown."""
    lines = [
        "| tool | openai | " + " | ".join(COLUMNS) + " | recipe |",
        "|---|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for outcome in outcomes:
        row = [f"{outcome.tool.name} {outcome.versions[0]}".strip(), outcome.versions[1]]
        row += [mark([each for each in outcome.cells if each.column == column]) for column in COLUMNS]
        row.append("✓" if outcome.recipes else "")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def reasons(outcomes: Sequence[Outcome], verdict: Verdict) -> list[str]:
    """Return what is known of the cells with this verdict, as a list in Markdown."""
    lines = []
    for each in EXPECTED:
        cells = [cell.id for outcome in outcomes for cell in outcome.cells if cell.expected is each]
        if each.verdict == verdict and cells:
            lines.append(f"* {each.reason} ({', '.join(f'`{cell}`' for cell in cells)})")
    return lines or ["None."]


def page(outcomes: Sequence[Outcome]) -> str:
    """Return `docs/neighbours.md`."""
    cells = [cell for outcome in outcomes for cell in outcome.cells]
    return "\n".join(
        [
            "# Neighbours",
            "",
            "<!-- Written by `make neighbours`. -->",
            "",
            "Everything that takes an `openai.OpenAI` takes a `VLLM`. This page is the proof: "
            f"{len(outcomes)} runs of third-party tools, {len(cells)} scenarios, each done once with the "
            "stock client and once with ours, against the same simulated server, and compared: answers, tool "
            "calls, objects, usage, spans, the requests that reached the server, the classes of errors. "
            "[Recipes](recipes.md) shows how each tool is given our client.",
            "",
            "✓ the same · ＋ ours does what the stock client cannot · ✗ the stock client works and ours does "
            "not · – the tool fails on both · a number counts scenarios.",
            "",
            *matrix(outcomes),
            "",
            "The columns: plain answers, streams, tools and agent loops, structured answers, embeddings, the "
            "Responses API, errors of the server, and whatever else is the tool's own.",
            "",
            "## Where the stock client works and ours does not",
            "",
            *reasons(outcomes, "break"),
            "",
            "## Where ours does what the stock client cannot",
            "",
            *reasons(outcomes, "better"),
            "",
            "## Where the tool fails on both",
            "",
            *reasons(outcomes, "theirs"),
            "",
            "## Not in this list",
            "",
            *[f"* {name}: {reason}" for name, reason in NOT_HERE.items()],
            "",
        ]
    )
