"""Constraints in words, and where a conversation says them."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from vllm_connect._wire.schema_prompt import in_user_message, refuses_roles, schema_prompt, show_schema

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


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], [{"role": "user", "content": "T"}]),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "T\n\nhi"}]),
        ([{"role": "user", "content": None}], [{"role": "user", "content": "T"}]),
        (
            [{"role": "user", "content": [{"type": "image_url"}], "name": "n"}],
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "T"}, {"type": "image_url"}],
                    "name": "n",
                }
            ],
        ),
        (
            [{"role": "assistant", "content": "a"}, *({"role": "user", "content": text} for text in "bc")],
            [
                {"role": "assistant", "content": "a"},
                {"role": "user", "content": "T\n\nb"},
                {"role": "user", "content": "c"},
            ],
        ),
    ],
)
def test_the_text_moves_into_the_first_user_message(
    said: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    body = orjson.dumps({"messages": show_schema(said, "T"), "n": 1})
    assert orjson.loads(in_user_message(body)) == {"messages": expected, "n": 1}


def test_instructions_move_into_the_input() -> None:
    body = orjson.dumps({"instructions": "T", "input": "hi"})
    assert orjson.loads(in_user_message(body)) == {"input": [{"role": "user", "content": "T\n\nhi"}]}


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("System role not supported", True),  # Gemma 2
        ("Only user, assistant and tool roles are supported, got system.", True),
        ("Only user and assistant roles are supported!", True),  # Mistral 7B
        ("Conversation roles must alternate user/assistant/user/assistant/...", True),
        ("This model's maximum context length is 2048 tokens. However, you requested 4096", False),
        ("temperature must be non-negative, got -1.0", False),
    ],
)
def test_a_refusal_of_the_system_role_is_known_by_its_words(message: str, refused: bool) -> None:
    assert refuses_roles(400, message) is refused
    assert not refuses_roles(500, message)
