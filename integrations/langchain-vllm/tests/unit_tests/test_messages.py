"""Messages, and the reasoning that goes back with them."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langchain_vllm.messages import wire_message

CALL = tool_call(name="f", args={"x": "ä"}, id="c1")
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": "ä"}'}}


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (HumanMessage("a", name="Ann"), {"role": "user", "content": "a", "name": "Ann"}),
        (SystemMessage("a"), {"role": "system", "content": "a"}),
        (
            SystemMessage("a", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "content": "a"},
        ),
        (ChatMessage("a", role="critic"), {"role": "critic", "content": "a"}),
        (ToolMessage("3", tool_call_id="c1"), {"role": "tool", "tool_call_id": "c1", "content": "3"}),
        (AIMessage(""), {"role": "assistant", "content": ""}),
        (AIMessage("", tool_calls=[CALL]), {"role": "assistant", "tool_calls": [WIRE_CALL]}),
        (
            AIMessage([{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": "ä"}}]),
            {"role": "assistant", "tool_calls": [WIRE_CALL]},
        ),
        (
            AIMessage([{"type": "tool_call", "id": "c1", "name": "f", "args": {"x": "ä"}}]),
            {"role": "assistant", "tool_calls": [WIRE_CALL]},
        ),
        (AIMessage("a", additional_kwargs={"lc_source": "x"}), {"role": "assistant", "content": "a"}),
    ],
)
def test_message(message, wire):
    assert wire_message(message) == wire


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("b", additional_kwargs={"reasoning_content": "a"}),
        AIMessage([{"type": "reasoning", "reasoning": "a"}, {"type": "text", "text": "b"}]),
        AIMessage([{"type": "reasoning", "reasoning": "a", "summary": []}, {"type": "text", "text": "b"}]),
        AIMessage([{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "text", "text": "b"}]),
        AIMessage([{"type": "reasoning", "summary": [{"text": "a"}]}, {"type": "text", "text": "b"}]),
        AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": "a"}}, "b"]),
    ],
)
def test_reasoning_goes_back(message):
    assert wire_message(message) == {"role": "assistant", "content": "b", "reasoning": "a"}
    assert "reasoning" not in wire_message(message, "none")
    assert "reasoning" not in wire_message(message, "tool_calls")


def test_reasoning_before_a_call_goes_back():
    message = AIMessage("", tool_calls=[CALL], additional_kwargs={"reasoning_content": "a"})
    assert wire_message(message, "tool_calls")["reasoning"] == "a"


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"x": ', '{"invalid_arguments": "{\\"x\\": "}'),
        ("[1]", '{"invalid_arguments": "[1]"}'),
        (None, "{}"),
    ],
)
def test_invalid_arguments_go_back_as_an_object(arguments, sent):
    call = invalid_tool_call(name="f", args=arguments, id="c1", error="?")
    wire = wire_message(AIMessage("", invalid_tool_calls=[call]))
    assert wire["tool_calls"][0]["function"] == {"name": "f", "arguments": sent}


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="RemoveMessage"):
        wire_message(RemoveMessage(id="1"))


def test_an_image_of_an_assistant_is_sent() -> None:
    image = {"type": "image", "url": "http://host/cat.png"}
    blocks = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "See:"}, image]
    wire = wire_message(AIMessage(blocks))
    assert wire["content"] == [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": "http://host/cat.png"}},
    ]
    assert wire["reasoning"] == "hm"
