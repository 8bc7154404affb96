"""Anthropic's Messages and their counting: the fields, and the chat request that they amount to."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator, model_validator
from typing_extensions import Self

from ..answers.answer import Json
from ..http.errors import validated
from ..http.options import Options
from .chat import ChatRequest
from .sampling import MOST_STOPS

_BILLING = "x-anthropic-billing-header"
"""How a text of Claude Code begins that vLLM leaves out: it differs from request to request."""
_CHANGES = ("tool_addition", "tool_removal")


class Tool(BaseModel):
    """A tool."""

    name: str
    description: str | None = None
    input_schema: Json
    strict: bool | None = None
    defer_loading: bool | None = None

    @field_validator("input_schema")
    @classmethod
    def _is_an_object(cls, schema: Json) -> Json:
        return {"type": "object", **schema}


class ToolReference(BaseModel):
    """A tool by its name."""

    type: Literal["tool_reference"]
    name: str


class ToolDefinition(BaseModel):
    """A tool by its definition."""

    type: Literal["tool_definition"]
    definition: Tool


class ContentBlock(BaseModel):
    """A block of a message."""

    type: Literal[
        "text",
        "image",
        "tool_use",
        "tool_result",
        "tool_reference",
        "thinking",
        "redacted_thinking",
        "tool_addition",
        "tool_removal",
    ]
    text: str | None = None
    source: Json | None = None
    id: str | None = None
    tool_use_id: str | None = None
    name: str | None = None
    input: Json | None = None
    content: str | list[Json] | None = None
    is_error: bool | None = None
    tool_name: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    tool: Annotated[ToolReference | ToolDefinition, Field(discriminator="type")] | None = None

    @model_validator(mode="after")
    def _names_its_tool(self) -> Self:
        if self.type not in _CHANGES:
            return self
        if self.tool is None:
            raise ValueError(f"tool is required for {self.type} blocks")
        if self.type == "tool_removal" and self.tool.type != "tool_reference":
            raise ValueError("tool_removal only accepts a tool_reference")
        return self


def _reject_tool_changes(content: str | list[ContentBlock] | None) -> None:
    for block in content if isinstance(content, list) else ():
        if block.type in _CHANGES:
            raise ValueError(f'{block.type} blocks are only allowed in messages with role "system"')


class Message(BaseModel):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[ContentBlock]

    @model_validator(mode="after")
    def _changes_no_tools(self) -> Self:
        if self.role != "system":
            _reject_tool_changes(self.content)
        return self


class ToolChoice(BaseModel):
    """The choice of tools to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _names_the_tool(self) -> Self:
        if self.type == "tool" and not self.name:
            raise ValueError("tool_choice.name is required when type is 'tool'")
        return self


class Format(BaseModel):
    """The form of the answer."""

    json_schema: Json | None = Field(default=None, alias="schema")
    type: Literal["json_schema"] = "json_schema"


class OutputConfig(BaseModel):
    """The form of the answer, and how much work to put into it."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


_Display = Literal["summarized", "omitted", "updates"] | None


class ThinkingEnabled(BaseModel):
    """Thinking, with a budget."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)
    display: _Display = None


class ThinkingDisabled(BaseModel):
    """No thinking."""

    type: Literal["disabled"]


class ThinkingAdaptive(BaseModel):
    """Thinking as the model likes."""

    type: Literal["adaptive"]
    display: _Display = None


Thinking = Annotated[ThinkingEnabled | ThinkingDisabled | ThinkingAdaptive, Field(discriminator="type")]


class CountRequest(BaseModel):
    """The body of `/v1/messages/count_tokens`."""

    model: str
    messages: list[Message]
    output_config: OutputConfig | None = None
    system: str | list[ContentBlock] | None = None
    thinking: Thinking | None = None
    tool_choice: ToolChoice | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: Json | None = None

    @field_validator("model")
    @classmethod
    def _is_named(cls, name: str) -> str:
        if not name:
            raise ValueError("Model is required")
        return name

    @field_validator("system")
    @classmethod
    def _adds_no_tools(cls, system: str | list[ContentBlock] | None) -> str | list[ContentBlock] | None:
        _reject_tool_changes(system)
        return system


