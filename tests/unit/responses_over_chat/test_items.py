"""Input items as chat messages."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import EasyInputMessage, ResponseOutputMessage, ResponseReasoningItem

from vllm_connect import UnsupportedOperationError
from vllm_connect.responses_over_chat.items import messages_from_input


def text(text: str, kind: str = "output_text") -> dict[str, Any]:
    return {"type": kind, "text": text}


def said(*parts: Any) -> dict[str, Any]:
    content = [text(part) if isinstance(part, str) else part for part in parts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, output: Any = "21") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(*texts: str, summary: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "content": [text(t, "reasoning_text") for t in texts],
        "summary": [text(t, "summary_text") for t in summary],
    }


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content: Any = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any = None, *calls: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content} | ({"tool_calls": list(calls)} if calls else {}) | more


def tool(call_id: str, content: Any = "21") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ("hi", [user()]),
        ("", [user("")]),
        ([], []),
        # roles
        ([user()], [user()]),
        ([{"type": "message", **user()}], [user()]),
        ([{"role": "developer", "content": "a"}, user()], [{"role": "system", "content": "a"}, user()]),
        ([{"role": "system", "content": "a"}], [{"role": "system", "content": "a"}]),
        ([{"role": "assistant", "content": "a", "phase": "final_answer"}], [assistant("a")]),
        ([EasyInputMessage(role="developer", content="a")], [{"role": "system", "content": "a"}]),
        # texts
        ([user([text("a", "input_text")])], [user("a")]),
        ([user([text("a", "input_text"), text("b", "input_text")])],
         [user([text("a", "text"), text("b", "text")])]),
        ([user([])], [user("")]),
        ([said("a", "b")], [assistant("ab")]),
        ([said("a", {"type": "refusal", "refusal": "no"})],
         [assistant([text("a", "text"), {"type": "refusal", "refusal": "no"}])]),
        # calls of one turn are one message
        ([user(), call("1"), call("2", "g")], [user(), assistant(None, chat_call("1"), chat_call("2", "g"))]),
        ([said("I look."), call("1"), call("2")], [assistant("I look.", chat_call("1"), chat_call("2"))]),
        ([said("a"), call("1"), said("b"), result("1")], [assistant("ab", chat_call("1")), tool("1")]),
        ([call("1"), said("b"), call("2"), result("1"), result("2")],
         [assistant("b", chat_call("1"), chat_call("2")), tool("1"), tool("2")]),
        ([call("1"), result("1"), call("2"), result("2"), said("a")],
         [assistant(None, chat_call("1")), tool("1"), assistant(None, chat_call("2")), tool("2"),
          assistant("a")]),
        ([said("a"), said("b")], [assistant("a"), assistant("b")]),
        ([said("a"), user(), call("1")], [assistant("a"), user(), assistant(None, chat_call("1"))]),
        ([call("1"), said({"type": "refusal", "refusal": "no"}), said("b")],
         [assistant([{"type": "refusal", "refusal": "no"}, text("b", "text")], chat_call("1"))]),
        # outputs
        ([result("1", "")], [tool("1", "")]),
        ([result("1", [text("a", "input_text")])], [tool("1", "a")]),
        ([result("1", [text("a", "input_text"), {"type": "input_image", "image_url": "http://x/y.png"}])],
         [tool("1", [text("a", "text"), {"type": "image_url", "image_url": {"url": "http://x/y.png"}}])]),
        # reasoning belongs to what it led to
        ([thought("t"), said("a")], [assistant("a", reasoning="t")]),
        ([thought("t"), call("1")], [assistant(None, chat_call("1"), reasoning="t")]),
        ([thought("t"), said("a"), call("1")], [assistant("a", chat_call("1"), reasoning="t")]),
        ([thought("t", "u"), said("a")], [assistant("a", reasoning="t\nu")]),
        ([thought("t"), thought("u"), said("a")], [assistant("a", reasoning="t\nu")]),
        ([thought("t", summary=("s",)), said("a")], [assistant("a", reasoning="t")]),
        ([thought(summary=("r", "s")), said("a")], [assistant("a", reasoning="r\ns")]),
        ([thought(), said("a")], [assistant("a")]),
        ([thought("t"), said("a"), thought("u"), said("b")],
         [assistant("a", reasoning="t"), assistant("b", reasoning="u")]),
        ([thought("t"), said("a"), thought("u"), call("1")],
         [assistant("a", reasoning="t"), assistant(None, chat_call("1"), reasoning="u")]),
        ([thought("t"), call("1"), thought("u"), call("2"), result("1"), result("2")],
         [assistant(None, chat_call("1"), chat_call("2"), reasoning="t\nu"), tool("1"), tool("2")]),
        # … and if it led to nothing, it stays
        ([user(), thought("cut"), user("go on")], [user(), assistant("", reasoning="cut"), user("go on")]),
        ([user(), thought("cut")], [user(), assistant("", reasoning="cut")]),
        ([call("1"), thought("u"), result("1")], [assistant(None, chat_call("1"), reasoning="u"), tool("1")]),
    ],
)  # fmt: skip
def test_conversion(items: Any, messages: list[dict[str, Any]]) -> None:
    assert messages_from_input(items) == messages
    if not isinstance(items, str):
        assert messages_from_input(iter(items)) == messages


@pytest.mark.parametrize(
    ("part", "chat"),
    [
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        ),
        (
            {"type": "input_image", "image_url": "http://x/y.png", "detail": "original"},
            {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "http://x/y.mp4"}},
            {"type": "video_url", "video_url": {"url": "http://x/y.mp4"}},
        ),
    ],
)
def test_media(part: dict[str, Any], chat: dict[str, Any]) -> None:
    assert messages_from_input([user([part])]) == [user([chat])]
    assert messages_from_input([user([text("a", "input_text"), part])]) == [user([text("a", "text"), chat])]


def test_models_of_the_sdk() -> None:
    items = [
        ResponseReasoningItem.model_validate(thought("t")),
        ResponseOutputMessage.model_validate(said({"type": "output_text", "text": "a", "annotations": []})),
    ]
    assert messages_from_input(items) == [assistant("a", reasoning="t")]


@pytest.mark.parametrize(
    ("items", "error", "words"),
    [
        ({"role": "user"}, TypeError, ["input", "list of items", "dict"]),
        (3, TypeError, ["input", "int"]),
        ([user(), "hi"], TypeError, ["input[1]", "str"]),
        ([user(), {}], ValueError, ["input[1]", "`role`"]),
        ([user(), {"type": "dance"}], ValueError, ["input[1]", "dance", "function_call_output"]),
        ([{"type": "web_search_call", "id": "ws_1"}], ValueError, ["input[0]", "web_search_call"]),
        ([{"type": "custom_tool_call", "id": "x"}], ValueError, ["input[0]", "custom_tool_call"]),
        ([{"type": ["message"]}], ValueError, ["input[0]"]),
        ([{"role": "tool", "content": "x"}], ValueError, ["input[0].role", "function_call_output"]),
        ([{"role": "robot", "content": "x"}], ValueError, ["input[0].role", "robot"]),
        ([assistant("", chat_call("1"))], ValueError, ["input[0].tool_calls", "function_call"]),
        ([{"role": "user"}], TypeError, ["input[0].content"]),
        ([user(["a"])], TypeError, ["input[0].content[0]", "str"]),
        ([user([{"type": "smell"}])], ValueError, ["input[0].content[0]", "smell", "input_text"]),
        ([user([{"type": "input_text"}])], ValueError, ["input[0].content[0]", "`text`"]),
        (
            [user([{"type": "input_image", "file_id": "f"}])],
            ValueError,
            ["input[0].content[0]", "image_url", "files"],
        ),
        ([user([{"type": "input_file", "file_id": "f"}])], ValueError, ["input[0].content[0]", "file_data"]),
        ([user([{"type": "input_audio"}])], TypeError, ["input[0].content[0].input_audio"]),
        ([call("1") | {"call_id": None}], ValueError, ["input[0]", "`call_id`"]),
        ([call("1") | {"name": None}], ValueError, ["input[0]", "`name`"]),
        ([call("1") | {"arguments": {}}], ValueError, ["input[0]", "`arguments`", "json.dumps"]),
        ([call("1") | {"namespace": "crm"}], ValueError, ["input[0].namespace"]),
        ([{"type": "function_call_output", "output": "x"}], ValueError, ["input[0]", "`call_id`"]),
        ([{"type": "function_call_output", "call_id": "1"}], TypeError, ["input[0].output"]),
        ([result("1", {"temperature": 21})], TypeError, ["input[0].output", "dict"]),
        (
            [{"type": "reasoning", "encrypted_content": "gAAA", "summary": []}],
            ValueError,
            ["input[0]", "encrypted"],
        ),
    ],
)
def test_errors_name_the_item(items: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as raised:
        messages_from_input(items)
    for word in words:
        assert word in str(raised.value)


def test_references_need_a_server_that_remembers() -> None:
    with pytest.raises(UnsupportedOperationError, match=r"input\[0\]: item_reference.*native"):
        messages_from_input([{"type": "item_reference", "id": "msg_1"}])
