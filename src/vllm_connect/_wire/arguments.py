"""Checks of a caller's arguments, whose errors name the operation, the argument and what it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from openai import NotGiven, Omit

from .._transport._httpx import httpx
from .decoding import JsonObject

_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_options(
    operation: str,
    options: Mapping[str, Any],
    arguments: tuple[str, str] = ("extra_headers", "extra_query"),
) -> None:
    """Check request options, which are under the SDK's names.

    Args:
        operation: for error messages.
        options: headers, params and timeout, as far as they are there.
        arguments: what the caller knows the headers and the params as.

    Raises:
        TypeError: one is of a type that it cannot be.
        ValueError: a header or a timeout cannot be used.
    """
    timeout = options.get("timeout")
    if timeout is not None and not isinstance(timeout, (NotGiven, httpx.Timeout)):
        _check_timeout(operation, timeout)
    for name, argument in zip(("headers", "params"), arguments, strict=True):
        value = options.get(name) or {}
        if not isinstance(value, Mapping):
            raise TypeError(f"{operation}: {argument} must be a mapping, not {type(value).__name__}")
    for name, value in (options.get("headers") or {}).items():
        if isinstance(value, (Omit, NotGiven)):
            continue
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"{operation}: {arguments[0]}[{name!r}] must be text, not {type(value).__name__}")
        if not _HEADER_VALUE.fullmatch(value):  # the value may be a secret
            raise ValueError(
                f"{operation}: {arguments[0]}[{name!r}] holds a line break, or a character outside Latin-1"
            )


def _check_timeout(operation: str, timeout: object) -> None:
    if type(timeout).__name__ == "Timeout" or isinstance(timeout, tuple):  # of the other httpx; its parts
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(
            f"{operation}: timeout must be seconds, an httpx.Timeout or None, not {type(timeout).__name__}"
        )
    if not timeout > 0:
        raise ValueError(f"{operation}: timeout must be more than 0 seconds, not {timeout}")


def refuse_non_finite(operation: str, body: object) -> None:
    """Refuse a body that JSON would carry with null in place of a number.

    Raises:
        ValueError: NaN or infinity; the message says where.
    """
    for place, value in leaves(body, "", 0):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{operation}: {place} is {value}, which JSON cannot carry")


def mended(operation: str, body: Mapping[str, Any]) -> JsonObject:
    """Return a body without lone surrogates, halves of characters that UTF-8 cannot carry.

    In the arguments of a tool call they come from the server itself: there they become JSON escapes, which is
    how they came.

    Raises:
        ValueError: any other text holds one; the message says which.
    """
    result = _escaped(body)
    for place, value in leaves(result, "", 0):
        if isinstance(value, str) and (found := _SURROGATE.search(value)):
            raise ValueError(
                f"{operation}: {place} holds half a character (a lone surrogate, U+{ord(found[0]):04X}, at "
                f"position {found.start()}); clean it: text.encode('utf-8', 'replace').decode()"
            )
    return result  # type: ignore[no-any-return]  # a mapping stays a mapping


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", item)
            if key == "arguments" and isinstance(item, str)
            else _escaped(item)
            for key, item in value.items()
        }
    return [_escaped(item) for item in value] if isinstance(value, (list, tuple)) else value


def leaves(value: object, place: str, depth: int) -> Iterator[tuple[str, object]]:
    """The texts and numbers of a body, each with its place: ``messages[0].content``."""
    if depth > 200:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}" if place else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from leaves(item, f"{place}[{number}]", depth + 1)
    else:
        yield place, value
