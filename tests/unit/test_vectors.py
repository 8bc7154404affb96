"""Embeddings off the wire: every format, number type and byte order, as lists and as numpy arrays."""

import json
import math
from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.embedding import Embedding

from vllm_connect import BadRequestError, InvalidResponseError
from vllm_connect._wire.objects import ErrorInReply, NotAReply
from vllm_connect._wire.vectors import Layout, read_embeddings
from vllm_connect.types import EmbeddingResponse

RECORDED = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text("utf-8"))
SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


def numbers(raw, dtype, endianness):
    """What bytes stand for: numpy's own reading, and for fp8 the formula."""
    order = ">" if endianness == "big" else "<"
    if dtype in ("float32", "float16"):
        return np.frombuffer(raw, order + {"float32": "f4", "float16": "f2"}[dtype]).astype(np.float32)
    if dtype == "bfloat16":
        return (np.frombuffer(raw, order + "u2").astype("u4") << 16).view("f4")
    byte = np.frombuffer(raw, "u1").astype(int)
    if dtype == "fp8_e5m2":
        sign, exponent, mantissa, bias, steps = byte >> 7, byte >> 2 & 31, byte & 3, 15, 4
        special = np.where(mantissa == 0, np.inf, np.nan)
        is_special = exponent == 31
    else:
        sign, exponent, mantissa, bias, steps = byte >> 7, byte >> 3 & 15, byte & 7, 7, 8
        special, is_special = np.nan, (exponent == 15) & (mantissa == 7)
    normal = (1 + mantissa / steps) * 2.0 ** (exponent - bias)
    value = np.where(exponent == 0, mantissa / steps * 2.0 ** (1 - bias), normal)
    return (np.where(is_special, special, value) * np.where(sign, -1.0, 1.0)).astype(np.float32)


def without_nan(vector):
    """As vLLM's JSON has it: null for NaN."""
    return [None if math.isnan(number) else number for number in vector.tolist()]


