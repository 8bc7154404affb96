"""Structured outputs: text that obeys a schema, a regular expression, a choice or a grammar.

Where the conversation already says something that obeys (`Say: {"a": 1}`), that is taken as it is.
Else the text is made up: the first choice, the shortest sensible string, a value for every property.

Supported are what `schemas`, `regexes` and `ebnf` understand, and a `structural_tag` in the older form
(structures with `begin`, `schema`, `end`), of which the first structure is written; one in the newer form
does not constrain anything.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from ..http.errors import SimError, refused
from ..requests.sampling import ResponseFormat, Sampling, StructuredOutputs
from . import schemas
from .answer import Answer
from .ebnf import GrammarError, to_regex
from .regexes import matching

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_FIELDS = {"json": "json_"}


class Constraint:
    """One constraint on the text of an answer, checked when it is made.

    Raises:
        LateError: a 400; the constraint makes no sense to the engine.
    """

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value
        self.pattern = ""
        if kind == "json":
            self.value = _loaded(value)
            try:
                schemas.check(self.value)
            except schemas.SchemaError as error:
                raise _no_grammar("json schema", 4944, str(error)) from None
        elif kind in ("regex", "grammar"):
            self.pattern = _pattern(kind, value)

    def apply(self, answer: Answer, text: str) -> str:
        """The constrained text.

        Args:
            answer: what would be said without the constraint.
            text: what the user said, in which a choice may be named.
        """
        content = (answer.content or "").strip()
        if self.kind == "choice":
            choices = [str(choice) for choice in self.value]
            named = [choice for choice in choices if re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", text)]
            return content if content in choices else (named or choices)[0]
        if self.kind in ("regex", "grammar"):
            return content if re.fullmatch(self.pattern, content) else matching(self.pattern)
        if self.kind == "structural_tag":
            tag = _loaded(self.value)
            if not tag.get("structures"):
                return answer.content or ""
            structure = tag["structures"][0]
            made = schemas.fill(structure.get("schema") or {}, values=answer.values)
            return f"{structure.get('begin', '')}{_compact(made)}{structure.get('end', '')}"
        schema = self.value if self.kind == "json" else {"type": "object"}
        try:
            if schemas.valid(json.loads(content), schema):
                return content
        except ValueError:
            pass
        values = answer.values
        if self.kind == "json_object" and not values:
            values = {"text": content} if content else {}
        return _compact(values if self.kind == "json_object" else schemas.fill(schema, values=values))


def constraint_of(request: Sampling) -> Constraint | None:
    """The constraint of a request; its `response_format` goes before its `structured_outputs`.

    Raises:
        SimError: a 400; there is none where one was announced, or there are several.
    """
    constraints = constraints_of(request)
    if constraints is None:
        return None
    values = {kind: getattr(constraints, _FIELDS.get(kind, kind)) for kind in _KINDS}
    kinds = [kind for kind, value in values.items() if value is not None]
    if len(kinds) != 1:
        told = ("can only use", "multiple") if kinds else ("must use", "none")
        raise refused(
            f"You {told[0]} one kind of structured outputs constraint but {told[1]} are specified: "
            f"{_spelled(constraints)}"
        )
    if values["choice"] == []:
        raise refused("Choice '[]' cannot be an empty list")
    return Constraint(kinds[0], values[kinds[0]])


def constraints_of(request: Sampling) -> StructuredOutputs | None:
    """The structured outputs of a request, unchecked; its `response_format` may name them."""
    return _from_format(request) or request.structured_outputs


def _from_format(request: Sampling) -> StructuredOutputs | None:
    """A response format as structured outputs."""
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if isinstance(form, ResponseFormat):
        if form.type == "json_object":
            return StructuredOutputs.model_validate({"json_object": True})
        schema = form.json_schema.schema_ if form.json_schema else None
        return StructuredOutputs.model_validate({"json": schema})
    return StructuredOutputs.model_validate({"structural_tag": form.model_dump_json()})


def _spelled(given: StructuredOutputs) -> dict[str, Any]:
    """All the fields, as vLLM lists them."""
    first = given.model_dump(by_alias=True)
    return {**first, "_backend": None, "_backend_was_auto": False}


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
        place = f"Regex parsing error at position {(error.pos or 0) + 1}"
        raise _no_grammar("regex", 83, f"{place}: {error.msg}") from None
    return pattern


def _no_grammar(what: str, line: int, why: str) -> SimError:
    """Return xgrammar's refusal, with the time and its own line."""
    now = time.strftime("%H:%M:%S")
    return refused(f"Failed to transform {what} into a grammar: [{now}] <path>:{line}: {why}", late=True)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
