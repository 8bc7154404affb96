"""Grammars of structured outputs, turned into regular expressions.

Understood are `rule ::= …` (GBNF, as xgrammar reads it) and `rule: …` (Lark) with string literals,
`[classes]`, `/regular expressions/`, references to rules, `( )`, `|`, `?`, `*`, `+`, `{m,n}` and
comments. The start is `root` or `start`, else the first rule. A rule that refers to itself is unrolled
a few times, so that the simulator writes short sentences of the language.
"""

from __future__ import annotations

import re

_RULE = re.compile(r"^[ \t]*[?!]?([\w-]+)(?:\.\d+)?[ \t]*(?:::=|:)", re.MULTILINE)
_TOKEN = re.compile(
    r"""\s+ | (?P<comment>(?://|\#)[^\n]*) | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')(?P<fold>i?)
    | (?P<class>\[(?:[^\]\\]|\\.)*\]) | /(?P<regex>(?:[^/\\\n]|\\.)+)/ | (?P<repeat>\{\d*,?\d*\})
    | (?P<mark>[|()?*+]) | (?P<name>[\w-]+)""",
    re.VERBOSE,
)
_DEEPEST = 4
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class GrammarError(ValueError):
    """The grammar has a rule that is missing, or is no grammar at all."""


def to_regex(grammar: str) -> str:
    """Turn a grammar into a regular expression for (short) sentences of its language.

    Raises:
        GrammarError: a rule is missing, or nothing is understood.
    """
    starts = list(_RULE.finditer(grammar))
    rules = {
        rule.group(1): grammar[rule.end() : (starts[i + 1].start() if i + 1 < len(starts) else None)]
        for i, rule in enumerate(starts)
    }
    if not rules:
        raise GrammarError("no rule")
    start = next((name for name in ("root", "start") if name in rules), next(iter(rules)))
    regex = _expand(start, rules, {})
    if regex is None:
        raise GrammarError("a rule has no end")
    return regex


def _expand(name: str, rules: dict[str, str], depth: dict[str, int]) -> str | None:
    """One rule as a regular expression, `None` where it would recurse for ever."""
    if name not in rules:
        raise GrammarError(f"no rule {name!r}")
    if depth.get(name, 0) >= _DEEPEST:
        return None
    inner = {**depth, name: depth.get(name, 0) + 1}
    levels: list[list[list[str | None]]] = [[[]]]  # groups, their alternatives, their parts
    text, at = rules[name], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise GrammarError(f"{text[at:]!r} is not understood")
        at = token.end()
        parts = levels[-1][-1]
        if token.group("string"):
            literal = re.escape(_unquoted(token.group("string")))
            parts.append(f"(?i:{literal})" if token.group("fold") else f"(?:{literal})")
        elif token.group("class"):
            parts.append(token.group("class"))
        elif token.group("regex"):
            parts.append(f"(?:{token.group('regex')})")
        elif token.group("name"):
            parts.append(_expand(token.group("name"), rules, inner))
        elif (mark := token.group("mark")) == "|":
            levels[-1].append([])
        elif mark == "(":
            levels.append([[]])
        elif mark == ")" and len(levels) > 1:
            group = _joined(levels.pop())
            levels[-1][-1].append(group)
        elif mark or token.group("repeat"):
            if not parts:
                raise GrammarError("nothing to repeat")
            repeated = parts[-1]
            if repeated is not None:
                parts[-1] = f"(?:{repeated}{mark or token.group('repeat')})"
            elif mark in ("?", "*"):
                parts[-1] = ""
    return _joined(levels[0])


def _joined(alternatives: list[list[str | None]]) -> str | None:
    """The alternatives that can be written, in one group."""
    possible = ["".join(part or "" for part in parts) for parts in alternatives if None not in parts]
    return f"(?:{'|'.join(possible)})" if possible else None


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(1)), literal[1:-1])
