"""What was measured, kept as data and written into the pages of the documentation.

A page marks the place with `<!-- measured: NAME -->`, and `<!-- /measured -->` behind it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs"
IMAGES = DOCS / "images"


def keep(name: str, result: dict[str, Any]) -> None:
    """Keep a result; of what was measured before under that name nothing stays."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, default=str) + "\n")


def kept(name: str) -> dict[str, Any]:
    """Return what was kept under a name."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def write(page: str, name: str, text: str) -> None:
    """Put a text in its place.

    Args:
        page: the name of the file in `docs`.
        name: of the place.
        text: Markdown.

    Raises:
        ValueError: the page does not have the place, or has it twice.
    """
    path = DOCS / page
    place = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- /measured -->)", re.DOTALL)
    written, count = place.subn(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", path.read_text())
    if count != 1:
        raise ValueError(f"docs/{page} has {count} places for {name!r}, not one")
    path.write_text(written)
