"""Batches of inputs: as many as go into one request, by their number and by their bytes.

vLLM's Rust frontend (0.33) takes no request of more than 32 MiB, unless VLLM_HTTP_MAX_REQUEST_BODY_SIZE says
otherwise; nor do many proxies, and some take less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import orjson

Input = TypeVar("Input")

MOST_BYTES = 31 * 2**20
"""Of the inputs of one request, as JSON; what is left of 32 MiB is for its other parameters."""

_LONGEST = 6  # bytes of a character: a control character is \u00XX


def batches(
    inputs: Sequence[Input], at_most: int, *, bytes_besides: int = 0, most_bytes: int | None = None
) -> list[Sequence[Input]]:
    """Cut inputs into the batches that go into one request each.

    Args:
        inputs: texts, token ids, or whatever else JSON carries.
        at_most: inputs in a batch.
        bytes_besides: bytes that each input gets besides, an instruction before it.
        most_bytes: bytes of a batch, `MOST_BYTES` by default; an input that is larger is a batch of its own.
    """
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    if not _may_exceed(inputs, bytes_besides, most_bytes):
        return [inputs[start : start + at_most] for start in range(0, len(inputs), at_most)]
    cut: list[Sequence[Input]] = []
    start = size = 0
    for place, each in enumerate(inputs):
        added = _size_of(each) + bytes_besides + 1
        if place > start and (place - start == at_most or size + added > most_bytes):
            cut.append(inputs[start:place])
            start, size = place, 0
        size += added
    return [*cut, inputs[start:]]


def _may_exceed(inputs: Sequence[object], bytes_besides: int, most_bytes: int) -> bool:
    """Tell whether inputs may be too large for one request, without encoding them."""
    total = 0
    for each in inputs:
        if not isinstance(each, str):
            return True
        total += len(each)
    return total * _LONGEST + len(inputs) * (bytes_besides + 3) > most_bytes


def _size_of(value: object) -> int:
    """The bytes of a value in JSON."""
    try:
        return len(orjson.dumps(value, default=str))
    except TypeError:  # half a character, say, which the request itself tells of
        return len(str(value)) * _LONGEST
