"""A chat completion -> a Response."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from openai import BaseModel
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from openai.types.responses import (
    FunctionTool,
    Response,
    ResponseError,
    ResponseFunctionToolCall,
    ResponseTextConfig,
    ResponseUsage,
    ToolChoiceAllowed,
    ToolChoiceFunction,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from openai.types.shared import Reasoning
from pydantic import ValidationError

from .._calls.tool_calls import ToolCall, readable, whole_calls
from .._wire.decoding import JsonObject
from ._plain import mapping
from .logprobs import logprobs_of, of_part
from .output import (
    Item,
    ItemStatus,
    Part,
    call_item,
    message_item,
    new_id,
    reasoning_item,
    reasoning_of,
    refusal_part,
    text_part,
)
from .request import replayable
from .tools import function_tool

#: What vLLM says of a completion and a choice beyond OpenAI's fields: kept on the Response, where set.
EXTRA = (
    "ec_transfer_params",
    "kv_transfer_params",
    "metrics",
    "prompt_logprobs",
    "prompt_text",
    "prompt_token_ids",
    "service_tier",
    "system_fingerprint",
)
CHOICE_EXTRA = ("finish_reason", "routed_experts", "stop_reason", "token_ids")

_SAME = (
    "instructions",
    "max_output_tokens",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)

T = TypeVar("T", bound=BaseModel)


class Ending(NamedTuple):
    """The ending of a response.

    Attributes:
        status: "completed", "incomplete", "cancelled" or "failed".
        details: why it is incomplete, where the Responses API has a word for it.
        error: why it failed.
    """

    status: str
    details: IncompleteDetails | None = None
    error: ResponseError | None = None

    @property
    def last_item(self) -> ItemStatus:
        """The status of the item that was being written at the end."""
        return "completed" if self.status == "completed" else "incomplete"


def ending_of(finish_reason: str | None) -> Ending:
    """Translate a finish reason.

    vLLM says "stop", "tool_calls", "length", "abort" (somebody else than the caller ended it),
    "error" and "repetition" (`repetition_detection` cut it, for which the Responses API has no word).
    An unknown one is taken for an end of the model's own choice; `finish_reason` tells it on the Response.
    """
    if finish_reason == "length":
        return Ending("incomplete", IncompleteDetails(reason="max_output_tokens"))
    if finish_reason == "content_filter":
        return Ending("incomplete", IncompleteDetails(reason="content_filter"))
    if finish_reason == "repetition":
        return Ending("incomplete", IncompleteDetails(reason=None))
    if finish_reason == "abort":
        return Ending("cancelled")
    if finish_reason == "error":
        message = "the server gave up on the answer (finish_reason 'error')"
        return Ending("failed", error=ResponseError(code="server_error", message=message))
    return Ending("completed")


def response_from_chat(completion: ChatCompletion, params: Mapping[str, object]) -> Response:
    """Convert a reply.

    Args:
        completion: the chat completion, with one choice.
        params: what `chat_request` was called with; the Response echoes much of it.

    Raises:
        ValueError: there is no choice, or more than one.
    """
    if len(completion.choices) != 1:
        raise ValueError(
            f"a response is made from one choice; the chat completion has {len(completion.choices)}"
        )
    choice = completion.choices[0]
    ending = ending_of(choice.finish_reason)
    return make_response(
        echo(params),
        id=response_id(completion.id),
        created_at=completion.created,
        model=completion.model,
        output=_output(choice, ending),
        ending=ending,
        usage=completion.usage,
        **extras(completion, EXTRA),
        **extras(choice, CHOICE_EXTRA),
    )


def make_response(
    echoed: Mapping[str, object],
    *,
    id: str,
    created_at: float | None,
    model: str | None,
    output: Sequence[Item],
    ending: Ending,
    usage: CompletionUsage | None = None,
    **fields: Any,
) -> Response:
    """Put a Response together.

    Args:
        echoed: see `echo`.
        id: see `response_id`.
        created_at: Unix time, None for now.
        model: the model that answered, None for the one that was asked for.
        output: its items.
        ending: how it ended.
        usage: the chat completion's.
        **fields: whatever else there is to say.
    """
    return make(
        Response,
        {
            **echoed,
            **fields,
            "id": id,
            "object": "response",
            "created_at": float(created_at or time.time()),
            "model": model or echoed["model"],
            "output": list(output),
            "status": ending.status,
            "incomplete_details": ending.details,
            "error": ending.error,
            "usage": None if usage is None else response_usage(usage),
        },
    )


def response_id(chat_id: str | None) -> str:
    """The id of the response made from a chat completion: so named that the server's logs lead to it."""
    return f"resp_{chat_id.removeprefix('chatcmpl-')}" if chat_id else new_id("resp")


