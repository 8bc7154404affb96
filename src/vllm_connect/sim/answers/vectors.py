"""Texts as vectors: every word has a direction of its own, and a text is the sum of its words.

Texts that share words are therefore near to each other, and the same text is always the same vector.
The encodings are those of vLLM's `embed_dtype` and `endianness`, bit for bit, without numpy.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
import sys
from array import array
from functools import lru_cache
from operator import mul
from typing import NamedTuple

import orjson

# A word, or a single character of a script that does not put spaces between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
# Bits of exponent, bits of mantissa, and what is too large becomes.
_FP8 = {"fp8_e4m3": (4, 3, 0x7E), "fp8_e5m2": (5, 2, 0x7C)}
_REMEMBERED = 16384


class Space(NamedTuple):
    """The space of vectors: what a request and the model say about them.

    Attributes:
        dimensions: the model's.
        normalized: whether vectors have the length 1.
        shortened: the request's `dimensions`, for a Matryoshka model.
    """

    dimensions: int
    normalized: bool = True
    shortened: int | None = None


def words(text: str) -> list[str]:
    """The words of a text, in lower case, with a plural's `s` taken off."""
    found = _WORD.findall(text.lower())
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found]


@lru_cache(maxsize=_REMEMBERED)
def vector(text: str, space: Space) -> array[float]:
    """The vector of a text, in single precision."""
    told = words(text) or [text.strip()]
    lanes: array[int] = array("I")
    total = sum(_direction(word, space.dimensions) for word in told)
    lanes.frombytes(total.to_bytes(4 * space.dimensions, sys.byteorder))
    middle = 127.5 * len(told)
    values = [lane - middle for lane in lanes][: space.shortened]
    length = math.hypot(*values) if space.normalized else 64.0
    return array("f", [value / length for value in values])


@lru_cache(maxsize=_REMEMBERED)
def _direction(word: str, dimensions: int) -> int:
    """A number for each dimension, all in one integer: adding integers adds them all at once."""
    digest = hashlib.shake_128(word.encode("utf-8", "replace")).digest(dimensions)
    return int.from_bytes(array("I", list(digest)).tobytes(), sys.byteorder)


def cosine(left: str, right: str, space: Space) -> float:
    """Return the similarity of two texts: 1 for the same words."""
    return math.fsum(map(mul, vector(left, space), vector(right, space)))


@lru_cache(maxsize=_REMEMBERED)
def as_json(text: str, space: Space) -> orjson.Fragment:
    """The vector of a text as a list in JSON."""
    return orjson.Fragment(orjson.dumps(vector(text, space).tolist()))


@lru_cache(maxsize=_REMEMBERED)
def as_bytes(text: str, space: Space, dtype: str, endianness: str) -> bytes:
    """The vector of a text as vLLM's `bytes` formats carry it."""
    return pack(vector(text, space), dtype, endianness)


@lru_cache(maxsize=_REMEMBERED)
def as_base64(text: str, space: Space, dtype: str, endianness: str) -> str:
    """The same bytes in base64."""
    return base64.b64encode(as_bytes(text, space, dtype, endianness)).decode()


def pack(values: array[float], dtype: str, endianness: str) -> bytes:
    """Encode single precision numbers as one of vLLM's `embed_dtype`s.

    Args:
        values: the numbers.
        dtype: "float32", "float16", "bfloat16", "fp8_e4m3" or "fp8_e5m2".
        endianness: "native", "big" or "little".
    """
    if dtype == "float32":
        packed: array[float] | array[int] = array("f", values)
    elif dtype == "float16":
        packed = array("H", struct.pack(f"={len(values)}e", *values))
    else:
        bits = array("I", values.tobytes())
        if dtype == "bfloat16":
            packed = array("H", [((b + 0x7FFF + (b >> 16 & 1)) >> 16) & 0xFFFF for b in bits])
        else:
            table = _fp8_table(dtype)
            # The upper half and a sticky bit are enough to round as if from all the bits.
            return bytes([table[b >> 16 | (b & 0xFFFF != 0)] for b in bits])
    if endianness not in ("native", sys.byteorder):
        packed.byteswap()
    return packed.tobytes()


@lru_cache(maxsize=2)
def _fp8_table(dtype: str) -> bytes:
    """The 8 bits for the upper half of every single precision number."""
    exponent_bits, mantissa_bits, largest = _FP8[dtype]
    bias = 2 ** (exponent_bits - 1) - 1
    table = bytearray(1 << 16)
    for upper in range(1 << 15):
        (value,) = struct.unpack("=f", struct.pack("=I", upper << 16))
        if math.isnan(value):
            code = 0x7F
        elif math.isinf(value):
            code = largest
        else:
            exponent = max(math.frexp(value)[1] - 1 if value else -bias, 1 - bias)
            mantissa = round(math.ldexp(value, mantissa_bits - exponent))  # half to even
            code = min(((exponent + bias - 1) << mantissa_bits) + mantissa, largest)
        table[upper], table[upper | 0x8000] = code, code | 0x80
    return bytes(table)
