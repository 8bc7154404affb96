"""Embeddings in every coding, rerank, score, classify and pooling."""

from __future__ import annotations

import base64
import json
import math
import time
from array import array
from collections.abc import Callable
from operator import mul
from typing import Any

import numpy as np
import pytest

from vllm_connect.sim.answers.rerank import likeness
from vllm_connect.sim.answers.vectors import Space, cosine, pack, vector

from .conftest import Caller

EMBEDDINGS = "/v1/embeddings"
SPACE = Space(384)
SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}


def test_similar_texts_are_near() -> None:
    near, far = cosine("A cat sat.", "A cat sits.", SPACE), cosine("A cat sat.", "Stocks fell.", SPACE)
    assert near > 0.5 > 0.2 > far
    assert cosine("你好世界", "你好朋友", SPACE) > 0.3
    assert math.isclose(cosine("the same", "the same", SPACE), 1, abs_tol=1e-6)
    assert math.isclose(math.hypot(*vector("", SPACE)), 1, abs_tol=1e-6)
    assert math.hypot(*vector("not normalized", Space(384, False))) > 2


def test_floats(ask: Caller) -> None:
    reply = ask.json(EMBEDDINGS, input=["Hello world", "Hi"])
    first, second = (item["embedding"] for item in reply["data"])
    assert len(first) == len(second) == 384
    assert first == vector("Hello world", SPACE).tolist()
    assert reply["usage"]["prompt_tokens"] == 5
    assert ask.json(EMBEDDINGS, input=["Hello world", "Hi"])["data"] == reply["data"]


def test_forms_of_the_input(ask: Caller) -> None:
    def vectors(**body: Any) -> list[Any]:
        return [item["embedding"] for item in ask.json(EMBEDDINGS, **body)["data"]]

    expected = vectors(input="Hello world")
    tokens = ask.json("/tokenize", prompt="Hello world")["tokens"]
    assert vectors(input=["Hello world"]) == expected
    assert vectors(input=tokens) == expected
    assert vectors(input=[tokens, tokens]) == expected * 2
    chat = [{"role": "user", "content": "Hello world"}]
    assert vectors(messages=chat) == expected
    assert vectors(messages=[chat, chat]) == expected * 2
    assert vectors(input=chat) == expected


def decoded(data: bytes, dtype: str, endianness: str = "native") -> Any:
    """What numpy makes of the bytes; 8-bit floats by their definition."""
    order = {"native": "=", "big": ">", "little": "<"}[endianness]
    if dtype == "bfloat16":
        wide = np.frombuffer(data, f"{order}u2").astype("u4") << 16
        return wide.view("f4")
    if dtype.startswith("fp8"):
        exponent_bits, mantissa_bits = (4, 3) if dtype == "fp8_e4m3" else (5, 2)
        raw = np.frombuffer(data, "u1").astype(int)
        exponent, mantissa = raw >> mantissa_bits & (1 << exponent_bits) - 1, raw & (1 << mantissa_bits) - 1
        bias, step = 2 ** (exponent_bits - 1) - 1, 2.0**-mantissa_bits
        tiny = mantissa * step * 2.0 ** (1 - bias)
        values = np.where(exponent == 0, tiny, (1 + mantissa * step) * 2.0 ** (exponent - bias))
        return np.where(raw >> 7, -values, values)
    return np.frombuffer(data, order + {"float32": "f4", "float16": "f2"}[dtype])