def echo(params: Mapping[str, object]) -> JsonObject:
    """The fields of a Response that repeat the request.

    What was not given has the API's default, except where the default is the model's own
    (`temperature`, `top_p`): that is None.
    """
    params = replayable(params)
    echoed: JsonObject = {name: params.get(name) for name in _SAME}
    echoed |= {
        "model": params.get("model") or "",
        "metadata": params.get("metadata") or {},
        "parallel_tool_calls": params.get("parallel_tool_calls") is not False,
        "tools": [
            make(FunctionTool, function_tool(tool, f"tools[{index}]"))
            for index, tool in enumerate(params.get("tools") or ())
        ],
        "tool_choice": _tool_choice(params.get("tool_choice")),
        "text": make(ResponseTextConfig, {"format": {"type": "text"}} | _without_nones(params, "text")),
        "reasoning": make(Reasoning, {"effort": None, "summary": None} | _without_nones(params, "reasoning")),
        "background": False,
        "max_tool_calls": None,
        "previous_response_id": None,
        "prompt": None,
        "service_tier": None,
        "store": False,
        "truncation": "disabled",
    }
    return echoed


def response_usage(usage: CompletionUsage) -> ResponseUsage:
    """Translate token counts; details that the server does not tell are 0, as the type wants numbers."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    written = getattr(prompt, "created_cache_tokens", None) or getattr(prompt, "cache_write_tokens", None)
    return ResponseUsage(
        input_tokens=usage.prompt_tokens or 0,
        input_tokens_details=InputTokensDetails(
            cached_tokens=(prompt and prompt.cached_tokens) or 0,
            cache_write_tokens=written or 0,
            **extras(prompt, ("multimodal_tokens",)),
        ),
        output_tokens=usage.completion_tokens or 0,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
        ),
        total_tokens=usage.total_tokens or 0,
    )


def extras(source: object, names: Sequence[str]) -> JsonObject:
    """Those fields of an object that are set."""
    return {name: value for name in names if (value := getattr(source, name, None)) is not None}


def make(cls: type[T], fields: Mapping[str, Any]) -> T:
    """Make an object of a type of the SDK, leniently where a value is not among those that it knows."""
    try:
        return cls.model_validate(dict(fields))
    except ValidationError:
        return cls.construct(**fields)


def _output(choice: Any, ending: Ending) -> list[Item]:
    message = choice.message
    output: list[Item] = []
    if reasoning := reasoning_of(message):
        output.append(reasoning_item(new_id("rs"), reasoning, "completed"))
    parts: list[Part] = []
    if message.content:
        tokens = (choice.logprobs and choice.logprobs.content) or ()
        parts.append(text_part(message.content, of_part(logprobs_of(message.content, tokens))))
    if message.refusal:
        parts.append(refusal_part(message.refusal))
    if parts:
        output.append(message_item(new_id("msg"), parts, "completed"))
    if output:
        output[-1].status = ending.last_item if not message.tool_calls else "completed"
    calls = whole_calls(message.tool_calls)
    output += [_call(call, choice.finish_reason, call is calls[-1]) for call in calls]
    return output


def _call(call: ToolCall, finish_reason: str | None, is_last: bool) -> ResponseFunctionToolCall:
    """A call's item, which is complete if its arguments are."""
    complete = readable(call.arguments, finish_reason, is_last=is_last)
    arguments = call.arguments or ("{}" if complete else "")  # clients read them as JSON
    return call_item(new_id("fc"), call.id, call.name, arguments, "completed" if complete else "incomplete")


def _tool_choice(choice: Any) -> Any:
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    given = mapping(choice, "tool_choice")
    if given.get("type") == "allowed_tools":
        return make(ToolChoiceAllowed, given)
    name = given.get("name") or mapping(given.get("function") or {}, "tool_choice.function").get("name")
    return make(ToolChoiceFunction, {"type": "function", "name": name})


def _without_nones(params: Mapping[str, object], name: str) -> JsonObject:
    value = params.get(name)
    given = {} if value is None else mapping(value, name)
    return {key: item for key, item in given.items() if item is not None}
