"""Structured answers that have not come to an end, or are not what the schema says, in every face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import StructuredOutputError
from tests.answering import Said, answering, called


class Order(BaseModel):
    name: str
    items: list[str] = []


class OrderDict(TypedDict):
    name: str


async def _astreamed(chain: Any) -> Any:
    return [value async for value in chain.astream("x")][-1]


FACES: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda chain: chain.invoke("x"),
    "ainvoke": lambda chain: asyncio.run(chain.ainvoke("x")),
    "stream": lambda chain: list(chain.stream("x"))[-1],
    "astream": lambda chain: asyncio.run(_astreamed(chain)),
    "batch": lambda chain: chain.batch(["x"])[0],
}
WHOLE = '{"name": "Bob", "items": ["apples"]}'
CUT = '{"name": "Bob", "items": ["apples", "pea'
METHODS = ("json_schema", "function_calling", "json_mode")


def said(method: str, text: str, *reasons: str | None, stop_reason: str | None = None) -> Said:
    message = called("Order", text) if method == "function_calling" else {"content": text}
    return Said(message, reasons or ("stop",), stop_reason)


@pytest.mark.parametrize("face", ["invoke", "stream", "astream"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "max_tokens"),
        ("abort", "aborted"),
        ("repetition", "repeated"),
        ("error", "failed"),
        ("content_filter", "filter"),
        ("paused", "paused"),
    ],
)
def test_an_answer_that_did_not_end_is_an_error_that_names_the_reason(face, method, reason, words):
    for text in (CUT, WHOLE):  # which only looks whole
        with answering(lambda path, body, text=text: said(method, text, reason)) as server:
            model = ChatVLLM(model="m", base_url=server.url, max_retries=0)
            with pytest.raises(StructuredOutputError, match=words):
                FACES[face](model.with_structured_output(Order, method=method))
            result = FACES[face](model.with_structured_output(Order, method=method, include_raw=True))
            assert words in str(result["parsing_error"])
            assert result["parsed"] is None


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_a_stop_string_cut_is_an_error_that_names_it(face, method):
    with answering(lambda path, body: said(method, CUT, "stop", stop_reason="ches")) as server:
        model = ChatVLLM(model="m", base_url=server.url, stop=["ches"])
        with pytest.raises(StructuredOutputError, match="'ches'"):
            FACES[face](model.with_structured_output(Order, method=method))


@pytest.mark.parametrize(
    "schema", [Order, Order.model_json_schema(), OrderDict], ids=["class", "schema", "dict"]
)
@pytest.mark.parametrize("face", ["stream", "astream"])
def test_a_reason_that_comes_twice_is_no_end(face, schema):
    with answering(lambda path, body: said("json_schema", CUT, "length", "length")) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        with pytest.raises(StructuredOutputError):
            FACES[face](model.with_structured_output(schema))


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("method", METHODS)
def test_a_whole_answer_passes(face, method):
    for reason in ("stop", "tool_calls"):
        with answering(lambda path, body, reason=reason: said(method, WHOLE, reason)) as server:
            model = ChatVLLM(model="m", base_url=server.url)
            order = FACES[face](model.with_structured_output(Order, method=method))
            assert order == Order(name="Bob", items=["apples"])
            found = FACES[face](
                model.with_structured_output({**Order.model_json_schema(), "title": "Order"}, method=method)
            )
            assert found == {"name": "Bob", "items": ["apples"]}


@pytest.mark.parametrize("face", ["invoke", "astream"])
@pytest.mark.parametrize(
    "text",
    [
        *("null", "[]", '["name"]', '"Bob"', "7", "true", ""),  # no object
        *(
            WHOLE + ",",
            WHOLE + WHOLE,
            "{'name': 'Bob'}",
            "Here it is: " + WHOLE,
            '{"name": "Bob",}',
        ),  # no JSON
    ],
)
@pytest.mark.parametrize(
    ("schema", "method"),
    [
        (Order, "json_schema"),
        (Order.model_json_schema(), "json_schema"),
        (OrderDict, "json_schema"),
        (None, "json_mode"),
        (Order, "json_mode"),
    ],
    ids=["class", "schema", "TypedDict", "any object", "json_mode"],
)
def test_what_is_no_object_is_an_error(face, schema, method, text):
    with answering(lambda path, body: Said({"content": text})) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        with pytest.raises(StructuredOutputError):
            FACES[face](model.with_structured_output(schema, method=method))


def test_other_types_than_objects_where_the_schema_says_so():
    for schema, text, expected in (
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": ["object", "null"]}, "null", None),
        ({"type": "number"}, "7", 7),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, "null", None),
    ):
        with answering(lambda path, body, text=text: Said({"content": text})) as server:
            model = ChatVLLM(model="m", base_url=server.url)
            assert model.with_structured_output(schema).invoke("x") == expected


@pytest.mark.parametrize("face", FACES)
def test_a_fence_around_the_whole_answer_is_no_part_of_it(face):
    with answering(lambda path, body: Said({"content": f"```json\n{WHOLE}\n```"})) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        assert FACES[face](model.with_structured_output(Order)) == Order(name="Bob", items=["apples"])


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("reason", "words"),
    [("length", "max_tokens.*thinking"), ("stop", "reasoning.*thinking=False"), ("abort", "aborted")],
)
def test_an_answer_that_is_only_reasoning_says_so(face, reason, words):
    with answering(
        lambda path, body: Said({"content": None, "reasoning": "Well, let me"}, (reason,))
    ) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        with pytest.raises(StructuredOutputError, match=words):
            FACES[face](model.with_structured_output(Order))
