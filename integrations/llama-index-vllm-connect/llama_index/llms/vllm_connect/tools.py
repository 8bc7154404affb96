"""Tools and tool calls, out and in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from pydantic import BaseModel
from pydantic_core import from_json

from llama_index_vllm_connect.content import Json
from vllm_connect.adapters import ArgumentsError, ToolCall, read_arguments

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


_FORMATS = {"json", "json_object", "regex", "choice", "grammar"}
_CHOICES = ("auto", "none", "required")


def wire_tool(tool: BaseTool, strict: bool | None) -> Json:
    """A tool as a request describes it.

    Args:
        tool: The tool.
        strict: Whether the server shall hold its arguments to the schema; None says nothing about it.
    """
    wire: Json = tool.metadata.to_openai_tool(skip_length_check=True)
    if strict is not None:
        wire["function"]["strict"] = strict
    return wire


def wire_choice(choice: str | Mapping[str, object] | None, required: bool) -> str | Mapping[str, object]:
    """Return the choice of a tool: a mode, or one tool by its name."""
    if choice is None:
        return "required" if required else "auto"
    if isinstance(choice, str) and choice not in _CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


def check_tools_beside_format(params: Mapping[str, Any]) -> None:
    """Check that a request leaves the model the choice that it offers.

    vLLM (0.32) holds an answer to a forced format from its first token on, so that a model that may call a
    tool never does, and invents what the tool would have told. A forced call, or none, goes along with one.

    Raises:
        ValueError: Tools that the model may call are beside a format for the answer.
    """
    format_ = _forced_format(params)
    if format_ and params.get("tools") and params.get("tool_choice") in (None, "auto"):
        raise ValueError(
            f"{format_} binds the answer from its first token on, so vLLM would never call the tools. Give "
            "an agent output_cls=, or use llm.as_structured_llm(…): both let the model call tools first and "
            "ask for the format then"
        )


def _forced_format(params: Mapping[str, Any]) -> str | None:
    """The parameter that forces a format; a structural tag may leave room for calls."""
    body = params.get("extra_body") or {}
    format_ = params.get("response_format") or body.get("response_format") or {}
    if format_.get("type") in ("json_schema", "json_object"):
        return "response_format"
    constraint = params.get("structured_outputs") or body.get("structured_outputs") or {}
    return "structured_outputs" if constraint.keys() & _FORMATS else None


def wire_calls(message: ChatMessage) -> list[Json]:
    """The calls of an assistant's message, be they blocks or, as of old, in its `additional_kwargs`."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [_wire_call(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    calls = []
    for call in message.additional_kwargs.get("tool_calls") or ():
        call = call.model_dump() if isinstance(call, BaseModel) else call
        function = call.get("function") or {}
        calls.append(_wire_call(call.get("id"), function.get("name"), function.get("arguments")))
    return calls


def _wire_call(id: str | None, name: str | None, arguments: object) -> Json:
    function = {"name": name, "arguments": _wire_arguments(arguments)}
    return {"id": id or "", "type": "function", "function": function}


def _wire_arguments(arguments: object) -> str:
    """Arguments as the text of an object: of anything else vLLM 0.32 shows the model {}, older ones fail."""
    if isinstance(arguments, str):
        if isinstance(_decode(arguments), dict):
            return arguments
        try:
            arguments = read_arguments(arguments, "stop")
        except ArgumentsError:
            arguments = {"invalid_arguments": arguments}
    return json.dumps(arguments or {}, ensure_ascii=False, default=str)


def listed_calls(calls: Sequence[ToolCall]) -> list[Json]:
    """Calls as an answer lists them; their arguments stay the text that the model wrote."""
    return [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in calls
    ]


def call_block(call: Json) -> ToolCallBlock:
    """A call as a block."""
    function = call["function"]
    return ToolCallBlock(
        tool_call_id=call["id"], tool_name=function["name"], tool_kwargs=function["arguments"]
    )


_UNREADABLE = " (not called: unreadable arguments)"


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls of a response, finished or still being streamed.

    A tool is selected with what the model said, or not at all: a finished call whose arguments cannot be
    read selects no tool that there is, so that agents tell the model so instead of running it.
    """
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    return [_selection(block, response.additional_kwargs, block is blocks[-1]) for block in blocks]


def _selection(block: ToolCallBlock, facts: Mapping[str, Any], is_last: bool) -> ToolSelection:
    id, name, arguments = block.tool_call_id or "", block.tool_name, block.tool_kwargs
    if isinstance(arguments, str):
        if "finish_reason" not in facts:
            arguments = _as_object(_decode_begun(arguments))
        else:
            try:
                arguments = read_arguments(arguments, facts["finish_reason"], is_last=is_last)
            except ArgumentsError as error:
                name += _UNREADABLE
                arguments = {"invalid_arguments": error.text}
    return ToolSelection(tool_id=id, tool_name=name, tool_kwargs=arguments)


def with_unreadable(tools: Sequence[BaseTool]) -> list[BaseTool]:
    """The tools, and for each what answers in its place when its arguments cannot be read."""
    return [*tools, *(_unreadable(tool.metadata.get_name()) for tool in tools)]


def callable_tools(tools: Sequence[BaseTool]) -> list[BaseTool]:
    """The tools that the model may call: `with_unreadable` undone."""
    return [tool for tool in tools if not tool.metadata.get_name().endswith(_UNREADABLE)]


def _unreadable(name: str) -> BaseTool:
    from llama_index.core.tools import FunctionTool

    def refuse(invalid_arguments: str) -> None:
        raise ValueError(_refusal(name, invalid_arguments))

    return FunctionTool.from_defaults(refuse, name=name + _UNREADABLE, description="Refuses a call.")


def _refusal(name: str, arguments: object) -> str:
    return f"{name} was not called: its arguments are no JSON object, but {arguments}"


def tell_unreadable(messages: list[Json]) -> None:
    """Put into a request what became of calls with unreadable arguments, in words that help the model.

    Agents say of such a call that there is no tool of that name.
    """
    written: dict[str, Json] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            written[call["id"]] = call["function"]
        content = message.get("content")
        if message["role"] != "tool" or not isinstance(content, str) or _UNREADABLE not in content:
            continue
        if function := written.get(message["tool_call_id"]):
            message["content"] = _refusal(function["name"], _as_written(function["arguments"]))


def _as_written(arguments: str) -> object:
    return _as_object(_decode(arguments)).get("invalid_arguments", arguments)


def _as_object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _decode(text: str) -> Any:
    """Decode a text; None if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _decode_begun(text: str) -> Any:
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        pass
    try:  # not quite JSON, such as a line break within a string
        return parse_partial_json(text)
    except ValueError:
        return None


def with_first_call(response: ChatResponse) -> ChatResponse:
    """Drop all calls but the first."""
    message = response.message
    calls = [id(block) for block in message.blocks if isinstance(block, ToolCallBlock)]
    message.blocks = [block for block in message.blocks if id(block) not in calls[1:]]
    if listed := message.additional_kwargs.get("tool_calls"):
        message.additional_kwargs["tool_calls"] = listed[:1]
    return response
