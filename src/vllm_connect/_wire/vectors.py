"""Embeddings off the wire: JSON floats, base64 or raw bytes in, vectors out.

The formats are vLLM's (`encoding_format`, `embed_dtype`, `endianness`):

    float, base64   JSON; base64 holds the numbers in `embed_dtype`
    bytes           the vectors one after another; a `metadata` header says where each lies
    bytes_only      the same without the header, so all vectors are taken to be equally long

A model with a vector for each token gives a matrix for each input: a list of vectors in JSON, and in bytes a
shape of two numbers in the header.
"""

from __future__ import annotations

import struct
import sys
from array import array
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..types import EmbeddingResponse
from .decoding import JsonObject
from .objects import NotAReply, in_order, read_object
from .repairs import repair

_NAN = float("nan")
_ITEM_SIZE = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}


@dataclass(frozen=True)
class Layout:
    """The layout of the vectors in a reply.

    Attributes:
        as_numpy: whether vectors shall be rows of a numpy array, and matrices arrays of their own.
        count: how many there must be, None when only the server knows.
        dtype: what the numbers are on the wire, see `_ITEM_SIZE`.
        endianness: "little", "big" or "native", the server's own, which is little on all that vLLM runs on.
    """

    as_numpy: bool
    count: int | None
    dtype: str
    endianness: str

    @property
    def big(self) -> bool:
        """Tell whether numbers of more than one byte have to be swapped to be little-endian."""
        return self.endianness == "big"


def read_embeddings(content: bytes, headers: Mapping[str, str], layout: Layout) -> EmbeddingResponse:
    """Read a reply.

    Args:
        content: the body.
        headers: the reply's headers.
        layout: how to read it.

    Returns:
        The embeddings in the order of the input.

    Raises:
        ErrorInReply: the reply is an error payload.
        NotAReply: vectors are missing or make no sense.
    """
    about, items, vectors = _read(content, headers, layout, "embedding")
    widths = [_width(*pair) for pair in zip(vectors, items, strict=True)]
    matrix = None
    rows: list[Any]
    if any(widths):
        rows = [_table(*pair, layout) for pair in zip(vectors, widths, strict=True)]
        sizes = set(widths)
    else:
        matrix = _matrix(vectors, layout) if layout.as_numpy else None
        rows = list(matrix) if matrix is not None else [_floats(vector, layout) for vector in vectors]
        sizes = {len(row) for row in rows}
    if len(sizes) > 1:
        raise NotAReply(f"the embeddings are of different lengths: {sorted(map(str, sizes))}")
    repair(about)
    usage = about.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    data = [
        {**_chunks(item), "object": "embedding", "index": index, "embedding": row}
        for index, (row, item) in enumerate(zip(rows, items, strict=True))
    ]
    response: EmbeddingResponse = _validator().validate_python(
        {
            "id": about.get("id") if isinstance(about.get("id"), str) else None,
            "object": "list",
            "created": about.get("created") if isinstance(about.get("created"), int) else None,
            "model": about.get("model") if isinstance(about.get("model"), str) else "",
            "data": data,
            "usage": {"prompt_tokens": 0, "total_tokens": 0, **counts},
        }
    )
    response._array = matrix
    return response


def read_arrays(content: bytes, headers: Mapping[str, str], layout: Layout) -> tuple[JsonObject, list[Any]]:
    """Read a reply of `/pooling`.

    Args:
        content: the body.
        headers: the reply's headers.
        layout: how to read it, into numpy arrays.

    Returns:
        What else it says, and the array of each input, in their order, of float32: of shape (tokens, numbers)
        where the model gives one vector per token, else (numbers,).

    Raises:
        ErrorInReply: the reply is an error payload.
        NotAReply: arrays are missing or make no sense.
    """
    about, items, vectors = _read(content, headers, layout, "data")
    arrays = []
    for vector, item in zip(vectors, items, strict=True):
        width = _width(vector, item)
        arrays.append(_matrix([vector], layout)[0] if width is None else _table(vector, width, layout))
    return about, arrays