def reply(parts, encoding, dtype, endianness):
    """A body and its headers, in vLLM's form."""
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    if encoding in ("float", "base64"):
        vectors = [
            b64encode(part).decode()
            if encoding == "base64"
            else without_nan(numbers(part, dtype, endianness))
            for part in parts
        ]
        data = [{"index": i, "object": "embedding", "embedding": v} for i, v in enumerate(vectors)]
        about = {"id": "embd-1", "object": "list", "created": 5, "model": "m", "data": data, "usage": usage}
        return json.dumps(about).encode(), JSON
    if encoding == "bytes_only":
        return b"".join(parts), BYTES
    data, start = [], 0
    for index, part in enumerate(parts):
        end = start + len(part)
        data.append({"index": index, "embed_dtype": dtype, "endianness": endianness, "start": start,
                     "end": end, "shape": [len(part) // SIZES[dtype]]})  # fmt: skip
        start = end
    about = {"id": "embd-1", "created": 5, "model": "m", "data": data, "usage": usage}
    return b"".join(parts), {**BYTES, "metadata": json.dumps(about)}


FORMATS = ["float", "base64", "bytes", "bytes_only"]
ORDERS = ["native", "little", "big"]
same_size = st.sampled_from([8, 16, 24]).map(lambda size: st.binary(min_size=size, max_size=size))
parts_of = same_size.flatmap(lambda parts: st.lists(parts, min_size=1, max_size=4))


@pytest.mark.parametrize("endianness", ORDERS)
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("encoding", FORMATS)
@settings(deadline=None, max_examples=15)
@given(parts=parts_of)
def test_every_format(encoding, dtype, endianness, parts):
    if encoding == "float":  # JSON has no infinity
        parts = [part for part in parts if not np.isinf(numbers(part, dtype, endianness)).any()]
        if not parts:
            return
    content, headers = reply(parts, encoding, dtype, endianness)
    expected = np.stack([numbers(part, dtype, endianness) for part in parts])
    lists = read_embeddings(content, headers, Layout(False, len(parts), dtype, endianness))
    arrays = read_embeddings(content, headers, Layout(True, len(parts), dtype, endianness))
    for response in (lists, arrays):
        assert isinstance(response, CreateEmbeddingResponse)
        assert all(isinstance(item, Embedding) for item in response.data)
        assert [item.index for item in response.data] == list(range(len(parts)))
        assert response.array.dtype == np.float32
        np.testing.assert_array_equal(response.array, expected)
    assert all(type(number) is float for item in lists.data for number in item.embedding)
    np.testing.assert_array_equal([item.embedding for item in lists.data], expected)
    assert all(isinstance(item.embedding, np.ndarray) for item in arrays.data)
    arrays.array[0] = 0.0  # can be written to, and the rows are its rows
    assert not arrays.data[0].embedding.any()
    told = ("", None, 0) if encoding == "bytes_only" else ("m", "embd-1", 3)
    assert (lists.model, lists.id, lists.usage.total_tokens) == told


@settings(deadline=None, max_examples=50)
@example([[0.0, -6.545722573638861e16, 0.0]])  # its base64 contains "NaN"
@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_float32_round_trip(vectors):
    parts = [np.array(vector, "<f4").tobytes() for vector in vectors]
    for encoding in FORMATS[1:]:
        content, headers = reply(parts, encoding, "float32", "little")
        read = read_embeddings(content, headers, Layout(False, len(parts), "float32", "native"))
        np.testing.assert_array_equal([item.embedding for item in read.data], np.array(vectors, np.float32))


# --- what a real server sent -----------------------------------------------------------------------

PRECISION = {"float32": 1e-7, "float16": 2**-11, "bfloat16": 2**-8, "fp8_e4m3": 2**-4}


@pytest.mark.parametrize("as_numpy", [False, True])
@pytest.mark.parametrize("name", RECORDED["prefixes"])
def test_recorded_beginnings(name, as_numpy):
    """The same text, embedded by the same model, in every form."""
    dtype, endianness = name.split()
    raw = b64decode(RECORDED["prefixes"][name])
    raw = raw[: len(raw) // SIZES[dtype] * SIZES[dtype]]
    read = read_embeddings(raw, BYTES, Layout(as_numpy, 1, dtype, endianness)).data[0].embedding
    expected = RECORDED["floats"][: len(read)]
    # 2^-9 is the smallest step of fp8_e4m3, 2^-24 that of float16
    smallest = {"fp8_e4m3": 2**-9, "float16": 2**-24}.get(dtype, 0)
    np.testing.assert_allclose(read[: len(expected)], expected, rtol=PRECISION[dtype], atol=smallest)
    assert len(expected) >= 16


@pytest.mark.parametrize("as_numpy", [False, True])
def test_recorded_base64(as_numpy):
    content = json.dumps(RECORDED["base64_float16"]).encode()
    read = read_embeddings(content, JSON, Layout(as_numpy, 1, "float16", "native"))
    assert len(read.data[0].embedding) == 384
    np.testing.assert_allclose(read.data[0].embedding[:46], RECORDED["floats"], rtol=2**-11, atol=2**-24)
    assert np.linalg.norm(read.array) == pytest.approx(1, abs=1e-3)
    assert read.usage.prompt_tokens == 4
    assert read.model == "tiny-embed"


def test_recorded_metadata():
    metadata = RECORDED["metadata_big_float16"]
    content = bytes(768)
    read = read_embeddings(
        content, {**BYTES, "metadata": json.dumps(metadata)}, Layout(False, 1, "float16", "big")
    )
    assert read.data[0].embedding == [0.0] * 384
    assert (read.id, read.created, read.usage.total_tokens) == (metadata["id"], metadata["created"], 4)


# --- order, counts, nonsense -----------------------------------------------------------------------


def body(*vectors, indices=None):
    indices = range(len(vectors)) if indices is None else indices
    data = [{"index": i, "embedding": v} for i, v in zip(indices, vectors, strict=True)]
    return json.dumps({"data": data, "model": "m"}).encode()


def in_base64(*vector):
    return b64encode(np.array(vector, "<f4").tobytes()).decode()


def metadata(*places, indices=None):
    indices = range(len(places)) if indices is None else indices
    data = [{"index": i, "start": s, "end": e} for i, (s, e) in zip(indices, places, strict=True)]
    return {**BYTES, "metadata": json.dumps({"data": data})}


@pytest.mark.parametrize("as_numpy", [False, True])
@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (body([3.0], [1.0], [2.0], indices=[2, 0, 1]), JSON),
        (body(in_base64(3.0), in_base64(1.0), in_base64(2.0), indices=[2, 0, 1]), JSON),
        (np.array([3, 1, 2], "<f4").tobytes(), metadata((0, 4), (4, 8), (8, 12), indices=[2, 0, 1])),
        (np.array([1, 2, 3], "<f4").tobytes(), BYTES),
    ],
)
def test_order_is_that_of_the_input(content, headers, as_numpy):
    read = read_embeddings(content, headers, Layout(as_numpy, 3, "float32", "native"))
    assert [list(item.embedding) for item in read.data] == [[1.0], [2.0], [3.0]]
    assert [item.index for item in read.data] == [0, 1, 2]


@pytest.mark.parametrize("as_numpy", [False, True])
@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (body([1.0]), JSON, "1 embeddings for 2 inputs"),
        (body([1.0], [1.0], [1.0]), JSON, "3 embeddings for 2 inputs"),
        (body(), JSON, "0 embeddings for 2 inputs"),
        (body([1.0], [2.0], indices=[0, 0]), JSON, "indices are not 0 to 1"),
        (body([1.0], [2.0], indices=[1, 2]), JSON, "indices are not 0 to 1"),
        (body([1.0], [2.0], indices=[None, 1]), JSON, "indices are not 0 to 1"),
        (body([1.0], [2.0], indices=[[], {}]), JSON, "indices are not 0 to 1"),
        (b'{"data": [1, 2]}', JSON, "indices are not 0 to 1"),
        (b'{"data": null}', JSON, "holds no embeddings"),
        (b'{"data": {}}', JSON, "holds no embeddings"),
        (b"{}", JSON, "holds no embeddings"),
        (b"[1, 2]  ", JSON, "no JSON object"),  # 8 bytes, which are not two vectors of one float32
        (b"\n{", JSON, "not JSON"),
        (b"12345678", {}, "no JSON object"),
        (b'{"data":', JSON, "not JSON"),
        (body(None, None), JSON, "NoneType, neither numbers nor base64"),
        (body(5, 5), JSON, "int, neither numbers nor base64"),
        (body({}, {}), JSON, "dict, neither numbers nor base64"),
        (body("a", "a"), JSON, "no base64"),
        (body("é", "é"), JSON, "no base64"),
        (body("AAAAAAA=", "AAAAAAA="), JSON, "5 bytes are no vector of float32"),
        (b"123456789", BYTES, "9 bytes are not 2 equally long vectors"),
        (b"1234567890", BYTES, "10 bytes are not 2 equally long vectors"),
        (b"", BYTES, "0 bytes are not 2 equally long vectors"),
        (bytes(8), metadata((0, 4)), "1 embeddings for 2 inputs"),
        (bytes(8), metadata((0, 4), (4, 12)), "bytes 4 to 12 of 8"),
        (bytes(8), metadata((0, 4), (4, 4)), "bytes 4 to 4 of 8"),
        (bytes(8), metadata((0, 4), (-4, 8)), "bytes -4 to 8 of 8"),
        (bytes(8), metadata((0, 4), ("a", None)), "bytes a to None of 8"),
        (bytes(8), metadata((0, 3), (3, 6)), "3 bytes are no vector of float32"),
        (bytes(8), {**BYTES, "metadata": '{"data": [{"ind'}, "not JSON"),
        (bytes(8), {**BYTES, "metadata": "{}"}, "holds no embeddings"),
    ],
)
def test_nonsense(content, headers, problem, as_numpy):
    with pytest.raises(NotAReply, match=problem):
        read_embeddings(content, headers, Layout(as_numpy, 2, "float32", "native"))


