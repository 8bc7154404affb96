"""Tools in: what `bind_tools` takes, as vLLM takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .wire import Json

Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool


def wire_tools(tools: Sequence[Tool], strict: bool | None = None) -> list[Json]:
    """Tools of any kind as function definitions; those that are definitions already stay as they are."""
    return [convert_to_openai_tool(tool, strict=strict) for tool in tools]


def wire_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """The `tool_choice` of a request.

    Args:
        choice: "auto", "none", "any" or "required" (also True), the name of a tool, or a mapping
            in OpenAI's or Anthropic's form; None and False leave it to the server.
        tools: the definitions.

    Raises:
        ValueError: it names a tool that is not there.
    """
    if choice is None or choice is False:
        return None
    if choice is True or choice in ("any", "required"):
        return "required"
    if choice in ("auto", "none"):
        return choice
    if isinstance(choice, Mapping):
        kind = choice.get("type")
        if kind in ("auto", "none", "any"):  # Anthropic's
            return "required" if kind == "any" else kind
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    names = [tool["function"]["name"] for tool in tools if isinstance(tool.get("function"), Mapping)]
    if choice not in names:
        raise ValueError(f"tool_choice is {choice!r}, which is not among the tools: {', '.join(names)}")
    return {"type": "function", "function": {"name": choice}}