@pytest.mark.parametrize("endianness", ["native", "big", "little"])
@pytest.mark.parametrize("dtype", SIZES)
def test_codings(ask: Caller, dtype: str, endianness: str) -> None:
    body = {"input": ["Hello world", "Hi"], "embed_dtype": dtype, "endianness": endianness}
    exact = np.array([item["embedding"] for item in ask.json(EMBEDDINGS, input=body["input"])["data"]])
    size = SIZES[dtype] * 384

    reply = ask.post(EMBEDDINGS, encoding_format="bytes", **body)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert "content-length" not in reply.headers
    metadata = json.loads(reply.headers["metadata"])
    assert list(metadata) == ["id", "created", "model", "data", "usage"]
    item = {"index": 1, "embed_dtype": dtype, "endianness": endianness, "start": size, "end": 2 * size}
    assert metadata["data"][1] == {**item, "shape": [384]}
    assert metadata["usage"] == {"prompt_tokens": 5, "total_tokens": 5}

    tolerance = {"float32": 0, "float16": 1e-3, "bfloat16": 8e-3, "fp8_e4m3": 0.07, "fp8_e5m2": 0.13}[dtype]
    read = decoded(reply.content, dtype, endianness).reshape(2, 384)
    np.testing.assert_allclose(read, exact, rtol=tolerance, atol=2e-3 if tolerance else 0)

    only = ask.post(EMBEDDINGS, encoding_format="bytes_only", **body)
    assert only.content == reply.content
    assert "metadata" not in only.headers
    items = ask.json(EMBEDDINGS, encoding_format="base64", **body)["data"]
    assert b"".join(base64.b64decode(item["embedding"]) for item in items) == reply.content
    assert ask.json(EMBEDDINGS, encoding_format="float", **body)["data"][0]["embedding"] == exact[0].tolist()


def test_rounding_is_to_the_nearest_and_then_to_even() -> None:
    def bits(value: float, dtype: str) -> int:
        return int.from_bytes(pack(array("f", [value]), dtype, "little"), "little")

    assert bits(1.0, "bfloat16") == 0x3F80
    assert bits(1 + 2**-8, "bfloat16") == 0x3F80
    assert bits(1 + 3 * 2**-8, "bfloat16") == 0x3F82
    assert [bits(value, "fp8_e4m3") for value in (0, -0.0, 1, 1.0625, 1.1875, 448, 2**-9, 2**-10)] == [
        *(0, 0x80, 0x38, 0x38, 0x3A, 0x7E, 1, 0)
    ]
    assert bits(1.0625 * 1.0000001, "fp8_e4m3") == 0x39
    assert [bits(value, "fp8_e5m2") for value in (1, 1.125, 1.375, -57344)] == [0x3C, 0x3C, 0x3E, 0xFB]
    assert bits(1.5, "float16") == 0x3E00


def test_matryoshka(serve: Callable[..., Caller]) -> None:
    caller = serve(matryoshka=True, embedding_dim=64)
    (item,) = caller.json(EMBEDDINGS, input="Hello world", dimensions=16)["data"]
    assert len(item["embedding"]) == 16
    assert math.isclose(math.hypot(*item["embedding"]), 1, abs_tol=1e-6)
    assert caller.error(EMBEDDINGS, input="x", dimensions=65)["message"] == (
        "Model 'sim-chat' only supports dimensions in range [1, 64], got 65."
    )
    coded = caller.post(EMBEDDINGS, input="x", dimensions=16, encoding_format="bytes", embed_dtype="float16")
    assert len(coded.content) == 32
    refused = serve().error(EMBEDDINGS, input="x", dimensions=16)["message"]
    assert refused.startswith("Model 'sim-chat' does not support Matryoshka embeddings;")


def test_activation(ask: Caller) -> None:
    raw = ask.json(EMBEDDINGS, input="Hello world", use_activation=False)["data"][0]["embedding"]
    normal = ask.json(EMBEDDINGS, input="Hello world")["data"][0]["embedding"]
    assert math.hypot(*raw) > 1.5
    assert math.isclose(sum(map(mul, raw, normal)), math.hypot(*raw), rel_tol=1e-5)


def test_speed(serve: Callable[..., Caller]) -> None:
    caller = serve(embedding_dim=1024)
    texts = [f"the quick brown fox number {i} jumps over {i * 7} lazy dogs" for i in range(256)]
    caller.post(EMBEDDINGS, input=texts, encoding_format="bytes_only")
    start = time.perf_counter()
    reply = caller.post(EMBEDDINGS, input=texts, encoding_format="bytes_only")
    assert time.perf_counter() - start < 1
    assert len(reply.content) == 256 * 1024 * 4


