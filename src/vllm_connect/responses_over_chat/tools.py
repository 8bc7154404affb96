"""Tools and tool choice of the Responses API -> those of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._wire.decoding import JsonObject
from ._plain import mapping
from .parameters import NATIVE, refuse

# What vLLM's own route knows; which of them run there is up to the model and the server's --tool-server.
_NATIVE_TOOLS = frozenset(
    {"code_interpreter", "container", "custom", "mcp", "namespace", "web_search", "web_search_preview"}
)
_PASSED_ON = ("name", "description", "parameters", "strict")
# A schema of what the function returns describes it to the model, which chat templates do not render.
_ADVISORY = frozenset({"type", "output_schema"})


def chat_tools(tools: Any, choice: Any) -> JsonObject:
    """Convert both.

    Args:
        tools: functions; None or none at all means that there are none.
        choice: None for the server's default.

    Returns:
        `tools` and `tool_choice` of a chat completion, without those that say nothing: vLLM refuses an
        empty list, and a choice without tools.

    Raises:
        UnsupportedOperationError: a tool or choice other than functions.
        ValueError: a choice of what is not there.
    """
    functions = [function_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools or ())]
    names = [function["name"] for function in functions]
    if choice is None or isinstance(choice, str):
        tool_choice: Any = choice
        if choice is not None and choice not in ("auto", "none", "required"):
            raise ValueError(f"tool_choice {choice!r}: use 'auto', 'none', 'required' or an object")
    else:
        tool_choice, allowed = _object_choice(mapping(choice, "tool_choice"), names)
        functions = [function for function in functions if function["name"] in allowed]
    if not functions:
        if tool_choice == "required":
            raise ValueError("tool_choice 'required' needs `tools`")
        return {}
    chat: JsonObject = {
        "tools": [
            {"type": "function", "function": {k: f[k] for k in _PASSED_ON if f.get(k) is not None}}
            for f in functions
        ]
    }
    if tool_choice is not None:
        chat["tool_choice"] = tool_choice
    return chat


def function_tool(tool: Any, where: str) -> JsonObject:
    """Read one tool.

    Args:
        tool: a function as the Responses API or, with `openai.pydantic_function_tool`, chat has it.
        where: what it is called in errors.

    Returns:
        The function as the Responses API has it.

    Raises:
        UnsupportedOperationError: no function, or one with a property that vLLM cannot honour.
        ValueError: a function without a name.
    """
    function = mapping(tool, where)
    kind = function.get("type")
    if kind != "function":
        native = kind in _NATIVE_TOOLS
        reason = f"tools of type {kind!r} run elsewhere; a chat completion has functions only"
        raise refuse(where, f"{reason}, or {NATIVE}" if native else reason, native=native)
    if isinstance(function.get("function"), Mapping):
        function = {"type": "function", **function["function"]}
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where} has no name")
    for key, value in function.items():
        if key in _PASSED_ON or key in _ADVISORY or not value:
            continue
        if key == "allowed_callers" and "direct" in value:
            continue
        raise refuse(
            f"{where}.{key}", "vLLM calls functions in one way only: directly, and with all of them loaded"
        )
    return dict(function)


def _object_choice(choice: Mapping[str, Any], names: list[str]) -> tuple[Any, list[str]]:
    """Return the choice, and the names to choose from."""
    kind = choice.get("type")
    if kind == "function":
        name = _chosen_name(choice, names, "tool_choice")
        return {"type": "function", "function": {"name": name}}, names
    if kind == "allowed_tools":
        mode = choice.get("mode")
        if mode not in ("auto", "required"):
            raise ValueError(f"tool_choice.mode is {mode!r}: use 'auto' or 'required'")
        allowed = []
        for index, tool in enumerate(choice.get("tools") or ()):
            where = f"tool_choice.tools[{index}]"
            given = mapping(tool, where)
            if given.get("type") != "function":
                raise refuse(where, f"tools of type {given.get('type')!r} are not available")
            allowed.append(_chosen_name(given, names, where))
        return mode, allowed
    raise refuse("tool_choice", f"tools of type {kind!r} are not available; choose a function")


def _chosen_name(choice: Mapping[str, Any], names: list[str], where: str) -> str:
    name = choice.get("name")
    if name is None and isinstance(choice.get("function"), Mapping):
        name = choice["function"].get("name")
    if not isinstance(name, str) or name not in names:
        raise ValueError(
            f"{where} chooses {name!r}, which is not among the tools ({', '.join(names) or 'none'})"
        )
    return name
