"""A native Responses request: its fields, and the chat request that it amounts to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..answers.answer import Json
from ..http.errors import SimError, refused, validated
from .chat import ChatRequest
from .sampling import Sampling, TopLogprobs, check_cache_salt

_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


class ResponsesRequest(Sampling):
    """The body of `/v1/responses`, as far as the simulator heeds it."""

    input: str | list[Json]
    background: bool | None = False
    include: list[str] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    reasoning: Json | None = None
    include_reasoning: bool = True
    service_tier: str = "auto"
    store: bool | None = True
    text: Json | None = None
    tool_choice: Literal["none", "auto", "required"] | Json = "auto"
    tools: list[Json] = Field(default_factory=list)
    top_logprobs: TopLogprobs = 0
    truncation: str | None = "disabled"
    chat_template_kwargs: dict[str, Any] | None = None


def read_responses(data: Any) -> ResponsesRequest:
    """Checks a body and makes a request of it.

    Raises:
        SimError: A 400.
    """
    if isinstance(data, dict):
        data = dict(data)
        if data.get("background") and not data.get("store", True):
            raise refused("background can only be used when `store` is true", "background")
        if data.get("prompt") is not None:
            raise refused("prompt template is not supported", "prompt")
        if data.get("cache_salt") is not None:
            check_cache_salt(data["cache_salt"])
        _check_tool_choice(data)
    return validated(ResponsesRequest, data)


def _check_tool_choice(data: Json) -> None:
    tools, choice = data.get("tools"), data.get("tool_choice", "auto")
    named = choice.get("name") if isinstance(choice, dict) else None
    if not tools:
        if choice == "required":
            raise refused("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
        if named:
            raise refused("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
        data["tool_choice"] = "none" if choice == "auto" else choice
    elif named and named not in [tool.get("name") for tool in tools]:
        raise refused("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")


def check_store(body: ResponsesRequest) -> None:
    """Refuses what needs stored responses, as a server without a store does.

    Raises:
        SimError: A 400 or a 404.
    """
    if body.background:
        raise SimError(
            400,
            "This vLLM engine does not support `store=True` and therefore does not support the background "
            "mode. To enable these features, set the environment variable "
            "`VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.",
            "background",
            "invalid_request_error",
        )
    if body.previous_response_id is not None:
        raise no_response(body.previous_response_id)


def no_response(id: str) -> SimError:
    """A 404 for a response that is not stored; none ever is."""
    return SimError(404, f"Response with id '{id}' not found.", "response_id", "invalid_request_error")


def as_chat(body: ResponsesRequest) -> ChatRequest:
    """The chat request that a Responses request amounts to."""
    messages: list[Json] = [{"role": "system", "content": body.instructions}] if body.instructions else []
    if isinstance(body.input, str):
        messages.append({"role": "user", "content": body.input})
    else:
        for item in body.input:
            _add(item, messages)
    data = body.model_dump(include=set(Sampling.model_fields), exclude_unset=True, by_alias=True)
    data |= {
        "messages": messages,
        "max_tokens": body.max_output_tokens,
        "chat_template_kwargs": body.chat_template_kwargs,
        "include_reasoning": body.include_reasoning,
        "parallel_tool_calls": body.parallel_tool_calls,
        "reasoning_effort": (body.reasoning or {}).get("effort"),
    }
    functions = [tool for tool in body.tools if tool.get("type") == "function"]
    if functions:
        made = [{key: tool[key] for key in _FUNCTION_FIELDS if key in tool} for tool in functions]
        data["tools"] = [{"type": "function", "function": function} for function in made]
        choice = body.tool_choice
        if isinstance(choice, dict):
            choice = {"type": "function", "function": {"name": choice.get("name")}}
        data["tool_choice"] = choice
    form = (body.text or {}).get("format") or {}
    if form.get("type") == "json_schema":
        schema = {"name": form.get("name"), "schema": form.get("schema")}
        data["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") == "json_object":
        data["response_format"] = {"type": "json_object"}
    return validated(ChatRequest, data)


def _add(item: Json, messages: list[Json]) -> None:
    """Adds an input item to the messages; calls join the assistant's message before them."""
    kind = item.get("type", "message")
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if not messages or messages[-1].get("role") != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        result = item.get("output")
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": result})
    elif kind == "reasoning":
        return
    else:
        messages.append({"role": item.get("role", "user"), "content": item.get("content")})