@pytest.mark.parametrize(
    "content",
    [
        body([1.0, 2.0], [1.0]),
        body(in_base64(1, 2, 3), in_base64(1)),  # 4 numbers, which are not two vectors of two
        body([1.0], in_base64(1.0)),
        body(in_base64(1.0), [1.0]),
        body(["a"], ["b"]),
        body([[[1.0]]], [[[1.0]]]),
    ],
)
def test_no_matrix(content):
    with pytest.raises(NotAReply):
        read_embeddings(content, JSON, Layout(True, 2, "float32", "native"))


def test_ragged_lists_are_no_embeddings():
    with pytest.raises(NotAReply, match="different lengths"):
        read_embeddings(body([1.0, 2.0], [1.0]), JSON, Layout(False, 2, "float32", "native"))


TOKENS = [[[1.0, 2.0], [3.0, None], [5.0, 6.0]], [[7.0, 8.0]]]


def shaped(*shapes):
    """Matrices as bytes, whose shapes are told in the header."""
    data, start = [], 0
    for index, (rows, columns) in enumerate(shapes):
        end = start + 4 * rows * columns
        data.append({"index": index, "start": start, "end": end, "shape": [rows, columns]})
        start = end
    raw = np.arange(start // 4, dtype="<f4").tobytes()
    return raw, {**BYTES, "metadata": json.dumps({"data": data, "usage": None})}


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (body(*TOKENS), JSON, TOKENS),
        (*shaped((3, 2), (1, 2)), [[[0, 1], [2, 3], [4, 5]], [[6, 7]]]),
    ],
)
def test_a_vector_for_each_token(content, headers, expected):
    lists = read_embeddings(content, headers, Layout(False, 2, "float32", "native"))
    arrays = read_embeddings(content, headers, Layout(True, 2, "float32", "native"))
    for read in (lists, arrays):
        assert [np.shape(item.embedding) for item in read.data] == [(3, 2), (1, 2)]
        for item, matrix in zip(read.data, expected, strict=True):
            np.testing.assert_array_equal(item.embedding, np.array(matrix, np.float32))
        with pytest.raises(ValueError, match="a matrix for each input"):
            _ = read.array
    assert all(type(x) is float for item in lists.data for row in item.embedding for x in row)
    assert all(item.embedding.dtype == np.float32 for item in arrays.data)
    arrays.data[0].embedding[0] = 0.0


