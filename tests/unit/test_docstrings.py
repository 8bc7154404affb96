"""The first line of a docstring is what the thing is or does, and can be read alone in a hover."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "src", *sorted((ROOT / "integrations").iterdir())]
QUESTIONS = ("What", "How", "Whether", "Which", "Why", "Where", "When", "Who")


def first_lines(package: Path) -> Iterator[tuple[str, str]]:
    """The place and the first line of every docstring of a package's own code."""
    for path in sorted(package.rglob("*.py")):
        if "tests" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                docstring = ast.get_docstring(node)
                if docstring:
                    place = f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
                    yield place, docstring.splitlines()[0]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_no_first_line_is_an_indirect_question(package: Path) -> None:
    lines = list(first_lines(package))
    assert len(lines) > 10
    assert [f"{place}: {line}" for place, line in lines if line.split(" ")[0] in QUESTIONS] == []