def _read(
    content: bytes, headers: Mapping[str, str], layout: Layout, field: str
) -> tuple[JsonObject, list[JsonObject], list[Any]]:
    """The reply without its vectors, the description of each, and each as it came, in the inputs' order."""
    if not headers.get("content-type", "").startswith("application/octet-stream"):
        about = read_object(content)
        items = _in_order(about.get("data"))
        vectors = [item.get(field) for item in items]
    elif metadata := headers.get("metadata"):
        about = read_object(metadata.encode())
        items = _in_order(about.get("data"))
        vectors = _parts(content, items)
    else:
        about = {}
        vectors = _equal_parts(content, layout)
        items = [{} for _ in vectors]
    if layout.count is not None and len(vectors) != layout.count:
        raise NotAReply(f"{len(vectors)} embeddings for {layout.count} inputs")
    return about, items, vectors


def _width(vector: Any, item: JsonObject) -> int | None:
    """The numbers in a row of a matrix; None for a vector."""
    if isinstance(vector, list):
        return len(vector[0]) if vector and isinstance(vector[0], list) else None
    shape = item.get("shape")
    return shape[1] if isinstance(shape, list) and len(shape) == 2 and isinstance(shape[1], int) else None


def _table(vector: Any, width: int | None, layout: Layout) -> Any:
    """A matrix, as a list of lists or as an array.

    Raises:
        NotAReply: it is none, or its rows differ in length.
    """
    if not width:
        raise NotAReply("some of the embeddings are matrices, and others are not")
    if isinstance(vector, list):
        if not all(isinstance(row, list) and len(row) == width for row in vector):
            raise NotAReply("the rows of an embedding differ in length")
        return _matrix(vector, layout) if layout.as_numpy else [_floats(row, layout) for row in vector]
    if len(_raw(vector)) % (width * _ITEM_SIZE[layout.dtype]):
        raise NotAReply(f"{len(vector)} bytes are no rows of {width} numbers of {layout.dtype}")
    if layout.as_numpy:
        return _matrix([vector], layout).reshape(-1, width)
    numbers = _floats(vector, layout)
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]


def _chunks(item: JsonObject) -> JsonObject:
    """The chunks of an input, as late chunking tells them."""
    return {name: item[name] for name in ("late_chunking",) if name in item}


@lru_cache
def _validator() -> Any:
    EmbeddingResponse.model_rebuild()  # the SDK defers building its schemas
    return EmbeddingResponse.__pydantic_validator__


def _in_order(items: Any) -> list[JsonObject]:
    """The descriptions of the vectors, in the order of the input."""
    if not isinstance(items, list):
        raise NotAReply("the reply holds no embeddings")
    return in_order(items, lambda item: item.get("index") if isinstance(item, dict) else None)


def _parts(content: bytes, items: list[JsonObject]) -> list[Any]:
    view, parts = memoryview(content), []
    for item in items:
        start, end = item.get("start"), item.get("end")
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(content)):
            raise NotAReply(f"an embedding is bytes {start} to {end} of {len(content)}")
        parts.append(view[start:end])
    return parts


def _equal_parts(content: bytes, layout: Layout) -> list[Any]:
    count = layout.count or 1
    size, rest = divmod(len(content), count)
    if rest or size % _ITEM_SIZE[layout.dtype] or not size:
        raise NotAReply(f"{len(content)} bytes are not {count} equally long vectors of {layout.dtype}")
    return [memoryview(content)[i * size : (i + 1) * size] for i in range(count)]


def _raw(vector: Any) -> Any:
    """The bytes of a vector that came as base64 or as bytes."""
    if isinstance(vector, str):
        try:
            return a2b_base64(vector)
        except ValueError as error:
            raise NotAReply(f"an embedding is no base64: {error}") from None
    if isinstance(vector, memoryview):
        return vector
    raise NotAReply(f"an embedding is {type(vector).__name__}, neither numbers nor base64")