TORN = [
    {"index": 0, "start": 0, "end": 20, "shape": [3, 2]},
    {"index": 1, "start": 20, "end": 24, "shape": [1, 2]},
]


@pytest.mark.parametrize("as_numpy", [False, True])
@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (body([[1.0, 2.0]], [3.0]), JSON, "others are not"),
        (body([3.0], [[1.0, 2.0]]), JSON, "others are not"),
        (body([[1.0, 2.0]], [[3.0]]), JSON, "different lengths"),
        (body([[1.0, 2.0], [3.0]], [[1.0, 2.0]]), JSON, "rows of an embedding differ"),
        (body([[1.0, 2.0], 3.0], [[1.0, 2.0]]), JSON, "rows of an embedding differ"),
        (bytes(24), {**BYTES, "metadata": json.dumps({"data": TORN})}, "no rows of 2 numbers"),
    ],
)
def test_matrices_that_are_none(content, headers, problem, as_numpy):
    with pytest.raises(NotAReply, match=problem):
        read_embeddings(content, headers, Layout(as_numpy, 2, "float32", "native"))


def test_the_chunks_of_late_chunking():
    late = {"chunk_size": 2, "input_tokens": 3, "chunks": [{"token_range": [0, 2], "char_range": None}]}
    data = [{"index": 0, "object": "embedding", "embedding": [[1.0]], "late_chunking": late}]
    content = json.dumps({"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}).encode()
    (item,) = read_embeddings(content, JSON, Layout(False, 1, "float32", "native")).data
    assert item.late_chunking == late
    assert item.model_dump()["late_chunking"] == late
    (plain,) = read_embeddings(body([1.0]), JSON, Layout(False, 1, "float32", "native")).data
    assert plain.late_chunking is None
    assert "late_chunking" not in plain.model_dump()


@pytest.mark.parametrize("as_numpy", [False, True])
def test_null_is_nan(as_numpy):
    read = read_embeddings(body([1.0, None]), JSON, Layout(as_numpy, 1, "float32", "native"))
    np.testing.assert_array_equal(read.data[0].embedding, [1.0, float("nan")])


def test_error_payload():
    with pytest.raises(ErrorInReply, match="boom"):
        read_embeddings(b'{"error": {"message": "boom"}}', JSON, Layout(False, 1, "float32", "native"))


def test_the_number_of_inputs_may_be_unknown():
    read = read_embeddings(body([1.0], [2.0]), JSON, Layout(False, None, "float32", "native"))
    assert len(read.data) == 2


# --- what the client asks for ----------------------------------------------------------------------

UNKNOWN_FORMAT = (400, {"error": {"message": "body.encoding_format: Input should be 'float'", "code": 400}})


def asked(client):
    return [json.loads(request.content).get("encoding_format") for request in client.requests]


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        ({"input": "a"}, ["bytes"]),
        ({"input": "a", "as_numpy": True}, ["bytes"]),
        ({"input": ["a"] * 31}, ["base64"]),  # a header that not every http client takes
        ({"input": "a", "encoding_format": "float"}, ["float"]),
        ({"input": "a", "encoding_format": "bytes_only", "as_numpy": True}, ["bytes_only"]),
        ({"input": ["a"] * 513, "as_numpy": True}, ["base64"]),
        ({"messages": [{"role": "user", "content": "a"}], "as_numpy": True}, ["base64"]),
    ],
)
async def test_format_asked_for(canned, given, formats):
    client = canned((400, {"error": {"message": "boom", "code": 400}}))
    with pytest.raises(BadRequestError, match="boom"):
        await client("embeddings.create", **given)
    assert asked(client) == formats
    assert "as_numpy" not in json.loads(client.requests[0].content)


