"""Constraints in words, and where a conversation says them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from vllm_connect._wire.schema_prompt import schema_prompt, show_schema

SCHEMA = {"type": "object", "properties": {"größe": {"type": "integer", "description": "in cm"}}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "Size", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize(
    ("request_fields", "words"),
    [
        ({"response_format": JSON_SCHEMA}, ["größe", "in cm", '"type":"integer"']),
        ({"response_format": {"type": "json_object"}, "schema": SCHEMA}, ["größe", "in cm"]),
        ({"structured_outputs": {"json": SCHEMA}}, ["größe", "in cm"]),
        ({"structured_outputs": {"json": '{"title": "T"}'}}, ['{"title": "T"}']),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, ['"yes", "no"']),
        ({"structured_outputs": {"regex": r"\d+"}}, [r"\d+"]),
        ({"structured_outputs": {"grammar": 'root ::= "a"'}}, ['root ::= "a"']),
    ],
)
def test_a_constraint_is_put_into_words(request_fields: dict[str, Any], words: list[str]) -> None:
    text = schema_prompt(**request_fields)
    assert text is not None
    assert [word for word in words if word not in text] == []
    assert schema_prompt(**copy.deepcopy(request_fields)) == text  # or no prefix would be found in the cache


def test_a_format_is_described_in_the_words_of_its_author() -> None:
    described = {
        **JSON_SCHEMA,
        "json_schema": {**JSON_SCHEMA["json_schema"], "description": "the size of a box"},
    }
    assert "the size of a box" in (schema_prompt(described) or "")


@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema"}},
        {"structured_outputs": {"json_object": True}},
        {"structured_outputs": {"structural_tag": "{}"}},
    ],
)
def test_nothing_is_said_where_nothing_is_known(request_fields: dict[str, Any]) -> None:
    assert schema_prompt(**request_fields) is None


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], [{"role": "system", "content": "T"}]),
        (
            [{"role": "user", "content": "hi"}],
            [{"role": "system", "content": "T"}, {"role": "user", "content": "hi"}],
        ),
        ([{"role": "system", "content": "Be kind."}], [{"role": "system", "content": "Be kind.\n\nT"}]),
        ([{"role": "system", "content": ""}], [{"role": "system", "content": "T"}]),
        ([{"role": "system", "content": None}], [{"role": "system", "content": "T"}]),
        ([{"role": "developer", "content": "Be kind."}], [{"role": "developer", "content": "Be kind.\n\nT"}]),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Be kind."}], "name": "n"}],
            [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "T"}],
                    "name": "n",
                }
            ],
        ),
    ],
)
def test_the_conversation_begins_with_the_text(
    messages: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy(messages)
    assert show_schema(iter(messages), "T") == expected
    assert messages == before


def test_a_later_system_message_stays_what_it_is() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": "Be kind."}]
    assert show_schema(messages, "T") == [{"role": "system", "content": "T"}, *messages]


def test_no_text_changes_nothing() -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert show_schema(messages, None) == messages
