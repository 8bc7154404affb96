"""`/pooling` and `/classify`: vectors, vectors of tokens, and classes."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.errors import refused
from ..http.options import Options
from ..http.replies import Json, now, read_json, request_id
from ..requests.pooling import PoolingRequest, Text, read_pooling, texts_of
from .embeddings import space_of, vectors_reply
from .tokens import encode, token_text
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
    id = request_id(request, "pooling", body.request_id)
    space = space_of(body, options)
    if task == "embed":
        return vectors_reply(texts, space, body, options, id, "pooling", "data")
    data = [
        {"index": i, "object": "pooling", "data": _pooled(text, task, space, body, options)}
        for i, text in enumerate(texts)
    ]
    return _listed(id, data, texts, options)


async def classify(request: Request) -> Response:
    """Answer a classification request."""
    options: Options = request.app.state.options
    body = read_pooling(await read_json(request), options, "classify")
    texts = texts_of(body, options)
    data = []
    for i, text in enumerate(texts):
        probs = _probs(text.text, body, options)
        label = options.labels[probs.index(max(probs))]
        data.append({"index": i, "label": label, "probs": probs, "num_classes": len(probs)})
    return _listed(request_id(request, "classify", body.request_id), data, texts, options)


def _task(task: str | None, options: Options) -> str:
    """The pooling task of a request; a server that does everything lets it choose."""
    supported: list[str] = [*(_EMBED if "embed" in options.tasks else ())]
    supported += _CLASSIFY if {"classify", "rerank"} & set(options.tasks) else ()
    if task is None:
        return "embed" if "embed" in supported else "classify"
    if task not in supported:
        raise refused(f"Unsupported task: {task!r} Supported tasks: {supported}", "task")
    if len(options.tasks) == 1 and task.startswith("token_"):
        raise refused(f"Try switching the model's pooling_task via --pooler-config.task {task}.", "task")
    return task


def _pooled(text: Text, task: str, space: Space, body: PoolingRequest, options: Options) -> Any:
    if task in _CLASSIFY:
        probs = _probs(text.text, body, options)
        return probs if task == "classify" else [probs] * max(text.tokens, 1)
    vectors = [vector(token_text(token), space) for token in encode(text.text)]
    if body.encoding_format == "float":
        return [each.tolist() for each in vectors]
    packed = b"".join(pack(each, body.embed_dtype, body.endianness) for each in vectors)
    return base64.b64encode(packed).decode()


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
