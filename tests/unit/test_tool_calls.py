"""Pieces of tool calls, and their arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from tests.unit.tool_call_cases import CASES, Case, piece

from vllm_connect.adapters import ArgumentsError, ToolCall, ToolCalls, read_arguments, whole_calls


def deltas(chunk: list[dict[str, Any]]) -> Any:
    return ChoiceDelta.construct(tool_calls=chunk).tool_calls


def read(chunks: list[list[dict[str, Any]]]) -> tuple[ToolCalls, list[ToolCall]]:
    """The assembler, and the calls that its pieces add up to."""
    assembler = ToolCalls()
    pieces = [new for chunk in chunks for new in assembler.feed(deltas(chunk))] + assembler.finish()
    summed: dict[int, ToolCall] = {}
    for new in pieces:
        if new.begins:
            assert new.number == len(summed)
            summed[new.number] = ToolCall(new.id, "", "")
        so_far = summed[new.number]
        assert so_far.id == new.id
        summed[new.number] = ToolCall(new.id, so_far.name + new.name, so_far.arguments + new.arguments)
    return assembler, list(summed.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_pieces_become_the_calls_that_were_meant(case: Case) -> None:
    assembler, summed = read(case.chunks)
    assert assembler.calls == summed
    assert len({call.id for call in summed}) == len(summed)
    assert [(call.name, read_arguments(call.arguments, "tool_calls")) for call in summed] == case.calls


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_ids_are_the_first_that_the_server_sent(case: Case) -> None:
    sent = {delta.get("id") for chunk in case.chunks for delta in chunk} - {None}
    for call in read(case.chunks)[1]:
        assert call.id in sent or call.id.startswith("chatcmpl-tool-")


json_objects = st.dictionaries(
    st.text(max_size=4), st.text(max_size=6) | st.integers() | st.none(), max_size=3
)


@given(st.lists(st.tuples(st.sampled_from("fg"), json_objects), max_size=4), st.data())
def test_calls_survive_every_way_of_cutting_them(calls: list[tuple[str, dict[str, Any]]], data: Any) -> None:
    with_ids, numbered = data.draw(st.booleans()), data.draw(st.booleans())
    chunks = []
    for number, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        index = number if numbered else 0
        id = f"id{number}" if with_ids else None
        chunks.append([piece(name, parts[0], id, index)])
        chunks += [[piece(None, part, index=index)] for part in parts[1:]]
    found = read(chunks)[1]
    assert [(call.name, read_arguments(call.arguments, "stop")) for call in found] == calls


@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls", "function_call"])
@pytest.mark.parametrize("text", ["", " ", "null", " null\n", "{}"])
def test_no_arguments_are_believed_after_an_end_of_the_models_own(text: str, finish_reason: str) -> None:
    assert read_arguments(text, finish_reason) == {}


@pytest.mark.parametrize("finish_reason", ["length", "abort", "error", "something new", None])
@pytest.mark.parametrize("text", ["", "null"])
def test_no_arguments_are_not_believed_after_a_cut(text: str, finish_reason: str | None) -> None:
    with pytest.raises(ArgumentsError, match="not whole"):
        read_arguments(text, finish_reason)


@pytest.mark.parametrize("finish_reason", ["length", "abort"])
def test_an_empty_object_is_not_believed_after_a_cut(finish_reason: str) -> None:
    """vLLM itself writes {} for a call that was cut off behind its name."""
    with pytest.raises(ArgumentsError, match="not whole"):
        read_arguments("{}\n", finish_reason)
    assert read_arguments("{}", None) == read_arguments("{}", finish_reason, is_last=False) == {}


@pytest.mark.parametrize("finish_reason", ["tool_calls", "length", None])
@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"a": 1}', {"a": 1}),
        (' {"a": "line\nbreak"}\n', {"a": "line\nbreak"}),
        (json.dumps('{"a": 1}'), {"a": 1}),
    ],
)
def test_whole_arguments(text: str, arguments: dict[str, Any], finish_reason: str | None) -> None:
    assert read_arguments(text, finish_reason) == arguments


UNREADABLE = [
    '{"a": 1',
    '{"pattern": "tmp/*.log", "dry_',
    "{'a': True}",
    '{"a": 1,}',
    '{"a": "say "hi""}',
    '[{"a": 1}]',
    '"a"',
    "1",
    "true",
    "nu",
    '{"a": 1}{"a": 2}',
    json.dumps(json.dumps('{"a": 1}')),
    json.dumps("null"),
    "[" * 100_000,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_nothing_is_repaired(text: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        read_arguments(text, "tool_calls")
    assert caught.value.text == text


def test_calls_of_a_whole_answer() -> None:
    message = ChatCompletionMessage.construct(
        role="assistant",
        content=None,
        tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "1", "type": "function", "function": {"name": "g", "arguments": {"b": "é"}}},
            {"id": None, "type": "function", "function": {"name": None, "arguments": None}},
            {"id": "2", "type": "custom", "custom": {"name": "c", "input": "x"}},
        ],
    )
    first, second, third = whole_calls(message.tool_calls)
    assert first == ("1", "f", '{"a": 1}')
    assert second[1:] == ("g", '{"b": "é"}')
    assert third[1:] == ("", "")
    assert len({first.id, second.id, third.id}) == 3
    assert whole_calls(None) == []
