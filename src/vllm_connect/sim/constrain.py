"""Structured outputs: text that obeys a schema, a regular expression, a choice or a grammar.

Where the conversation already says something that obeys (`Say: {"a": 1}`), that is taken as it is.
Else the text is made up: the first choice, the shortest sensible string, a value for every property.

Supported are what `schemas`, `regexes` and `ebnf` understand, and a `structural_tag` in the older form
(structures with `begin`, `schema`, `end`), of which the first structure is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from . import schemas
from .answers import Answer
from .ebnf import GrammarError, to_regex
from .errors import refused
from .regexes import matching

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")


class Constraint:
    """One constraint on the text of an answer, checked when it is made.

    Raises:
        LateError: A 400; the constraint makes no sense to the engine.
    """

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value
        self.pattern = ""
        if kind == "json":
            self.value = _loaded(value)
            try:
                schemas.check(self.value)
            except schemas.SchemaError as error:
                raise refused(f"Failed to transform json schema into a grammar: {error}", late=True) from None
        elif kind in ("regex", "grammar"):
            self.pattern = _pattern(kind, value)

    def apply(self, answer: Answer, text: str) -> str:
        """The constrained text.

        Args:
            answer: What would be said without the constraint.
            text: What the user said, in which a choice may be named.
        """
        said = (answer.content or "").strip()
        if self.kind == "choice":
            choices = [str(choice) for choice in self.value]
            named = [choice for choice in choices if re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", text)]
            return said if said in choices else (named or choices)[0]
        if self.kind in ("regex", "grammar"):
            return said if re.fullmatch(self.pattern, said) else matching(self.pattern)
        if self.kind == "structural_tag":
            structure = (self.value.get("structures") or [{}])[0]
            made = schemas.fill(structure.get("schema") or {}, known=answer.values)
            return f"{structure.get('begin', '')}{_compact(made)}{structure.get('end', '')}"
        schema = self.value if self.kind == "json" else {"type": "object"}
        try:
            if schemas.valid(json.loads(said), schema):
                return said
        except ValueError:
            pass
        known = answer.values
        if self.kind == "json_object" and not known:
            known = {"text": said} if said else {}
        return _compact(known if self.kind == "json_object" else schemas.fill(schema, known=known))


def constraint_of(
    structured_outputs: Mapping[str, Any] | None, response_format: Mapping[str, Any] | None
) -> Constraint | None:
    """The constraint of a request; a `response_format` goes before `structured_outputs`.

    Raises:
        SimError: A 400; there is none where one was announced, or there are several.
    """
    kind = response_format.get("type") if response_format else None
    if response_format and kind == "json_schema":
        schema = (response_format.get("json_schema") or {}).get("schema")
        return Constraint("json", schema) if schema is not None else None
    if kind == "json_object":
        return Constraint("json_object", True)
    if kind == "structural_tag":
        return Constraint("structural_tag", response_format)
    if structured_outputs is None:
        return None
    given = [name for name in _KINDS if structured_outputs.get(name) is not None]
    if len(given) > 1:
        raise refused(
            "You can only use one kind of structured outputs constraint but multiple are specified: "
            f"{dict(structured_outputs)}"
        )
    if not given:
        raise refused(
            "You must use one kind of structured outputs constraint but none are specified: "
            f"{dict(structured_outputs)}"
        )
    return Constraint(given[0], structured_outputs[given[0]])


def _loaded(schema: Any) -> Any:
    if not isinstance(schema, str):
        return schema
    try:
        return json.loads(schema)
    except ValueError:
        raise refused("Invalid JSON grammar specification.", late=True) from None


def _pattern(kind: str, value: Any) -> str:
    try:
        pattern = to_regex(str(value)) if kind == "grammar" else str(value)
        re.compile(pattern)
    except GrammarError:
        raise refused("Invalid grammar specification.", late=True) from None
    except re.error as error:
        raise refused(
            "Failed to transform regex into a grammar: Regex parsing error at position "
            f"{(error.pos or 0) + 1}: {error.msg}",
            late=True,
        ) from None
    return pattern


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