DOCUMENTS = ["The stock market fell today.", "A cat purrs.", "Paris is the capital of France."]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank(ask: Caller, path: str) -> None:
    body = {"query": "What is the capital of France?", "documents": DOCUMENTS, "return_documents": False}
    reply = ask.json(path, **body)
    assert [result["index"] for result in reply["results"]] == [2, 0, 1]
    scores = [result["relevance_score"] for result in reply["results"]]
    assert 1 >= scores[0] > 0.5 > scores[1] > scores[2] > 0
    assert [result["document"]["text"] for result in reply["results"]] == [DOCUMENTS[i] for i in (2, 0, 1)]
    assert [len(ask.json(path, **body, top_n=top_n)["results"]) for top_n in (1, 0, 9)] == [1, 3, 3]
    raw = ask.json(path, **body, use_activation=False)["results"][0]["relevance_score"]
    assert math.isclose(1 / (1 + math.exp(-raw)), scores[0], rel_tol=1e-5)


def test_other_documents(ask: Caller) -> None:
    assert ask.json("/rerank", query="a", documents="a")["results"][0]["index"] == 0
    parts = {"content": [{"type": "text", "text": "a"}]}
    (result,) = ask.json("/rerank", query="a", documents=[parts])["results"]
    assert result["document"] == {"text": None, "multi_modal": parts["content"]}
    assert ask.json("/rerank", query="", documents=["", "a"])["results"][0]["index"] == 0
    long = ask.json("/rerank", query="cat", documents=["dog " * 50 + "cat"], max_tokens_per_doc=5)
    assert long["usage"]["total_tokens"] == 6


def test_ties_keep_their_order() -> None:
    assert likeness("a b", "a b") == 1
    assert likeness("a", "") == likeness("", "") == 0
    assert likeness("red cats", "a red cat") > likeness("red cats", "a red dog")


def test_an_embedding_server_reranks_by_cosine(serve: Callable[..., Caller]) -> None:
    caller = serve(tasks="embed")
    (score,) = caller.json("/score", text_1="A cat sat.", text_2="A cat sits.")["data"]
    assert math.isclose(score["score"], cosine("A cat sat.", "A cat sits.", SPACE), rel_tol=1e-5)


