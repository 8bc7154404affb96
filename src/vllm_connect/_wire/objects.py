"""JSON bytes in, typed objects out.

The official types' own validator reads bytes some twenty times faster than the SDK's `construct_type`;
what it refuses (a value outside a Literal, a missing field) is built the SDK's lenient way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from openai import BaseModel
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from .decoding import JsonObject, loads
from .payloads import ErrorPayload, find_error
from .repairs import repair

T = TypeVar("T", bound=BaseModel)


class ErrorInReply(Exception):
    """The JSON is an error payload."""

    def __init__(self, error: ErrorPayload) -> None:
        super().__init__(error.message)
        self.error = error


class NotAReply(ValueError):
    """The JSON is neither a reply of the expected type nor an error payload."""


def read_object(data: bytes) -> JsonObject:
    """Decode a JSON object.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is something else.
    """
    try:
        payload = loads(data)
    except ValueError as error:
        raise NotAReply(f"not JSON: {data[:200]!r}") from error
    if (error_payload := find_error(payload)) is not None:
        raise ErrorInReply(error_payload)
    if not isinstance(payload, dict):
        raise NotAReply(f"no JSON object: {data[:200]!r}")
    return payload


Item = TypeVar("Item")


def in_order(items: list[Item], index_of: Callable[[Item], Any]) -> list[Item]:
    """The items of a reply in the order of the input, which their indices tell.

    Args:
        items: the items.
        index_of: tells an item's index.

    Raises:
        NotAReply: the indices are not 0 and up, each once.
    """
    indices = [index_of(item) for item in items]
    expected = list(range(len(items)))
    if indices == expected:
        return items
    if not all(isinstance(index, int) for index in indices) or sorted(indices) != expected:
        raise NotAReply(f"{len(items)} results whose indices are not 0 to {len(items) - 1}")
    return sorted(items, key=index_of)


_KINDS: dict[str, type] = {"text": str, "prompt": str, "chunk": dict}  # required fields that are no lists


class Reader(Generic[T]):
    """Reads one type.

    Args:
        cls: the type.
        required: a field without which it is not that type, however lenient one is.
        filled: whether that field, a list, must hold something.
    """

    def __init__(self, cls: type[T], required: str, *, filled: bool = False) -> None:
        self.cls = cls
        self.required = required
        self.filled = filled
        self._validator: Any = None

    def __call__(self, data: bytes) -> T:
        """Read one object.

        Raises:
            ErrorInReply: it is an error payload.
            NotAReply: it is something else.
        """
        if self._validator is None:  # the SDK defers building its schemas
            self.cls.model_rebuild()
            self._validator = self.cls.__pydantic_validator__
        if b'"error"' not in data:
            try:
                read: T = self._validator.validate_json(data)
            except ValidationError:
                read = self._leniently(data)
        else:
            read = self._leniently(data)
        if self.filled and not getattr(read, self.required):
            raise NotAReply(f"{self.required!r} is empty in the reply: {data[:200]!r}")
        return read

    def _leniently(self, data: bytes) -> T:
        payload = read_object(data)
        if not isinstance(payload.get(self.required), _KINDS.get(self.required, list)):
            raise NotAReply(f"no {self.required!r} in the reply: {data[:200]!r}")
        repair(payload, is_chunk=issubclass(self.cls, ChatCompletionChunk))
        for choice in payload["choices"] if self.required == "choices" else ():
            parts = choice if isinstance(choice, dict) else {}
            if all(parts.get(name) is None for name in ("message", "delta", "text")):
                raise NotAReply(f"a choice has neither message, delta nor text: {data[:200]!r}")
        try:
            read: T = self._validator.validate_python(payload)
        except ValidationError:
            read = self.cls.construct(**payload)
        return read
