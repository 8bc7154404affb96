"""The operations that take many rows, and what a row is for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Operation = Literal["chat", "completions", "embeddings", "rerank", "score", "classify", "tokenize"]


class _Method(NamedTuple):
    path: str
    of_text: Callable[[str], dict[str, Any]] | None


def _argument(name: str, text: str) -> dict[str, Any]:
    return {name: text}


def _conversation(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


_METHODS: dict[str, _Method] = {
    "chat": _Method("chat.completions.create", _conversation),
    "completions": _Method("completions.create", partial(_argument, "prompt")),
    "embeddings": _Method("embeddings.create", partial(_argument, "input")),
    "rerank": _Method("rerank.create", None),
    "score": _Method("score.create", None),
    "classify": _Method("classify.create", partial(_argument, "input")),
    "tokenize": _Method("tokenize", partial(_argument, "prompt")),
}


def method_of(operation: str) -> _Method:
    """Return the method of an operation.

    Raises:
        ValueError: there is no such operation.
    """
    method = _METHODS.get(operation)
    if method is None:
        known = ", ".join(_METHODS)
        raise ValueError(f"map: operation is a function or one of {known}; not {operation!r}")
    return method


def call_of(
    client: object, operation: str | Callable[..., T], common: Mapping[str, object]
) -> Callable[[object], T]:
    """Return the call that is made for each row.

    Args:
        client: whose operation it is.
        operation: its short name, or any function that takes the arguments of a row.
        common: arguments of every row; a row's own win.

    Raises:
        ValueError: there is no such operation.
    """
    of_text: Callable[[str], dict[str, Any]] | None = None
    if isinstance(operation, str):
        method, name = method_of(operation), operation
        function: Callable[..., T] = attrgetter(method.path)(client)
        of_text = method.of_text
    else:
        function, name = operation, getattr(operation, "__qualname__", repr(operation))

    def call(row: object) -> T:
        if isinstance(row, str) and of_text is not None:
            return function(**{**common, **of_text(row)})
        if isinstance(row, Mapping):
            return function(**{**common, **row})
        texts = "a text or " if of_text is not None else ""
        raise TypeError(f"map: a row of {name} is {texts}a mapping of arguments, not {type(row).__name__}")

    return call
