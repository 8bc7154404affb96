"""Request bodies, made of what a caller passes in.

Unset arguments are left out, never sent as null: vLLM answers 400 to null in many of its own fields.
Names that no table knows are refused, since vLLM would ignore them silently; `extra_body` carries
whatever a newer server understands.
"""

from __future__ import annotations

import difflib
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from openai import NotGiven, Omit
from openai.types.chat import ParsedChatCompletionMessage, ParsedFunctionToolCall
from pydantic import BaseModel
from typing_extensions import TypedDict

from .._transport._httpx import httpx
from .arguments import check_options, leaves, mended, refuse_non_finite
from .decoding import JsonObject


class RequestOptions(TypedDict, total=False):
    """Options that every operation of the SDK accepts besides its own parameters."""

    extra_headers: Mapping[str, str | Omit] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None
    timeout: float | httpx.Timeout | NotGiven | None


_OPTIONS = {
    "extra_headers": "headers",
    "extra_query": "params",
    "extra_body": "extra_body",
    "timeout": "timeout",
}
"""What the SDK's request object calls them."""

# What the SDK's parse() adds to a message, and the server must not get back.
_PARSED_TYPES = (ParsedChatCompletionMessage, ParsedFunctionToolCall)
_PARSED: JsonObject = {
    "parsed": True,
    "function": {"parsed_arguments"},
    "tool_calls": {"__all__": {"function": {"parsed_arguments"}}},
}

# Removed in vLLM 0.12 (#29326) and silently ignored since (#53975).
_GUIDED = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "guided_whitespace_pattern": "whitespace_pattern",
}


def read_params(
    operation: str, arguments: Mapping[str, object], names: frozenset[str] | None
) -> tuple[JsonObject, JsonObject]:
    """Sort a caller's keyword arguments.

    Args:
        operation: for error messages, e.g. ``"chat.completions.create"``.
        arguments: the keyword arguments.
        names: every name that this operation sends; None when the names were checked before.

    Returns:
        The parameters for the body with `extra_body` merged in, and the request options that were set, as
        the SDK's request object names them.

    Raises:
        TypeError: a name that neither the SDK nor vLLM knows for this operation, or a model that is no name.
    """
    body: JsonObject = {}
    options: JsonObject = {}
    for name, value in arguments.items():
        if isinstance(value, (Omit, NotGiven)):
            continue
        if name in _OPTIONS:
            # timeout=None means no timeout, so it is the one None that says something.
            if value is not None or name == "timeout":
                options[_OPTIONS[name]] = value
        elif names is not None and name not in names and name not in _GUIDED:
            raise TypeError(_unknown(operation, name, names))
        elif value is not None:
            body[name] = value
    extra = options.pop("extra_body", None)
    if extra is not None:
        if not isinstance(extra, Mapping):
            raise TypeError(f"{operation}: extra_body must be a mapping, not {type(extra).__name__}")
        body.update(extra)
    if options:
        check_options(operation, options)
    if not _GUIDED.keys().isdisjoint(body):
        _translate_guided(body)
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise TypeError(f"{operation}: model must be a name, not {type(model).__name__}")
    return body, options


def without_unset(arguments: Mapping[str, object]) -> JsonObject:
    """A caller's keyword arguments without those that say nothing: None, and the SDK's markers."""
    return {
        name: value
        for name, value in arguments.items()
        if value is not None and not isinstance(value, (Omit, NotGiven))
    }


def names(*tables: Any) -> frozenset[str]:
    """All field names of some TypedDicts."""
    return frozenset().union(*(table.__annotations__ for table in tables))


