"""Structured outputs: schemas, regular expressions, grammars."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_connect.sim.answers.ebnf import GrammarError, to_regex
from vllm_connect.sim.answers.regexes import matching
from vllm_connect.sim.answers.schemas import SchemaError, check, fill, valid

from .conftest import QUIET, Caller

SCHEMAS: list[Any] = [
    {"type": "string"},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}$"},
    {"type": "string", "pattern": "^a+$", "minLength": 5},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 10, "maximum": 12},
    {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5},
    {"type": "integer", "maximum": -5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 2.5},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["null", "integer"]},
    {"enum": ["x", 2, None]},
    {"const": {"a": 1}},
    {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 3}, "pet": {"$ref": "#/$defs/Pet"}},
        "required": ["name", "pet"],
        "$defs": {"Pet": {"type": "object", "properties": {"kind": {"enum": ["cat"]}}, "required": ["kind"]}},
    },
    {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                },
                "required": ["value", "next"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_a_schema_is_filled(schema: Any) -> None:
    value = fill(schema)
    assert valid(value, schema), value
    assert fill(schema) == value
    json.dumps(value)


def test_known_values_are_used_where_they_fit() -> None:
    schema = {"type": "object", "properties": {"setup": {"type": "string"}, "age": {"type": "integer"}}}
    assert fill(schema, values={"setup": "Why?", "age": "old"}) == {"setup": "Why?", "age": 1}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1.5, {"type": "integer"}),
        (True, {"type": "integer"}),
        ("abc", {"maxLength": 2}),
        ({"b": 1}, {"type": "object", "properties": {"a": {}}, "additionalProperties": False}),
        ({}, {"type": "object", "required": ["a"]}),
        ([1, 1], {"uniqueItems": True}),
        (3, {"multipleOf": 2}),
        ("x", {"oneOf": [{"type": "string"}, {"enum": ["x"]}]}),
    ],
)
def test_what_does_not_satisfy_a_schema(value: Any, schema: Any) -> None:
    assert not valid(value, schema)


def test_an_unknown_type() -> None:
    with pytest.raises(SchemaError, match='Unsupported type "nonsense"'):
        check({"type": "object", "properties": {"a": {"anyOf": [{"type": "nonsense"}]}}})


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"[0-9]{3}-[a-f]{2}", r"\d+", r"(yes|no)!", r"a?b*c+", r"[^a-z]", r"(?i:abc)", r"\w+@\w+\.com"),
        *(
            r"(a)(b)\2\1",
            r"(?=x)x",
            r"(?!ab)[a-c]{2}",
            r"[\s\S]{4}",
            r"\{.*\}",
            r"^x$",
            r"(?P<n>a)(?P=n)",
            "",
        ),
    ],
)
def test_a_pattern_is_matched(pattern: str) -> None:
    assert re.fullmatch(pattern, matching(pattern))


@pytest.mark.parametrize(
    ("grammar", "expected"),
    [
        ('root ::= "yes" | "no" " thanks"', "yes"),
        ('root ::= greeting " " name "!"\ngreeting ::= "Hi" | "Hello"\nname ::= [A-Z] [a-z]{2}', "Hi Aaa!"),
        ('start: "SELECT " column (", " column)*\ncolumn: /[a-z]+/', "SELECT a, a"),
        ('root ::= "(" root ")" | "x"', "(((x)))"),
        ("# a comment\nroot ::= 'a'? \"b\"i // another", "ab"),
    ],
)
def test_a_grammar_is_followed(grammar: str, expected: str) -> None:
    assert matching(to_regex(grammar)) == expected


@pytest.mark.parametrize("grammar", ["root ::= nope", "", 'root ::= root "x"', "root ::= *", "root ::= \x00"])
def test_what_is_no_grammar(grammar: str) -> None:
    with pytest.raises(GrammarError):
        to_regex(grammar)


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "constraint",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}},
        {"structured_outputs": {"json": PERSON}},
        {"structured_outputs": {"json": json.dumps(PERSON)}},
    ],
)
def test_json(ask: Caller, constraint: dict[str, Any]) -> None:
    assert ask.chat("Give me a person.", **constraint)["message"]["content"] == '{"name":"name","age":18}'
    own = '{"name": "Bob", "age": 20}'
    assert ask.chat(f"Say: {own}", **constraint)["message"]["content"] == own
    assert ask.chat('Say: {"name": "Bob", "age": 2}', **constraint)["message"]["content"].endswith(":18}")


def test_constraints(ask: Caller) -> None:
    def text(content: str, **constraint: Any) -> Any:
        return ask.chat(content, structured_outputs=constraint)["message"]["content"]

    assert text("Is it red or what?", choice=["green", "red"]) == "red"
    assert text("Hm.", choice=["green", "red"]) == "green"
    assert text("Say: red", choice=["green", "red"]) == "red"
    assert re.fullmatch("[0-9]{3}-[a-f]{2}", text("Go.", regex="[0-9]{3}-[a-f]{2}"))
    assert text("Say: 342-bb", regex="[0-9]{3}-[a-f]{2}") == "342-bb"
    assert text("Say: no thanks", grammar='root ::= "yes" | "no" " thanks"') == "no thanks"
    assert json.loads(text("Say: so", json_object=True)) == {"text": "so"}
    tag = {"type": "structural_tag", "structures": [{"begin": "<f>", "schema": PERSON, "end": "</f>"}]}
    reply = ask.chat("Go.", response_format={**tag, "triggers": ["<f>"]})
    assert reply["message"]["content"] == '<f>{"name":"name","age":18}</f>'


TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize(
    "constraint",
    [
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}},
            }
        },
        {"structured_outputs": {"choice": ["red"]}},
    ],
)
def test_a_constraint_leaves_no_room_for_calls(ask: Caller, constraint: dict[str, Any]) -> None:
    """It binds from the first token on, unless a call is forced."""
    question = "What is the weather in Oslo?"
    assert not ask.chat(question, tools=[TOOL], **constraint)["message"].get("tool_calls")
    assert ask.chat(question, tools=[TOOL])["message"]["tool_calls"]
    forced = ask.chat(question, tools=[TOOL], tool_choice="required", **constraint)
    assert forced["message"]["tool_calls"]


def test_reasoning_comes_before_a_constraint(ask: Caller) -> None:
    message = ask.chat("Hm.", structured_outputs={"choice": ["a"]})["message"]
    assert message["reasoning"] == "I answer."
    assert message["content"] == "a"
    assert ask.chat("Hm.", structured_outputs={"choice": ["a"]}, **QUIET)["message"]["reasoning"] is None


def test_old_names_are_ignored(ask: Caller) -> None:
    assert ask.chat("Say: blue", guided_choice=["red"])["message"]["content"] == "blue"


def test_completions_do_not_obey_beside_a_reasoning_parser(ask: Caller, serve: Any) -> None:
    body = {"prompt": "Say: x", "structured_outputs": {"regex": "[0-9]{3}"}}
    assert ask.json("/v1/completions", **body)["choices"][0]["text"] == "x"
    assert serve(reasoning=False).json("/v1/completions", **body)["choices"][0]["text"] == "000"


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["a", r"\d", "[x-z]", "(b|cd)", ".", "[^a]"]),
        lambda inner: st.tuples(inner, st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}"]), inner).map(
            lambda parts: f"(?:{parts[0]}){parts[1]}{parts[2]}"
        ),
        max_leaves=6,
    )
)
def test_any_pattern_is_matched(pattern: str) -> None:
    assert re.fullmatch(pattern, matching(pattern))