@pytest.mark.parametrize(
    "names", [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
)
def test_score(ask: Caller, names: tuple[str, str]) -> None:
    def scores(left: Any, right: Any) -> list[float]:
        body = dict(zip(names, (left, right), strict=True))
        return [item["score"] for item in ask.json("/v1/score", **body)["data"]]

    one, other = scores("a", ["a", "b"])
    assert one > 0.9 > 0.1 > other
    assert scores(["a", "b"], ["a", "b"]) == [one, one]
    assert scores("a", "b") == [other]


def test_classify(serve: Callable[..., Caller]) -> None:
    caller = serve(labels=["positive", "negative"])
    reply = caller.json("/classify", input=["a positive review", "a negative one"])
    assert [item["label"] for item in reply["data"]] == ["positive", "negative"]
    assert all(math.isclose(sum(item["probs"]), 1, abs_tol=1e-5) for item in reply["data"])
    raw = caller.json("/classify", input="a positive review", use_activation=False)["data"][0]["probs"]
    assert raw[0] > 2
    assert caller.json("/classify", messages=[{"role": "user", "content": "positive"}])["data"][0]["label"]
    (single,) = serve(labels=["only"]).json("/classify", input="x")["data"]
    assert (single["label"], single["num_classes"]) == ("only", 1)
    assert 0 < single["probs"][0] < 1


def test_pooling(ask: Caller) -> None:
    embedded = ask.json("/pooling", input="Hello world")["data"][0]["data"]
    assert embedded == ask.json(EMBEDDINGS, input="Hello world")["data"][0]["embedding"]
    tokens = ask.json("/pooling", input="Hello world", task="token_embed")["data"][0]["data"]
    assert [len(row) for row in tokens] == [384] * 4
    coded = ask.json("/pooling", input="Hello world", task="token_embed", encoding_format="base64")
    assert len(base64.b64decode(coded["data"][0]["data"])) == 4 * 384 * 4
    assert len(ask.json("/pooling", input="Hello", task="classify")["data"][0]["data"]) == 2
    binary = ask.post("/pooling", input="Hello", encoding_format="bytes", embed_dtype="float16")
    assert json.loads(binary.headers["metadata"])["id"].startswith("pooling-")


@pytest.mark.parametrize(("task", "shape"), [("token_embed", [4, 384]), ("classify", [2]), ("embed", [384])])
def test_bytes_have_a_shape(ask: Caller, task: str, shape: list[int]) -> None:
    whole = ask.json("/pooling", input="Hello world", task=task)["data"][0]["data"]
    binary = ask.post("/pooling", input="Hello world", task=task, encoding_format="bytes")
    (item,) = json.loads(binary.headers["metadata"])["data"]
    assert (item["shape"], item["start"], item["end"]) == (shape, 0, len(binary.content))
    flat = [number for row in whole for number in row] if len(shape) == 2 else whole
    assert array("f", binary.content).tolist() == flat


def test_a_vector_for_each_token(serve: Callable[..., Caller]) -> None:
    tokens = serve(tasks="token_embed", version="0.33.0")
    (item,) = tokens.json(EMBEDDINGS, input="Hello world")["data"]
    assert item["embedding"] == tokens.json("/pooling", input="Hello world")["data"][0]["data"]
    assert item.keys() == {"index", "object", "embedding"}
    chunked = tokens.json(EMBEDDINGS, input="Hello world", late_chunking_params={"chunk_size": 3})
    (item,) = chunked["data"]
    assert [len(row) for row in item["embedding"]] == [384] * 2
    assert item["late_chunking"] == {
        "chunk_size": 3,
        "input_tokens": 4,
        "chunks": [
            {"token_range": [0, 3], "char_range": [0, 9]},
            {"token_range": [3, 4], "char_range": [9, 11]},
        ],
    }
    for wrong in (
        {"encoding_format": "bytes"},
        {"dimensions": 3},
        {"late_chunking_params": {"chunk_size": 0}},
        {"late_chunking_params": {"chunk_size": 2, "overlap": 1}},
        {"late_chunking_params": {"chunk_size": 2}, "truncate_prompt_tokens": 2},
        {"late_chunking_params": {"chunk_size": 2}, "input": [1, 2]},
    ):
        assert tokens.post(EMBEDDINGS, **{"input": "Hello", **wrong}).status_code == 400, wrong
    older = serve(tasks="token_embed", version="0.32.0")
    assert older.post(EMBEDDINGS, input="Hello").json()["error"] == {
        "message": "The model does not support Embeddings API",
        "type": "NotImplementedError",
        "param": None,
        "code": 501,
    }
    assert older.json("/pooling", input="Hello")["data"][0]["data"]
    assert older.error("/pooling", input="x", task="embed")["message"] == (
        "Try switching the model's pooling_task via --pooler-config.task embed. (parameter=task)"
    )


def test_pooling_on_servers_of_one_task(serve: Callable[..., Caller]) -> None:
    embed = serve(tasks="embed")
    assert embed.error("/pooling", input="x", task="classify")["message"] == (
        "Unsupported task: 'classify' Supported tasks: ['embed', 'token_embed'] (parameter=task)"
    )
    assert embed.error("/pooling", input="x", task="token_embed")["message"] == (
        "Try switching the model's pooling_task via --pooler-config.task token_embed. (parameter=task)"
    )
    assert len(serve(tasks="rerank", labels=["x"]).json("/pooling", input="x")["data"][0]["data"]) == 1
