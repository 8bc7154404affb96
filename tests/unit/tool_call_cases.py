"""Streams of tool-call pieces as servers and routers send them, and the calls that they mean.

Every face has to give these calls: the Responses API on chat completions, LangChain and LlamaIndex.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]


class Case(NamedTuple):
    """A stream.

    Attributes:
        name: what is odd about it.
        chunks: the `tool_calls` of its deltas.
        calls: names and arguments of the calls.
    """

    name: str
    chunks: list[list[Json]]
    calls: list[tuple[str, Json]]


def piece(
    name: str | None = None, arguments: Any = None, id: str | None = None, index: int | None = 0
) -> Json:
    """A piece of a call as a delta holds it."""
    function = {"name": name, "arguments": arguments}
    made: Json = {"function": {key: value for key, value in function.items() if value is not None}}
    if index is not None:
        made["index"] = index
    return made | {"id": id, "type": "function"} if id else made


def one_by_one(name: str, pieces: list[Json], calls: list[tuple[str, Json]]) -> Case:
    return Case(name, [[each] for each in pieces], calls)


F1, F2, G2 = ("f", {"a": 1}), ("f", {"a": 2}), ("g", {"a": 2})

CASES = [
    one_by_one("as vLLM sends it", [piece("f", "", "x"), piece(None, '{"a"'), piece(None, ": 1}")], [F1]),
    one_by_one("one function twice, no ids", [piece("f", '{"a": 1}'), piece("f", '{"a": 2}')], [F1, F2]),
    one_by_one(
        "one function twice, an id on the first",
        [piece("f", '{"a": 1}', "x"), piece("f", '{"a": 2}')],
        [F1, F2],
    ),
    one_by_one(
        "one function twice, in pieces, no ids",
        [piece("f"), piece(None, '{"a": '), piece(None, "1}"), piece("f"), piece(None, '{"a": 2}')],
        [F1, F2],
    ),
    one_by_one(
        "two functions at index 0, with ids",
        [piece("f", "", "x"), piece(None, '{"a": 1}'), piece("g", "", "y"), piece(None, '{"a": 2}')],
        [F1, G2],
    ),
    one_by_one("two functions without arguments, no ids", [piece("f"), piece("g")], [("f", {}), ("g", {})]),
    one_by_one(
        "another function under the same id",
        [piece("f", "{}", "x"), piece("g", "{}", "x")],
        [("f", {}), ("g", {})],
    ),
    one_by_one(
        "a fresh id in every piece",
        [piece("f", "", "x"), piece(None, '{"a"', "y"), piece(None, ": 1}", "z")],
        [F1],
    ),
    one_by_one(
        "a fresh id and the name in every piece",
        [piece("f", "", "x"), piece("f", '{"a"', "y"), piece("f", ": 1}", "z")],
        [F1],
    ),
    one_by_one(
        "the id in every piece",
        [piece("f", "", "x"), piece(None, '{"a"', "x"), piece(None, ": 1}", "x")],
        [F1],
    ),
    one_by_one(
        "id and name in every piece",
        [piece("f", "", "x"), piece("f", '{"a"', "x"), piece("f", ": 1}", "x")],
        [F1],
    ),
    one_by_one(
        "the name in every piece, no ids",
        [piece("f", '{"a": '), piece("f", "1}"), piece("f", ""), piece("g", "{"), piece("g", '"a": 2}')],
        [F1, G2],
    ),
    one_by_one(
        "a name in two pieces",
        [piece("get_", "", "x"), piece("it", "", "x"), piece(None, '{"a": 1}')],
        [("get_it", {"a": 1})],
    ),
    one_by_one("an id that comes late", [piece("f"), piece(None, '{"a": 1}', "x")], [F1]),
    one_by_one("an id that comes early", [piece(None, None, "x"), piece("f"), piece(None, '{"a": 1}')], [F1]),
    one_by_one("another id but no name", [piece("f", '{"a": 1}', "x"), piece(None, " ", "y")], [F1]),
    one_by_one("only an id, and nothing more", [piece(None, None, "x")], []),
    one_by_one("no arguments", [piece("f", None, "x")], [("f", {})]),
    one_by_one("empty arguments", [piece("f", "", "x"), piece(None, "")], [("f", {})]),
    one_by_one("arguments null", [piece("f", "null", "x")], [("f", {})]),
    one_by_one("arguments null, in two pieces", [piece("f", "nu", "x"), piece(None, "ll")], [("f", {})]),
    one_by_one("arguments as an object", [piece("f", {"a": 1}, "x")], [F1]),
    one_by_one("two calls with arguments as objects", [piece("f", {"a": 1}), piece("f", {"a": 2})], [F1, F2]),
    one_by_one("arguments encoded twice", [piece("f", '"{\\"a\\"', "x"), piece(None, ': 1}"')], [F1]),
    one_by_one("a raw line break", [piece("f", '{"a": "1\n2"}', "x")], [("f", {"a": "1\n2"})]),
    one_by_one("no index", [piece("f", "", "x", None), piece(None, '{"a": 1}', None, None)], [F1]),
    one_by_one(
        "no index, two calls",
        [piece("f", "", "x", None), piece(None, '{"a": 1}', None, None), piece("g", '{"a": 2}', "y", None)],
        [F1, G2],
    ),
    one_by_one("first index 1", [piece("f", "", "x", 1), piece(None, '{"a": 1}', None, 1)], [F1]),
    one_by_one(
        "first index 1, continued at 0", [piece("f", "", "x", 1), piece(None, '{"a": 1}', None, 0)], [F1]
    ),
    one_by_one(
        "written in turns",
        [
            piece("f", "", "x", 0),
            piece("g", "", "y", 1),
            piece(None, '{"a": 1}', None, 0),
            piece(None, '{"a": 2}', None, 1),
        ],
        [F1, G2],
    ),
    one_by_one(
        "one id for two calls", [piece("f", '{"a": 1}', "x", 0), piece("g", '{"a": 2}', "x", 1)], [F1, G2]
    ),
    Case(
        "whole calls in one chunk", [[piece("f", '{"a": 1}', "x"), piece("g", '{"a": 2}', "y", 1)]], [F1, G2]
    ),
    Case(
        "whole calls in one chunk, all at index 0",
        [[piece("f", '{"a": 1}'), piece("f", '{"a": 2}')]],
        [F1, F2],
    ),
    Case(
        "whole calls in one chunk, no indices",
        [[piece("f", '{"a": 1}', None, None), piece("f", '{"a": 2}', None, None)]],
        [F1, F2],
    ),
    Case(
        "in turns, no indices",
        [
            [piece("f", None, None, None), piece("g", None, None, None)],
            [piece(None, '{"a": 1}', None, None), piece(None, '{"a": 2}', None, None)],
        ],
        [F1, G2],
    ),
    Case(
        "a call in two pieces of one chunk",
        [[piece("f", "", "x", None), piece(None, '{"a": 1}', None, None)]],
        [F1],
    ),
]
