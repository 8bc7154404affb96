"""Whatever a model answers, and however it is cut into chunks."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.responses_over_chat.builders import (
    accumulate,
    call,
    chunk,
    completion,
    run,
    usage_chunk,
    without_ids,
)

from vllm_connect import types
from vllm_connect.responses_over_chat import chat_request, response_from_chat

PARAMS: dict[str, Any] = {
    "model": "tiny-chat",
    "input": "hi",
    "tools": [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in ("f", "g")],
    "metadata": {"a": "b"},
}

texts = st.text(st.sampled_from('ab\n é😀"{}'), min_size=1, max_size=12)
arguments = st.dictionaries(texts, texts | st.integers(), max_size=2).map(json.dumps)
tool_calls = st.lists(st.tuples(st.sampled_from(["f", "g"]), arguments | st.just("")), max_size=3).map(
    lambda calls: [call(f"call-{index}", *each) for index, each in enumerate(calls)]
)
finish_reasons = st.sampled_from(["stop", "tool_calls", "length", "abort", "content_filter"])


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    """What a model answered, as arguments of `completion`."""
    return {
        "content": draw(st.none() | st.just("") | texts),
        "reasoning": draw(st.none() | texts),
        "refusal": draw(st.none() | texts),
        "tool_calls": draw(tool_calls),
        "finish_reason": draw(finish_reasons),
    }


def pieces(draw: st.DrawFn, text: str | None) -> list[str]:
    """A text in pieces, some of them empty."""
    if not text:
        return []
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def call_pieces(draw: st.DrawFn, index: int, made: dict[str, Any]) -> list[dict[str, Any]]:
    """A call in pieces: name and arguments together or apart, the id in the first, in all, or empty later."""
    later = draw(st.sampled_from([{}, {"id": None}, {"id": ""}, {"id": made["id"]}]))
    function = made["function"]
    rest = pieces(draw, function["arguments"])
    first = rest.pop(0) if rest and draw(st.booleans()) else draw(st.none() | st.just(""))
    begin = call(made["id"], function["name"], first) | {"index": index}
    return [begin, *({"index": index, "function": {"arguments": piece}} | later for piece in rest)]


def deltas_of(draw: st.DrawFn, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The deltas of a reply: in order, some of them several at once, calls in sequence or in turns."""
    deltas = [{"reasoning": piece} for piece in pieces(draw, reply["reasoning"])]
    deltas += [{"content": piece} for piece in pieces(draw, reply["content"])]
    deltas += [{"refusal": piece} for piece in pieces(draw, reply["refusal"])]
    calls = [call_pieces(draw, index, made) for index, made in enumerate(reply["tool_calls"])]
    in_turns = draw(st.booleans())
    if in_turns:  # all begin, then each goes on, in any order
        order = [each.pop(0) for each in calls]
        while any(calls):
            order.append(draw(st.sampled_from([each for each in calls if each])).pop(0))
        calls = [order]
    deltas += [{"content": None, "tool_calls": [piece]} for each in calls for piece in each]
    merged: list[dict[str, Any]] = []
    for delta in deltas:
        calls_of_both = (
            [*(merged[-1].get("tool_calls") or []), *(delta.get("tool_calls") or [])] if merged else []
        )
        if merged and draw(st.booleans()) and (calls_of_both or not merged[-1].keys() & delta.keys()):
            merged[-1] |= {name: value for name, value in delta.items() if value is not None}
            if calls_of_both:
                merged[-1]["tool_calls"] = calls_of_both
        else:
            merged.append(dict(delta))
    return merged


def chunks_of(deltas: list[dict[str, Any]], finish_reason: str, with_last: bool, cls: Any) -> list[Any]:
    made = [
        chunk({"role": "assistant", "content": ""}, cls=cls),
        *(chunk(delta, cls=cls) for delta in deltas),
    ]
    if with_last and deltas:
        made[-1] = chunk(deltas[-1], finish_reason, cls=cls)
    else:
        made.append(chunk({}, finish_reason, cls=cls))
    return [*made, usage_chunk(cls=cls)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[Any]]:
    """A reply, and a stream of it."""
    reply = draw(replies())
    deltas = deltas_of(draw, reply)
    return reply, chunks_of(deltas, reply["finish_reason"], draw(st.booleans()), types.ChatCompletionChunk)


