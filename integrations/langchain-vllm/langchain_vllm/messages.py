"""Messages in: LangChain's, from whatever provider they came, as vLLM's chat completions take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from .content import content_of, has_media, text_of
from .wire import Json

#: Which assistant messages are sent back with their reasoning.
Replay = Literal["all", "tool_calls", "none"]


def wire_messages(messages: Iterable[BaseMessage], replay: Replay = "all") -> list[Json]:
    """The messages of a request.

    Raises:
        ValueError: content that vLLM cannot take, such as a PDF; a type of message that it cannot take.
    """
    return [wire_message(message, replay) for message in messages]


def wire_message(message: BaseMessage, replay: Replay = "all") -> Json:
    """One message of a request."""
    if isinstance(message, AIMessage):
        wire = _assistant(message, replay)
    elif isinstance(message, ToolMessage):
        wire = {
            "role": "tool",
            "tool_call_id": message.tool_call_id,
            "content": content_of(message.content),
        }
    else:
        wire = {"role": _role(message), "content": content_of(message.content)}
    if message.name and "name" not in wire:
        wire["name"] = message.name
    return wire


def _role(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, SystemMessage):
        return str(message.additional_kwargs.get("__openai_role__") or "system")
    if isinstance(message, FunctionMessage):
        return "function"
    if isinstance(message, ChatMessage):
        return message.role
    raise ValueError(f"vLLM takes no message of type {type(message).__name__}")


def _assistant(message: AIMessage, replay: Replay) -> Json:
    wire: Json = {"role": "assistant"}
    calls = _tool_calls(message)
    content: str | list[Json] = text_of(message.content)
    if has_media(message.content):
        content = content_of(message.content)
    if content or not calls:  # no content beside calls is no content, not an empty one
        wire["content"] = content
    if (replay == "all" or (replay == "tool_calls" and calls)) and (reasoning := reasoning_of(message)):
        wire["reasoning"] = reasoning
    if calls:
        wire["tool_calls"] = calls
    return wire


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning that a message holds: this package's, a standard block, or another provider's."""
    kwargs = message.additional_kwargs
    known = kwargs.get("reasoning_content") or kwargs.get("reasoning")
    if isinstance(known, str):
        return known
    if isinstance(message.content, str):
        return ""
    return "".join(_reasoning_text(block) for block in message.content if isinstance(block, dict))


def _reasoning_text(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "thinking":  # Anthropic's
        return str(block.get("thinking") or "")
    if kind == "reasoning_content":  # Bedrock's
        inner = block.get("reasoning_content")
        return str(inner.get("text") or "") if isinstance(inner, dict) else ""
    if kind != "reasoning":
        return ""
    if block.get("reasoning"):
        return str(block["reasoning"])
    if isinstance(summary := block.get("summary"), list):  # OpenAI's Responses
        return "\n".join(str(part.get("text") or "") for part in summary if isinstance(part, dict))
    return ""


def _tool_calls(message: AIMessage) -> list[Json]:
    calls = [
        _call(call.get("id"), call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    calls += [
        _call(call.get("id"), call.get("name"), _as_object(call.get("args")))
        for call in message.invalid_tool_calls
    ]
    if calls or isinstance(message.content, str):
        return calls
    return [
        _call(block.get("id"), block.get("name"), _arguments(block))
        for block in message.content
        if isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call", "invalid_tool_call")
    ]


def _arguments(block: Mapping[str, Any]) -> str:
    """Those of a content block: Anthropic's, or a standard one, that came without `tool_calls`."""
    given = block.get("input") if block.get("type") == "tool_use" else block.get("args")
    return _as_object(given) if isinstance(given, str) else json.dumps(given or {}, ensure_ascii=False)


def _call(call_id: str | None, name: str | None, arguments: str) -> Json:
    return {
        "id": call_id or "",
        "type": "function",
        "function": {"name": name or "", "arguments": arguments},
    }


def _as_object(arguments: str | None) -> str:
    """Arguments that are no JSON object, as one: vLLM decodes them to fill its template, and would fail."""
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except ValueError:
        pass
    return json.dumps({"invalid_arguments": arguments}, ensure_ascii=False)
