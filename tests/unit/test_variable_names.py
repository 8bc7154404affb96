"""What lives long is called by a noun or a verb, which says what it is or does, and by no bare participle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "src", *sorted((ROOT / "integrations").iterdir())]
PARTICIPLES = frozenset(
    (
        "asked",
        "found",
        "given",
        "kept",
        "known",
        "made",
        "said",
        "seen",
        "sent",
        "shown",
        "taken",
        "told",
        "wanted",
    )
)
# A participle that is used up within so many lines of where it is bound reads well enough.
LINES = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Inner = Function | ast.ClassDef | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Place = tuple[str, int]


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, but for those in which other names hold: inner functions, comprehensions."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, Inner):
            yield from own_nodes(node)


def bindings(function: Function) -> Iterator[Place]:
    """The parameters and variables of a function, and the lines where they are bound."""
    parameters = function.args
    for parameter in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs):
        yield parameter.arg, parameter.lineno
    for parameter in filter(None, (parameters.vararg, parameters.kwarg)):
        yield parameter.arg, parameter.lineno
    for node in own_nodes(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno


def long_lived(function: Function) -> Iterator[Place]:
    """The participles that are still in use more than `LINES` lines after they were first bound."""
    first: dict[str, int] = {}
    for name, line in bindings(function):
        if name in PARTICIPLES:
            first[name] = min(line, first.get(name, line))
    for name, line in first.items():
        uses = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
        if max(uses, default=line) - line > LINES:
            yield name, line


def attributes(tree: ast.AST) -> Iterator[Place]:
    """The attributes that are participles: an object lives long."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                    yield child.target.id, child.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def definitions(tree: ast.AST) -> Iterator[Place]:
    """The functions and classes, whose names would say neither what they do nor what they give."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def participles(tree: ast.AST) -> set[Place]:
    """Every participle that lives long, and where it is bound."""
    variables = {place for node in ast.walk(tree) if isinstance(node, Function) for place in long_lived(node)}
    lasting = (*attributes(tree), *definitions(tree))
    return variables | {(name, line) for name, line in lasting if name.strip("_").lower() in PARTICIPLES}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(given):\n" + "    a\n" * 5 + "    return given", {"given"}),
        ("def f(given):\n" + "    a\n" * 4 + "    return given", set()),
        ("async def f(**given):\n" + "    a\n" * 5 + "    return given", {"given"}),
        ("def f():\n    told = 1\n" + "    a\n" * 5 + "    b(told)", {"told"}),
        ("def f():\n    for told, b in c:\n" + "        a\n" * 5 + "        b(told)", {"told"}),
        ("def f():\n    if (told := a):\n" + "        a\n" * 5 + "        b(told)", {"told"}),
        ("def f():\n    told = 1\n    def g():\n" + "        a\n" * 5 + "        b(told)", {"told"}),
        ("def f():\n    told = 1\n" + "    a\n" * 5 + "    b(a.told, told=a)", set()),
        ("def f():\n    [told for told in a]\n" + "    a\n" * 5 + "    [told for told in a]", set()),
        ("def f():\n    request = 1\n" + "    a\n" * 5 + "    b(request)", set()),
        ("class A:\n    seen: int", {"seen"}),
        ("class A:\n    def f(self):\n        self._seen = 1", {"_seen"}),
        ("class A:\n    def f(self):\n        return self.seen", set()),
        ("def _told(): ...", {"_told"}),
        ("class Shown: ...", {"Shown"}),
        ("class ShownError: ...", set()),
    ],
)
def test_what_counts(source: str, names: set[str]) -> None:
    assert {name for name, _ in participles(ast.parse(source))} == names


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_nothing_that_lives_long_is_called_by_a_bare_participle(package: Path) -> None:
    paths = [path for path in sorted(package.rglob("*.py")) if "tests" not in path.relative_to(package).parts]
    assert len(paths) > 4
    assert [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in paths
        for name, line in sorted(participles(ast.parse(path.read_text("utf-8"))))
    ] == []