def _floats(vector: Any, layout: Layout) -> list[float]:
    if isinstance(vector, list):
        if None in vector:  # JSON has no NaN: vLLM sends null
            vector = [_NAN if number is None else number for number in vector]
        try:
            return array("d", vector).tolist()
        except TypeError as error:
            raise NotAReply(f"an embedding holds something else than numbers: {error}") from None
    raw = _raw(vector)
    if len(raw) % _ITEM_SIZE[layout.dtype]:
        raise NotAReply(f"{len(raw)} bytes are no vector of {layout.dtype}")
    if layout.dtype == "float32":
        numbers = array("f")
        numbers.frombytes(raw)
        if layout.big != (sys.byteorder == "big"):
            numbers.byteswap()
        return numbers.tolist()
    if layout.dtype == "float16":
        return list(struct.unpack(f"{'>' if layout.big else '<'}{len(raw) // 2}e", raw))
    if layout.dtype == "bfloat16":  # the upper half of a float32
        wide = bytearray(len(raw) * 2)
        wide[2::4], wide[3::4] = (raw[1::2], raw[0::2]) if layout.big else (raw[0::2], raw[1::2])
        return list(struct.unpack(f"<{len(raw) // 2}f", wide))
    table = _fp8(layout.dtype)
    return [table[byte] for byte in bytes(raw)]


def _matrix(vectors: list[Any], layout: Layout) -> Any:
    """All vectors as a float32 array of shape (count, dimensions)."""
    try:
        import numpy as np
    except ImportError:
        raise ImportError("as_numpy=True needs numpy: pip install 'vllm-connect[numpy]'") from None
    if not vectors:
        return np.empty((0, 0), dtype=np.float32)
    if isinstance(vectors[0], list):
        try:
            matrix = np.array(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise NotAReply(f"the embeddings are no matrix: {error}") from None
        if matrix.ndim != 2:
            raise NotAReply(f"the embeddings have {matrix.ndim} dimensions, not 2")
        return matrix
    # Bytes are cut from one body, JSON may hold anything.
    parts = vectors if isinstance(vectors[0], memoryview) else [_raw(vector) for vector in vectors]
    if len({len(part) for part in parts}) > 1:
        raise NotAReply("the embeddings differ in length")
    if len(parts[0]) % _ITEM_SIZE[layout.dtype]:
        raise NotAReply(f"{len(parts[0])} bytes are no vector of {layout.dtype}")
    raw = bytearray().join(parts)  # not bytes, of which numpy makes an array that cannot be written to
    order = ">" if layout.big else "<"
    if layout.dtype == "float32":
        flat: Any = np.frombuffer(raw, dtype=order + "f4")
    elif layout.dtype == "float16":
        flat = np.frombuffer(raw, dtype=order + "f2")
    elif layout.dtype == "bfloat16":
        flat = (np.frombuffer(raw, dtype=order + "u2").astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.array(_fp8(layout.dtype), dtype=np.float32)[np.frombuffer(raw, dtype=np.uint8)]
    return flat.reshape(len(vectors), -1).astype(np.float32, copy=False)


@lru_cache
def _fp8(dtype: str) -> tuple[float, ...]:
    """The value of each of the 256 bytes."""
    if dtype == "fp8_e5m2":  # the upper half of a float16
        return tuple(struct.unpack("<e", bytes([0, byte]))[0] for byte in range(256))
    values = []
    for byte in range(256):  # e4m3fn: bias 7, no infinities
        exponent, mantissa = byte >> 3 & 15, byte & 7
        value = (1 + mantissa / 8) * 2.0 ** (exponent - 7) if exponent else mantissa / 8 * 2.0**-6
        value = float("nan") if byte & 127 == 127 else value
        values.append(-value if byte & 128 else value)
    return tuple(values)
