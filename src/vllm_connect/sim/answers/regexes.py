"""A string that matches a regular expression, made by walking through the parsed expression."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    from re import _constants, _parser
else:
    import sre_constants as _constants
    import sre_parse as _parser

Choice = TypeVar("Choice")

_CATEGORIES = {
    _constants.CATEGORY_DIGIT: "0123456789",
    _constants.CATEGORY_NOT_DIGIT: "abcxyz-",
    _constants.CATEGORY_SPACE: " \t\n",
    _constants.CATEGORY_NOT_SPACE: "abcxyz012-",
    _constants.CATEGORY_WORD: "abcxyz012_",
    _constants.CATEGORY_NOT_WORD: " -.,",
}
_ANYTHING = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 -_.,"
_ATTEMPTS = 60


@lru_cache(maxsize=1024)
def matching(pattern: str, shortest: int = 0, longest: int | None = None, whole: bool = True) -> str:
    """Make a string that matches a pattern.

    Args:
        pattern: the regular expression, in Python's syntax.
        shortest: the fewest characters the string may have.
        longest: the most characters it may have.
        whole: whether the pattern must match the whole string, or any part of it.

    Returns:
        Always the same string for the same arguments. If none is found that satisfies everything
        (look-arounds, or lengths that contradict the pattern), the nearest try.

    Raises:
        re.error: The pattern is no regular expression.
    """
    compiled = re.compile(pattern)
    tree = _parser.parse(pattern)
    matches = compiled.fullmatch if whole else compiled.search
    text = ""
    for attempt in range(_ATTEMPTS):
        text = _Writer(Random(attempt), generous=attempt // 3, loose=attempt % 3 > 0).write(tree)  # noqa: S311
        if not whole and len(text) < shortest:
            text += "a" * (shortest - len(text))
        if matches(text) and shortest <= len(text) and (longest is None or len(text) <= longest):
            break
    return text


class _Writer:
    """Write one string; `generous` asks for longer repetitions, `loose` for random choices."""

    def __init__(self, random: Random, generous: int, loose: bool) -> None:
        self.random, self.generous, self.loose = random, generous, loose
        self.groups: dict[int, str] = {}

    def write(self, tree: Any) -> str:
        return "".join(self.one(op, value) for op, value in tree)

    def one(self, op: Any, value: Any) -> str:
        if op is _constants.LITERAL:
            return chr(value)
        if op is _constants.NOT_LITERAL:
            return self.pick([c for c in _ANYTHING if c != chr(value)])
        if op is _constants.ANY:
            return self.pick(_ANYTHING)
        if op is _constants.IN:
            return self.pick(_members(value))
        if op is _constants.BRANCH:
            branches: list[Any] = value[1]
            return self.write(self.pick(branches))
        if op is _constants.SUBPATTERN:
            group, _, _, inner = value
            text = self.write(inner)
            if group is not None:
                self.groups[group] = text
            return text
        if op is _constants.GROUPREF:
            return self.groups.get(value, "")
        if str(op) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            fewest, most, inner = value
            times = max(fewest, 1) + self.generous
            if self.loose:
                times = self.random.randint(fewest, max(fewest, times))
            return "".join(self.write(inner) for _ in range(min(times, int(most))))
        if str(op) == "ATOMIC_GROUP":
            return self.write(value)
        if str(op) == "GROUPREF_EXISTS":
            group, yes, no = value
            return self.write(yes if group in self.groups else no or ())
        return ""  # anchors and look-arounds write nothing

    def pick(self, choices: Sequence[Choice]) -> Choice:
        return self.random.choice(choices) if self.loose else choices[0]


def _members(items: list[tuple[Any, Any]]) -> list[str]:
    """Some characters of a class such as `[a-z_]` or `[^0-9]`."""
    negated = items[0][0] is _constants.NEGATE
    members: list[str] = []
    for op, value in items[1:] if negated else items:
        if op is _constants.LITERAL:
            members.append(chr(value))
        elif op is _constants.RANGE:
            first, last = value
            members += map(chr, range(first, (last if negated else min(last, first + 25)) + 1))
        else:
            members += _CATEGORIES.get(value, "a")
    if negated:
        return [c for c in _ANYTHING + "~é" if c not in members] or ["\u20ac"]
    return members
