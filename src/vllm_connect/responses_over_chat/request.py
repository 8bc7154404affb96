"""Keyword arguments of `responses.create` -> those of `chat.completions.create`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from .._wire.decoding import JsonObject
from ._plain import mapping
from .items import messages_from_input
from .parameters import ADVISORY, REQUEST, SAME, VLLM, check, refuse
from .tools import chat_tools

_AS_GIVEN = SAME | ADVISORY | VLLM | (REQUEST - {"stream"})

LOGPROBS = "message.output_text.logprobs"

# Asking for these changes nothing here. The reasoning is given in the clear, and can be sent back like
# that; the others are parts of items that cannot occur, as the tools that make them are refused.
_NOTHING_TO_INCLUDE = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


def chat_request(params: Mapping[str, object]) -> JsonObject:
    """Convert a request.

    Args:
        params: keyword arguments of `responses.create`, vLLM's extras among them, without unset ones.
            `stream` is left to the caller, who also sets `stream_options`.

    Returns:
        Keyword arguments of `chat.completions.create`.

    Raises:
        UnsupportedOperationError: something that a chat completion cannot do.
        TypeError: a value of the wrong type.
        ValueError: a value of the right type that makes no sense.
    """
    params = replayable(params)
    check(params)
    chat = {name: value for name, value in params.items() if name in _AS_GIVEN}
    chat["messages"] = _messages(params)
    if params.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = params["max_output_tokens"]
    chat.update(chat_tools(params.get("tools"), params.get("tool_choice")))
    _convert_reasoning(params.get("reasoning"), chat)
    _convert_text(params.get("text"), chat)
    _convert_logprobs(params.get("include"), params.get("top_logprobs"), chat)
    _convert_cache_options(params.get("prompt_cache_options"), chat)
    return chat


# What can be iterated over, and holds no items in order.
_NO_ITEMS = (bytes, bytearray, memoryview, set, frozenset, Mapping)


def replayable(params: Mapping[str, object]) -> JsonObject:
    """Turn iterators among parameters into lists.

    The request and the reply both read the parameters; a generator would be empty the second time.
    """
    settled = dict(params)
    for name in ("include", "input", "tools"):
        if name in settled:
            settled[name] = _settled(settled[name])
    choice = settled.get("tool_choice")
    if isinstance(choice, Mapping) and "tools" in choice:
        settled["tool_choice"] = {**choice, "tools": _settled(choice["tools"])}
    return settled


def _settled(value: Any) -> Any:
    again = not isinstance(value, Iterable) or isinstance(value, (*_NO_ITEMS, str, list, tuple, BaseModel))
    return value if again else list(value)


def _messages(params: Mapping[str, object]) -> list[JsonObject]:
    messages: list[JsonObject] = []
    instructions = params.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise TypeError(
            f"instructions must be a string, not {type(instructions).__name__}; items go into `input`"
        )
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if params.get("input") is not None:
        given = params["input"]
        if isinstance(given, _NO_ITEMS) or not isinstance(given, Iterable):
            raise TypeError(
                f"responses.create: input must be a string or a list of items, not {type(given).__name__}"
            )
        messages += messages_from_input(params["input"])
    if not messages:
        raise ValueError("responses.create needs `input`: a string, or a list with at least one item")
    return messages


def _convert_reasoning(reasoning: Any, chat: JsonObject) -> None:
    if reasoning is None:
        return
    for name, value in mapping(reasoning, "reasoning").items():
        if value is None:
            continue
        if name == "effort":
            chat["reasoning_effort"] = value
        elif name == "context" and value != "auto":
            raise refuse(
                f"reasoning.{name}", "which turns' reasoning the model sees is up to its chat template"
            )
        elif name == "mode" and value != "standard":
            raise refuse(f"reasoning.{name}", "vLLM runs the model in one way only")
        elif name not in ("summary", "generate_summary", "context", "mode"):
            raise refuse(f"reasoning.{name}", "there is nothing like it in vLLM")


def _convert_text(text: Any, chat: JsonObject) -> None:
    if text is None:
        return
    for name, value in mapping(text, "text").items():
        if value is None:
            continue
        if name == "verbosity":
            chat["verbosity"] = value
        elif name == "format":
            _convert_format(mapping(value, "text.format"), chat)
        else:
            raise refuse(f"text.{name}", "there is nothing like it in vLLM")


def _convert_format(text_format: Mapping[str, object], chat: JsonObject) -> None:
    kind = text_format.get("type")
    if kind == "text":
        return
    if chat.get("structured_outputs") is not None:
        raise ValueError("text.format and structured_outputs exclude each other: give one of them")
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        if not isinstance(text_format.get("schema"), Mapping):
            raise ValueError("text.format of type 'json_schema' needs `schema`, a JSON schema")
        fields = ("name", "description", "schema", "strict")
        schema = {name: text_format[name] for name in fields if text_format.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "response"} | schema}
    else:
        raise refuse(
            "text.format", f"there is no type {kind!r}; structured_outputs takes what vLLM has beyond JSON"
        )


def _convert_logprobs(include: Any, top_logprobs: Any, chat: JsonObject) -> None:
    if isinstance(include, str):
        raise TypeError(f"include must be a list: [{include!r}]")
    for wanted in include or ():
        if wanted == LOGPROBS:
            chat["logprobs"] = True
        elif wanted not in _NOTHING_TO_INCLUDE:
            raise refuse("include", f"nobody knows {wanted!r} here")
    if top_logprobs:
        chat |= {"logprobs": True, "top_logprobs": top_logprobs}


def _convert_cache_options(options: Any, chat: JsonObject) -> None:
    if options is None:
        return
    cache_options = {
        name: value for name, value in mapping(options, "prompt_cache_options").items() if value is not None
    }
    if cache_options.get("prewarm"):
        raise refuse("prompt_cache_options.prewarm", "to fill vLLM's cache, ask for max_output_tokens=1")
    if "comparison_response_id" in cache_options:
        raise refuse("prompt_cache_options.comparison_response_id", "vLLM diagnoses no cache misses")
    chat["prompt_cache_options"] = cache_options
