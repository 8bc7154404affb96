"""`/pooling` and `/classify`: vectors, vectors of tokens, and classes."""

from __future__ import annotations

import base64
import math
import struct
from array import array
from itertools import accumulate
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of
from ..http.errors import SimError, refused
from ..http.options import Options
from ..http.replies import Json, now, read_json, request_id
from ..requests.pooling import PoolingRequest, Text, check_late_chunking, read_pooling, texts_of
from .embeddings import bytes_reply, space_of, vectors_reply
from .tokens import encode, pieces, token_text
from .usage import pooling_usage
from .vectors import Space, cosine, pack, vector, words

_EMBED = ("embed", "token_embed")
_CLASSIFY = ("token_classify", "classify")


async def pooling(request: Request) -> Response:
    """Answer a pooling request."""
    options: Options = request.app.state.options
    body = read_pooling(await read_json(request), options, "pooling")
    if body.dimensions is not None:
        raise refused("dimensions is currently not supported", "dimensions")
    task = _task(body.task, options)
    texts = texts_of(body, options)
    await engine_of(request).admit()
    id = request_id(request, "pooling", body.request_id)
    space = space_of(body, options)
    if task == "embed":
        return vectors_reply(texts, space, body, options, id, "pooling", "data")
    tables = [_pooled(text, task, space, body, options) for text in texts]
    if body.encoding_format in ("bytes", "bytes_only"):
        parts = [_packed(table, body) for table in tables]
        tokens = sum(text.tokens for text in texts)
        return bytes_reply(parts, [_shape(table) for table in tables], body, options, id, tokens)
    coded = body.encoding_format == "base64"
    data = [
        {"index": i, "object": "pooling", "data": _coded(table, body) if coded else table}
        for i, table in enumerate(tables)
    ]
    return _listed(id, data, texts, options)


async def token_embeddings(request: Request) -> Response:
    """Answer an embeddings request with a vector for each token, or for each chunk."""
    options: Options = request.app.state.options
    if options.number < (0, 33):
        raise SimError(501, "The model does not support Embeddings API")
    body = read_pooling(await read_json(request), options, "token_embeddings")
    chunking = body.late_chunking_params
    if chunking is not None:
        check_late_chunking(body)
    texts = texts_of(body, options)
    space = space_of(body, options)
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        table = _pooled(text, "token_embed", space, body, options)
        item: dict[str, Any] = {"index": index, "object": "embedding", "embedding": table}
        if chunking is not None:
            size = chunking.chunk_size
            item["embedding"] = [_mean(table[i : i + size]) for i in range(0, len(table), size)]
            item["late_chunking"] = _chunks(text.text, size)
        data.append(item)
    return _listed(request_id(request, "embd", body.request_id), data, texts, options)


def _mean(rows: list[list[float]]) -> list[float]:
    """The mean of vectors, of length 1."""
    mean = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    length = math.hypot(*mean) or 1.0
    return [single(value / length) for value in mean]


def _chunks(text: str, size: int) -> dict[str, Any]:
    """The places of the chunks in a text."""
    ends = list(accumulate(map(len, pieces(text))))
    chunks = []
    for start in range(0, len(ends), size):
        end = min(start + size, len(ends))
        begins = ends[start - 1] if start else 0
        chunks.append({"token_range": [start, end], "char_range": [begins, ends[end - 1]]})
    return {"chunk_size": size, "input_tokens": len(ends), "chunks": chunks}


def _shape(table: Any) -> list[int]:
    return [len(table), len(table[0])] if isinstance(table[0], list) else [len(table)]


def _packed(table: Any, body: PoolingRequest) -> bytes:
    rows = table if isinstance(table[0], list) else [table]
    return b"".join(pack(array("f", row), body.embed_dtype, body.endianness) for row in rows)


def _coded(table: Any, body: PoolingRequest) -> str:
    return base64.b64encode(_packed(table, body)).decode()


async def classify(request: Request) -> Response:
    """Answer a classification request."""
    options: Options = request.app.state.options
    body = read_pooling(await read_json(request), options, "classify")
    texts = texts_of(body, options)
    await engine_of(request).admit()
    data = []
    for i, text in enumerate(texts):
        probs = _probs(text.text, body, options)
        label = options.labels[probs.index(max(probs))]
        data.append({"index": i, "label": label, "probs": probs, "num_classes": len(probs)})
    return _listed(request_id(request, "classify", body.request_id), data, texts, options)


def _task(task: str | None, options: Options) -> str:
    """The pooling task of a request; a server that does everything lets it choose."""
    supported: list[str] = [*(_EMBED if {"embed", "token_embed"} & set(options.tasks) else ())]
    supported += _CLASSIFY if {"classify", "rerank"} & set(options.tasks) else ()
    own = next(name for name in ("token_embed", "embed", "classify") if name in {*options.tasks, "classify"})
    task = task or own
    if task not in supported:
        raise refused(f"Unsupported task: {task!r} Supported tasks: {supported}", "task")
    if len(options.tasks) == 1 and task != own:
        raise refused(f"Try switching the model's pooling_task via --pooler-config.task {task}.", "task")
    return task


def _pooled(text: Text, task: str, space: Space, body: PoolingRequest, options: Options) -> Any:
    if task in _CLASSIFY:
        probs = _probs(text.text, body, options)
        return probs if task == "classify" else [probs] * max(text.tokens, 1)
    return [vector(token_text(token), space).tolist() for token in encode(text.text)]


def _probs(text: str, body: PoolingRequest, options: Options) -> list[float]:
    """Return the probability of each class: the higher, the more its name resembles the text."""
    space = Space(options.embedding_dim)
    told = set(words(text))
    logits = [4 * cosine(text, label, space) + 3 * (told >= set(words(label))) for label in options.labels]
    if body.use_activation is False:
        return [single(logit) for logit in logits]
    if len(logits) == 1:
        return [single(1 / (1 + math.exp(-logits[0])))]
    powers = [math.exp(logit) for logit in logits]
    return [single(power / sum(powers)) for power in powers]


def single(value: float) -> float:
    """The nearest number in single precision, as models compute it."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


def _listed(id: str, data: list[dict[str, Any]], texts: list[Text], options: Options) -> Response:
    usage = pooling_usage(sum(text.tokens for text in texts))
    head = {"id": id, "object": "list", "created": now(), "model": options.models[0]}
    return Json({**head, "data": data, "usage": usage})