async def test_formats_are_tried_in_turn_and_remembered(canned):
    good = (200, json.loads(body([1.0, 2.0])))
    client = canned(UNKNOWN_FORMAT, UNKNOWN_FORMAT, good)
    assert (await client("embeddings.create", input="a", as_numpy=True)).array.tolist() == [[1.0, 2.0]]
    assert asked(client) == ["bytes", "base64", "float"]
    assert isinstance(await client("embeddings.create", input="a", as_numpy=True), EmbeddingResponse)
    assert asked(client)[3:] == ["float"]


async def test_a_format_that_was_chosen_is_not_replaced(canned):
    client = canned(UNKNOWN_FORMAT)
    with pytest.raises(BadRequestError, match="encoding_format"):
        await client("embeddings.create", input="a", encoding_format="bytes", as_numpy=True)
    assert asked(client) == ["bytes"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [({}, "either input= or messages="), ({"input": "a", "messages": []}, "either input= or messages=")],
)
async def test_input_or_messages(canned, given, problem):
    with pytest.raises(TypeError, match=problem):
        await canned()("embeddings.create", **given)


async def test_empty_input(canned):
    for texts in ([], (), iter([])):
        with pytest.raises(ValueError, match="input is empty"):
            await canned()("embeddings.create", input=texts)


@pytest.mark.parametrize(
    ("texts", "count"), [("a", 1), ([1, 2], 1), ((1, 2), 1), (["a", "b"], 2), ([[1], [2], [3]], 3)]
)
async def test_as_many_as_inputs(canned, texts, count):
    good, bad = (200, json.loads(body(*[[1.0]] * count))), (200, json.loads(body(*[[1.0]] * 9)))
    client = canned(good, bad, good)
    assert len((await client("embeddings.create", input=texts)).data) == count
    with pytest.raises(InvalidResponseError, match=f"9 embeddings for {count} inputs"):
        await client("embeddings.create", input=texts)
    if not isinstance(texts, str):
        assert len((await client("embeddings.create", input=(text for text in texts))).data) == count
        assert json.loads(client.requests[2].content)["input"] == list(texts)