@settings(deadline=None)
@given(streams())
def test_a_stream_is_the_reply_in_pieces(made: tuple[dict[str, Any], list[Any]]) -> None:
    reply, chunks = made
    whole = without_ids(response_from_chat(completion(**reply), PARAMS))
    events = run(chunks, PARAMS)
    assert without_ids(events[-1].response) == whole
    accumulated = accumulate(events, PARAMS["tools"])
    if events[-1].type == "response.completed":
        data = accumulated.to_dict(mode="json", warnings=False)
        for item in data["output"]:
            item.pop("id")
            item.pop("parsed_arguments", None)
            for part in item.get("content") or ():
                part.pop("parsed", None)
        assert data == whole
    else:
        assert accumulated is None


@settings(deadline=None)
@given(streams())
def test_deltas_add_up(made: tuple[dict[str, Any], list[Any]]) -> None:
    events = run(made[1], PARAMS)
    for item in events[-1].response.output:
        deltas = {
            kind: "".join(
                e.delta
                for e in events
                if getattr(e, "item_id", "") == item.id and e.type == f"response.{kind}"
            )
            for kind in (
                "reasoning_text.delta",
                "output_text.delta",
                "refusal.delta",
                "function_call_arguments.delta",
            )
        }
        if item.type == "message":
            parts = [
                getattr(part, "text", None) or getattr(part, "refusal", None) or "" for part in item.content
            ]
            assert "".join(parts) == deltas["output_text.delta"] + deltas["refusal.delta"]
        elif item.type == "reasoning":
            assert item.content[0].text == deltas["reasoning_text.delta"]
        else:
            assert item.arguments == deltas["function_call_arguments.delta"]


@settings(deadline=None)
@given(replies(), st.booleans())
def test_output_sent_back_is_what_the_model_said(reply: dict[str, Any], as_models: bool) -> None:
    output = response_from_chat(completion(**reply), PARAMS).output
    items: list[Any] = list(output) if as_models else [item.to_dict() for item in output]
    user = {"role": "user", "content": "go on"}
    messages = chat_request(PARAMS | {"input": [user, *items, user]})["messages"]
    assert messages[0] == messages[-1] == user
    assert messages[1:-1] == expected(reply)


@st.composite
def texts_and_calls(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """A turn in which texts and calls alternate."""
    turn: list[tuple[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        turn.append(("content", draw(texts)))
        turn.append(("call", call(f"call-{index}", "f", draw(arguments))))
    if draw(st.booleans()):
        turn.append(("content", draw(texts)))
    return turn


@settings(deadline=None)
@given(texts_and_calls())
def test_text_between_calls(turn: list[tuple[str, Any]]) -> None:
    deltas: list[dict[str, Any]] = []
    for kind, value in turn:
        index = sum("tool_calls" in delta for delta in deltas)
        deltas.append({"content": value} if kind == "content" else {"tool_calls": [value | {"index": index}]})
    events = run(chunks_of(deltas, "stop", False, types.ChatCompletionChunk), PARAMS)
    output = events[-1].response.output
    assert [item.type for item in output] == [
        {"content": "message", "call": "function_call"}[kind] for kind, _ in turn
    ]
    assert accumulate(events).output_text == "".join(value for kind, value in turn if kind == "content")
    reply = {
        "content": "".join(value for kind, value in turn if kind == "content"),
        "tool_calls": [value for kind, value in turn if kind == "call"],
        "finish_reason": "stop",
    }
    assert chat_request(PARAMS | {"input": output})["messages"] == expected(reply)


def expected(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The assistant message that a chat would be continued with."""
    content: Any = reply["content"] or ""
    if reply.get("refusal"):  # as a part, where vLLM shows it to the model
        content = [{"type": "text", "text": content}] if content else []
        content.append({"type": "refusal", "refusal": reply["refusal"]})
    calls = [dict(made) for made in reply["tool_calls"]]
    for made in calls:
        cut = reply["finish_reason"] not in ("stop", "tool_calls")
        made["function"] = made["function"] | {
            "arguments": made["function"]["arguments"] or ("" if cut else "{}")
        }
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message |= {"content": content or None, "tool_calls": calls}
    if reply.get("reasoning"):
        message["reasoning"] = reply["reasoning"]
    return [message] if content or calls or reply.get("reasoning") else []
