"""Inputs of embedding and pooling operations: one text, its token ids, or a list of either."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .decoding import JsonObject


def count_of(body: JsonObject, name: str, operation: str) -> int | None:
    """Count the inputs of a parameter, and make the list of them that JSON needs.

    Args:
        body: the parameters of the body.
        name: which of them holds the inputs.
        operation: for error messages.

    Returns:
        How many there are; None if the parameter is not there.

    Raises:
        TypeError: it holds something that is no text and no list of texts, or that has no order.
        ValueError: the list is empty.
    """
    inputs = body.get(name)
    if inputs is None:
        return None
    if isinstance(inputs, (str, Mapping)):
        return 1
    if isinstance(inputs, (bytes, bytearray, memoryview, set, frozenset)) or not isinstance(inputs, Iterable):
        raise TypeError(
            f"{operation}: {name} is {type(inputs).__name__}; pass a text, a list of texts, or token ids"
        )
    if not isinstance(inputs, list):
        inputs = body[name] = inputs.tolist() if hasattr(inputs, "tolist") else list(inputs)
    if not inputs:
        raise ValueError(f"{operation}: {name} is empty")
    if isinstance(inputs[0], int):
        return 1
    for number, item in enumerate(inputs):
        if item is None or isinstance(item, (bytes, bytearray, memoryview, set, frozenset, float)):
            raise TypeError(
                f"{operation}: {name}[{number}] is {type(item).__name__}; pass a text or token ids"
            )
    return len(inputs)


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
