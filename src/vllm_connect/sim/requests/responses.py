"""A native Responses request: its fields, and the chat request that it amounts to."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from openai.types.responses import (
    ResponseInputItemParam,
    ResponseTextConfig,
    Tool,
    ToolChoiceAllowed,
    ToolChoiceCustom,
    ToolChoiceFunction,
    ToolChoiceMcp,
    ToolChoiceTypes,
)
from pydantic import BaseModel, ConfigDict, Field

from ..answers.answer import Json
from ..http.errors import SimError, refused, validated
from .chat import ChatRequest
from .sampling import Sampling, TopLogprobs, check_cache_salt

_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


_INCLUDABLE = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
]
_FIELDS = (
    "background include input instructions max_output_tokens max_tool_calls metadata model logit_bias "
    "parallel_tool_calls previous_response_id prompt reasoning include_reasoning service_tier store "
    "stream temperature text tool_choice tools top_logprobs top_p top_k min_p truncation user "
    "skip_special_tokens include_stop_str_in_output presence_penalty frequency_penalty prompt_cache_key "
    "watermarking request_id session_id media_io_kwargs mm_processor_kwargs priority mm_payload "
    "return_mm_kwargs cache_salt enable_response_messages previous_input_messages structured_outputs "
    "repetition_penalty seed stop stop_token_ids ignore_eos vllm_xargs kv_transfer_params "
    "ec_transfer_params chat_template_kwargs"
)


class Reasoning(BaseModel):
    """The effort of thinking, in OpenAI's words."""

    model_config = ConfigDict(extra="allow")

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class ResponsesRequest(Sampling):
    """The body of `/v1/responses`, as far as the simulator heeds it."""

    ORDER = _FIELDS.split()

    input: str | list[Json]
    background: bool | None = False
    include: list[_INCLUDABLE] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    reasoning: Reasoning | None = None
    include_reasoning: bool = True
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] = "auto"
    store: bool | None = True
    text: Json | None = None
    tool_choice: Literal["none", "auto", "required"] | Json = "auto"
    tools: list[Json] = Field(default_factory=list)
    top_logprobs: TopLogprobs = 0
    truncation: Literal["auto", "disabled"] | None = "disabled"
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    prompt_cache_key: str | None = None
    enable_response_messages: bool = False
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


@cache
def _forms() -> type[ResponsesRequest]:
    """The request with the forms that vLLM takes from OpenAI's own types; to make them takes a moment."""
    choice = ToolChoiceFunction | ToolChoiceTypes | ToolChoiceAllowed | ToolChoiceMcp | ToolChoiceCustom

    class Formed(ResponsesRequest):
        input: str | list[ResponseInputItemParam]  # type: ignore[assignment]
        previous_input_messages: list[Json] | None = None
        text: ResponseTextConfig | None = None  # type: ignore[assignment]
        tool_choice: Literal["none", "auto", "required"] | choice = "auto"  # type: ignore[assignment]
        tools: list[Tool] = Field(default_factory=list)  # type: ignore[assignment]

    return Formed


def read_responses(data: Any) -> ResponsesRequest:
    """Check a body and makes a request of it.

    Raises:
        SimError: a 400.
    """
    if isinstance(data, dict):
        data = dict(data)
        if data.get("background") and not data.get("store", True):
            raise refused("background can only be used when `store` is true", "background")
        if data.get("prompt") is not None:
            raise refused("prompt template is not supported", "prompt")
        if data.get("cache_salt") is not None:
            check_cache_salt(data["cache_salt"])
        if data.get("tools") is not None and not hasattr(data["tools"], "__len__"):
            raise refused(f"object of type '{type(data['tools']).__name__}' has no len()")
        _check_tool_choice(data)
    validated(_forms(), data)
    return validated(ResponsesRequest, data)


def _check_tool_choice(data: Json) -> None:
    tools, choice = data.get("tools"), data.get("tool_choice", "auto")
    named = choice.get("name") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and choice.get("type") == "function" and not named:
        raise refused("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    if not tools:
        if choice == "required":
            raise refused("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
        if named:
            raise refused("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
        data["tool_choice"] = "none" if choice == "auto" else choice
    elif named and named not in [tool.get("name") for tool in tools]:
        raise refused("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")


def check_store(body: ResponsesRequest) -> None:
    """Refuse what needs stored responses, as a server without a store does.

    Raises:
        SimError: a 400 or a 404.
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
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
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
    """Add an input item to the messages; calls join the assistant's message before them."""
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
        content = item.get("content")
        parts = [_as_part(part) for part in content] if isinstance(content, list) else content
        messages.append({"role": item.get("role", "user"), "content": parts})


def _as_part(part: Json) -> Json:
    """A part of an item's content as a part of a message's."""
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    if part.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text")}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return part
