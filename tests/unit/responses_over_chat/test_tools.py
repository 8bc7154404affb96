"""Tools and tool choice: functions or nothing."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.responses import FunctionTool, ToolChoiceAllowed, ToolChoiceFunction
from pydantic import BaseModel

from vllm_connect import UnsupportedOperationError
from vllm_connect.responses_over_chat.tools import chat_tools

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str = "get_weather", **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": PARAMETERS, "strict": None} | more


def names(chat: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in chat["tools"]]


@pytest.mark.parametrize("strict", [True, False, None])
def test_function(strict: bool | None) -> None:
    function = {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS}
    if strict is not None:
        function["strict"] = strict
    given = tool(description="The weather.", strict=strict, defer_loading=False, allowed_callers=["direct"])
    for form in (given, FunctionTool.model_validate(given)):
        assert chat_tools([form], None) == {"tools": [{"type": "function", "function": function}]}


@pytest.mark.parametrize("parameters", [{}, {"type": "object", "properties": {}}])
def test_function_without_parameters(parameters: dict[str, Any]) -> None:
    assert chat_tools([tool(parameters=parameters)], None)["tools"][0]["function"]["parameters"] == parameters
    assert "parameters" not in chat_tools([tool(parameters=None)], None)["tools"][0]["function"]


def test_function_made_of_a_class() -> None:
    class Weather(BaseModel):
        city: str

    function = chat_tools([openai.pydantic_function_tool(Weather)], "auto")["tools"][0]["function"]
    assert (function["name"], function["strict"]) == ("Weather", True)
    assert function["parameters"]["required"] == ["city"]


@pytest.mark.parametrize(
    "kind",
    ["web_search", "file_search", "mcp", "code_interpreter", "custom", "namespace", "local_shell", None],
)
def test_tools_other_than_functions_are_refused(kind: str | None) -> None:
    with pytest.raises(UnsupportedOperationError, match=rf"tools\[1\].*{kind}"):
        chat_tools([tool(), {"type": kind, "name": "x"}], None)


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_tools_need_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match=r"tools\[0\] has no name"):
        chat_tools([tool(name=name)], None)


@pytest.mark.parametrize(
    "more", [{"async": True}, {"defer_loading": True}, {"allowed_callers": ["programmatic"]}, {"magic": 1}]
)
def test_properties_that_vllm_cannot_honour(more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOperationError, match=next(iter(more))):
        chat_tools([tool(**more)], None)


@pytest.mark.parametrize("choice", [None, "auto", "none"])
@pytest.mark.parametrize("tools", [None, []])
def test_nothing_is_sent_without_tools(tools: Any, choice: str | None) -> None:
    assert chat_tools(tools, choice) == {}


def test_required_without_tools() -> None:
    with pytest.raises(ValueError, match="needs `tools`"):
        chat_tools(None, "required")


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_mode(choice: str) -> None:
    assert chat_tools([tool()], choice)["tool_choice"] == choice


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "name": "b"},
        ToolChoiceFunction(type="function", name="b"),
        {"type": "function", "function": {"name": "b"}},
    ],
)
def test_named(choice: Any) -> None:
    chat = chat_tools([tool("a"), tool("b")], choice)
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "b"}}
    assert names(chat) == ["a", "b"]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_the_only_ones_sent(mode: Any) -> None:
    allowed: Any = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "b"}]}
    for choice in (allowed, ToolChoiceAllowed.model_validate(allowed)):
        chat = chat_tools([tool("a"), tool("b")], choice)
        assert chat["tool_choice"] == mode
        assert names(chat) == ["b"]


@pytest.mark.parametrize(
    ("choice", "error", "text"),
    [
        ("any", ValueError, "'any'"),
        ({"type": "function", "name": "c"}, ValueError, "'c', which is not among the tools \\(a\\)"),
        ({"type": "allowed_tools", "mode": "none", "tools": []}, ValueError, "mode"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, ValueError, "needs `tools`"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "c"}]},
            ValueError,
            r"tool_choice.tools\[0\]",
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]},
            UnsupportedOperationError,
            r"tool_choice.tools\[0\]",
        ),
        ({"type": "custom", "name": "a"}, UnsupportedOperationError, "custom"),
        ({"type": "mcp", "server_label": "x"}, UnsupportedOperationError, "mcp"),
        ({"type": "web_search_preview"}, UnsupportedOperationError, "web_search_preview"),
        (3, TypeError, "tool_choice"),
    ],
)
def test_choices_that_cannot_be_honoured(choice: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        chat_tools([tool("a")], choice)