def encode(body: Mapping[str, object], *, operation: str = "request") -> bytes:
    """Serialise a request body.

    Pydantic models (an assistant message that is sent back, say) become their set, non-null fields;
    other iterables with an order become lists.

    Args:
        body: the parameters.
        operation: for error messages.

    Raises:
        TypeError: a value that JSON cannot carry.
        ValueError: NaN, infinity, or a text with half a character.
    """
    try:
        data = _dump(body)
    except (TypeError, RecursionError) as error:
        if "surrogates" in str(error):
            data = _dump(mended(operation, body))
        elif "ecursion" in str(error) or "Circular" in str(error):
            raise TypeError(f"{operation}: an argument contains itself, or is nested too deeply") from None
        else:
            raise TypeError(f"{operation}: {_place_of_problem(body)}{error.__cause__ or error}") from None
    if b"null" in data:  # unset arguments are left out, so this is rare
        refuse_non_finite(operation, body)
    return data


def _dump(body: Mapping[str, object]) -> bytes:
    listed: dict[int, list[object]] = {}

    def plain(value: object) -> object:
        if not isinstance(value, Iterator):
            return _plain(value)
        if id(value) not in listed:  # it can be read once, and a second attempt may be needed
            listed[id(value)] = list(value)
        return listed[id(value)]

    for option in (None, orjson.OPT_NON_STR_KEYS):  # logit_bias={15339: 1}, which OpenAI's client accepts
        try:
            return orjson.dumps(body, default=plain, option=option)
        except orjson.JSONEncodeError as error:
            if "key must be str" not in str(error) and "64-bit" not in str(error):
                raise
    return json.dumps(body, default=plain, ensure_ascii=False, separators=(",", ":")).encode()


def _place_of_problem(body: Mapping[str, object]) -> str:
    """Find the first value that JSON cannot carry, as far as it can be told."""
    for place, value in leaves(body, "", 0):
        if isinstance(value, (str, int, float, Iterator)) or value is None:
            continue
        try:
            _plain(value)
        except TypeError:
            return f"{place}: "
    return ""


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(
            mode="json",
            by_alias=True,
            exclude_unset=True,
            exclude_none=True,
            exclude=_PARSED if isinstance(value, _PARSED_TYPES) else getattr(value, "__api_exclude__", None),
            warnings=False,
        )
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"JSON cannot carry {type(value).__name__}")
    if isinstance(value, (set, frozenset)):
        raise TypeError("JSON cannot carry a set, which has no order: pass a list")
    if hasattr(value, "tolist"):  # numpy arrays and numbers, without importing numpy
        tolist: Callable[[], object] = value.tolist
        return tolist()
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"JSON cannot carry {type(value).__name__}")


def _translate_guided(body: JsonObject) -> None:
    names = [name for name in _GUIDED if name in body]
    warnings.warn(
        f"vLLM ignores {', '.join(names)} since 0.12: it was sent as structured_outputs, use that instead",
        DeprecationWarning,
        stacklevel=depth_of_caller(),
    )
    given = body.get("structured_outputs")
    structured = dict(given) if isinstance(given, Mapping) else {}
    for name in names:
        value = body.pop(name)
        if isinstance(value, type) and issubclass(value, BaseModel):
            value = value.model_json_schema()
        if value is not None:
            structured[_GUIDED[name]] = value
    if structured:  # vLLM refuses an empty one
        body["structured_outputs"] = structured


def depth_of_caller() -> int:
    """Count the frames down to the first one that is not of this package's."""
    package = __name__.partition(".")[0] + "."
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame, depth = frame.f_back, depth + 1
    return depth


# What servers ignore, wherever in the body it stands.
_ELSEWHERE = {"enable_thinking": 'pass chat_template_kwargs={"enable_thinking": …}'}


def _unknown(operation: str, name: str, names: frozenset[str]) -> str:
    if "chat_template_kwargs" in names and (elsewhere := _ELSEWHERE.get(name)):
        return f"{operation}() got an unexpected keyword argument {name!r}: {elsewhere}"
    near = difflib.get_close_matches(name, names | _OPTIONS.keys(), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{operation}() got an unexpected keyword argument {name!r}: {hint}"
        f"Fields that only your server knows go into extra_body={{{name!r}: …}}"
    )