class MessageRequest(CountRequest):
    """The body of `/v1/messages`, as far as the simulator heeds it."""

    ORDER: ClassVar[tuple[str, ...]] = (
        *("model", "messages", "max_tokens", "metadata", "output_config", "thinking", "stop_sequences"),
        *("stream", "system", "temperature", "tool_choice", "tools", "top_k", "top_p", "mm_payload"),
        *("return_mm_kwargs", "cache_salt", "watermarking", "kv_transfer_params", "ec_transfer_params"),
        *("vllm_xargs", "chat_template_kwargs"),
    )

    max_tokens: int
    metadata: Json | None = None
    stop_sequences: Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    watermarking: bool | None = None
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None

    @field_validator("max_tokens")
    @classmethod
    def _is_positive(cls, count: int) -> int:
        if count <= 0:
            raise ValueError("max_tokens must be positive")
        return count

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        thinking = self.thinking
        if isinstance(thinking, ThinkingEnabled) and thinking.budget_tokens >= self.max_tokens:
            raise ValueError("thinking.budget_tokens must be less than max_tokens")
        return self


def read_message(data: Any) -> MessageRequest:
    """Check a body and make a request of it.

    Raises:
        SimError: a 400.
    """
    return validated(MessageRequest, data)


def read_count(data: Any) -> CountRequest:
    """Check a body and make a request for a number of tokens of it.

    Raises:
        SimError: a 400.
    """
    return validated(CountRequest, data)


def as_chat(body: CountRequest, options: Options) -> ChatRequest:
    """The chat request that a request for a message amounts to.

    Raises:
        ValidationError: a message cannot be one of a chat; vLLM finds it as late, too.
        ValueError: a tool is added or removed that there is none.
    """
    # A template that wants the system's message to be the first gets all that a system said there.
    merged = options.template != "lenient"
    data: Json = {
        "model": body.model,
        "messages": _conversation(body, merged),
        "chat_template_kwargs": body.chat_template_kwargs,
    }
    if isinstance(body, MessageRequest):
        data |= {
            **{"max_tokens": body.max_tokens, "max_completion_tokens": body.max_tokens},
            **{"stop": body.stop_sequences, "temperature": body.temperature, "top_p": body.top_p},
            **{"top_k": body.top_k, "watermarking": body.watermarking, "cache_salt": body.cache_salt},
            **{"vllm_xargs": body.vllm_xargs, "stream": body.stream},
        }
    if body.output_config and body.output_config.format and body.output_config.format.json_schema:
        schema = {"name": "json_schema", "schema": body.output_config.format.json_schema}
        data["response_format"] = {"type": "json_schema", "json_schema": schema}
    if body.output_config and body.output_config.effort:
        data["reasoning_effort"] = body.output_config.effort
    if isinstance(body.thinking, ThinkingDisabled):
        data["reasoning_effort"] = "none"
    elif isinstance(body.thinking, ThinkingEnabled):
        data["thinking_token_budget"] = body.thinking.budget_tokens
    tools = _tools(body)
    if tools is not None:
        data["tools"] = [{"type": "function", "function": _function(tool)} for tool in tools]
    data["tool_choice"] = _choice(body.tool_choice, tools)
    if body.tool_choice is not None:
        data["parallel_tool_calls"] = not body.tool_choice.disable_parallel_tool_use
    return ChatRequest.model_validate(data)


def _function(tool: Tool) -> Json:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return function if tool.strict is None else {**function, "strict": tool.strict}


def _choice(choice: ToolChoice | None, tools: list[Tool] | None) -> Any:
    if choice is None:
        return None if tools is None else "auto"
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.type == "any" else choice.type


