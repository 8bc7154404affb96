"""Tools and tool calls, out and in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from pydantic import BaseModel
from pydantic_core import from_json

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

Json = dict[str, Any]

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


def wire_choice(choice: str | Mapping[str, Any] | None, required: bool) -> str | Mapping[str, Any]:
    """Which tool to call: a mode, or one tool by its name."""
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


def _wire_call(id: str | None, name: str | None, arguments: Any) -> Json:
    function = {"name": name, "arguments": _wire_arguments(arguments)}
    return {"id": id or "", "type": "function", "function": function}


def _wire_arguments(arguments: Any) -> str:
    """Arguments as the text of an object: of anything else vLLM 0.32 shows the model {}, older ones fail."""
    if isinstance(arguments, str):
        if arguments.strip() in ("", "null"):
            return "{}"
        if isinstance(_decode(arguments), dict):
            return arguments
        arguments = _as_object(_decode(arguments, strict=False)) or {"invalid_arguments": arguments}
    return json.dumps(arguments or {}, ensure_ascii=False, default=str)


def new_call_id() -> str:
    """An id, in vLLM's own shape, for a call that came without: the tool's result has to name its call."""
    return f"chatcmpl-tool-{uuid4().hex}"


def call_block(call: Json) -> ToolCallBlock:
    """A call as a block; its arguments stay the text that the model wrote."""
    function = call["function"]
    return ToolCallBlock(
        tool_call_id=call["id"], tool_name=function["name"], tool_kwargs=function["arguments"]
    )


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls of a response, finished or still being streamed."""
    finished = bool(response.additional_kwargs.get("finish_reason"))
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_arguments(block.tool_kwargs, finished),
        )
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _arguments(given: Json | str, finished: bool) -> Json:
    """Arguments, or {} if they are no object; as far as they are there, unless the response is finished.

    A tool shall miss what was cut off, and not run with half of it.
    """
    if not isinstance(given, str):
        return _as_object(given)
    return _as_object(_decode(given, strict=False) if finished else _decode_begun(given))


def _as_object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _decode(text: str, strict: bool = True) -> Any:
    """What a text says, None if it is no JSON; unless `strict`, strings may hold raw line breaks."""
    try:
        return json.loads(text, strict=strict)
    except ValueError:
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


class CallsSoFar:
    """Puts together the calls of a stream, however their pieces are spread over its chunks."""

    def __init__(self) -> None:
        self._calls: list[Json] = []
        self._spare_ids: list[str] = []
        self._place: dict[int, int] = {}  # index on the wire -> position here

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, deltas: Sequence[Any]) -> None:
        """Take the `tool_calls` of a chunk."""
        for delta in deltas:
            function = delta.function
            name = function.name if function else None
            place = self._place.get(delta.index)
            if place is None or _begins_another(self._calls[place], delta.id, name):
                place = self._place[delta.index] = len(self._calls)
                self._calls.append(
                    {"id": delta.id, "type": "function", "function": {"name": "", "arguments": ""}}
                )
                self._spare_ids.append(new_call_id())
            call = self._calls[place]
            call["id"] = call["id"] or delta.id
            call["function"]["name"] = call["function"]["name"] or name or ""
            if function and function.arguments:
                call["function"]["arguments"] += function.arguments

    def listed(self) -> list[Json]:
        """The calls so far, as copies."""
        return [
            {**call, "id": call["id"] or spare, "function": dict(call["function"])}
            for call, spare in zip(self._calls, self._spare_ids, strict=True)
        ]


def _begins_another(call: Json, id: str | None, name: str | None) -> bool:
    """Whether a piece with the number of a call belongs to another one: some parsers number every call 0."""
    if not name or (id and id == call["id"]):
        return False
    function = call["function"]
    if (id and call["id"]) or function["name"] not in ("", name):
        return True
    return not id and _decode(function["arguments"]) is not None