def _tools(body: CountRequest) -> list[Tool] | None:
    """The tools at the end of the conversation, which may add and remove some."""
    blocks = [block for message in body.messages for block in _blocks(message.content)]
    changes = [block for block in blocks if block.type in _CHANGES]
    if not changes:
        return body.tools
    tools = {tool.name: tool for tool in body.tools or ()}
    removed: set[str] = set()
    for block in changes:
        change = block.tool
        if isinstance(change, ToolDefinition):
            name = change.definition.name
            tools[name] = change.definition
        else:
            assert change is not None
            name = change.name
            if name not in tools:
                raise ValueError(f"{block.type} references tool {name!r}, which is not declared in tools")
        if block.type == "tool_removal":
            removed.add(name)
        else:
            removed.discard(name)
    return [tool for name, tool in tools.items() if name not in removed]


def _conversation(body: CountRequest, merged: bool) -> list[Json]:
    """The messages of the chat."""
    said = [body.system] if isinstance(body.system, str) else []
    said += _system_texts(body.system) if isinstance(body.system, list) else []
    if merged:
        inline = [message.content for message in body.messages if message.role == "system"]
        said += [text for content in inline for text in _system_texts(content)]
    turns: list[Json] = [{"role": "system", "content": "".join(said)}] if any(said) else []
    for message in body.messages:
        if message.role != "system":
            _add(message, turns)
        elif not merged and (text := "".join(_system_texts(message.content))):
            turns.append({"role": "system", "content": text})
    return turns


def _blocks(content: str | list[ContentBlock]) -> list[ContentBlock]:
    return content if isinstance(content, list) else []


def _system_texts(content: str | list[ContentBlock]) -> list[str]:
    texts = [content] if isinstance(content, str) else [b.text or "" for b in content if b.type == "text"]
    return [text for text in texts if text and not text.startswith(_BILLING)]


def _add(message: Message, turns: list[Json]) -> None:
    """Add the turns that a message stands for: results of tools are turns of their own."""
    turn: Json = {"role": message.role}
    if isinstance(message.content, str):
        turns.append({**turn, "content": message.content})
        return
    parts: list[Json] = []
    calls: list[Json] = []
    thoughts: list[str] = []
    for block in message.content:
        if block.type == "text" and block.text:
            parts.append({"type": "text", "text": block.text})
        elif block.type == "image" and block.source:
            parts.append(_image(block.source))
        elif block.type == "thinking" and block.thinking is not None:
            thoughts.append(block.thinking)
        elif block.type == "tool_use":
            function = {"name": block.name or "", "arguments": json.dumps(block.input or {})}
            calls.append(
                {"id": block.id or f"call_{int(time.time())}", "type": "function", "function": function}
            )
        elif block.type == "tool_result" and message.role == "user":
            turns += _results(block)
        elif block.type == "tool_result":
            told = str(block.content) if block.content else ""
            parts.append({"type": "text", "text": f"Tool result: {told}"})
    if thoughts:
        turn["reasoning"] = "".join(thoughts)
    if calls:
        turn["tool_calls"] = calls
    if parts:
        alone = len(parts) == 1 and parts[0]["type"] == "text"
        turn["content"] = parts[0]["text"] if alone else parts
    if message.role != "user" or "content" in turn:
        turns.append(turn)


def _results(block: ContentBlock) -> list[Json]:
    """The turns that the result of a tool stands for: its images are a user's."""
    head = {"role": "tool", "tool_call_id": block.tool_use_id or ""}
    if not isinstance(block.content, list):
        return [{**head, "content": block.content or ""}]
    items = [(item.get("type"), item) for item in block.content]
    turns: list[Json] = [
        {**head, "content": "\n".join(item.get("text", "") for kind, item in items if kind == "text")}
    ]
    images = [_image(item.get("source") or {}) for kind, item in items if kind == "image"]
    if images:
        turns.append({"role": "user", "content": images})
    names = [item.get("tool_name") or item.get("name") for kind, item in items if kind == "tool_reference"]
    references = [{"type": "tool_reference", "name": name} for name in names if name]
    if references:
        turns.append({**head, "content": references})
    return turns


def _image(source: Json) -> Json:
    if source.get("type") == "url":
        url = source.get("url", "")
    else:
        url = f"data:{source.get('media_type', 'image/jpeg')};base64,{source.get('data', '')}"
    return {"type": "image_url", "image_url": {"url": url}}
