"""`/v1/embeddings`: texts as vectors, in JSON, in base64 or in bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of
from ..http.errors import refused
from ..http.options import Options
from ..http.replies import Json, Parts, now, paced, read_json, request_id
from ..requests.pooling import PoolingRequest, Text, read_pooling, texts_of
from .usage import pooling_usage
from .vectors import Space, as_base64, as_bytes, as_json


async def embeddings(request: Request) -> Response:
    """Answer an embeddings request."""
    options: Options = request.app.state.options
    body = read_pooling(await read_json(request), options, "embeddings")
    space = space_of(body, options)
    texts = texts_of(body, options)
    id = request_id(request, "embd", body.request_id)
    await engine_of(request).admit()
    return vectors_reply(texts, space, body, options, id, "embedding", "embedding")


def space_of(body: PoolingRequest, options: Options) -> Space:
    """The space of the vectors that a request wants.

    Raises:
        SimError: a 400: the model cannot shorten its vectors, or not to this.
    """
    dimensions = body.dimensions
    if dimensions is not None and not options.matryoshka:
        raise refused(
            f"Model {options.models[0]!r} does not support Matryoshka embeddings; dimensions must be unset "
            f"(received dimensions={dimensions})."
        )
    if dimensions is not None and not 1 <= dimensions <= options.embedding_dim:
        raise refused(
            f"Model {options.models[0]!r} only supports dimensions in range [1, {options.embedding_dim}], "
            f"got {dimensions}."
        )
    return Space(options.embedding_dim, body.use_activation is not False, dimensions)


def vectors_reply(
    texts: Sequence[Text],
    space: Space,
    body: PoolingRequest,
    options: Options,
    id: str,
    object: str,
    field: str,
) -> Response:
    """Tell vectors in the format that the request wants.

    Args:
        texts: the texts.
        space: the space of the vectors.
        body: the request.
        options: the server's options.
        id: the answer's id.
        object: what each item of the answer is called.
        field: the name of the field with its vector.
    """
    tokens = sum(text.tokens for text in texts)
    coding = (body.embed_dtype, body.endianness)
    if body.encoding_format in ("bytes", "bytes_only"):
        parts = [as_bytes(text.text, space, *coding) for text in texts]
        shapes = [[space.shortened or space.dimensions]] * len(parts)
        return bytes_reply(parts, shapes, body, options, id, tokens)
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        told: Any = as_json(text.text, space)
        if body.encoding_format == "base64":
            told = as_base64(text.text, space, *coding)
        data.append({"index": index, "object": object, field: told})
    return Json(
        {
            "id": id,
            "object": "list",
            "created": now(),
            "model": options.models[0],
            "data": data,
            "usage": pooling_usage(tokens),
        }
    )


def bytes_reply(
    parts: Sequence[bytes],
    shapes: Sequence[list[int]],
    body: PoolingRequest,
    options: Options,
    id: str,
    tokens: int,
) -> Response:
    """Tell numbers as bytes, one input after another.

    Args:
        parts: the bytes of each input.
        shapes: the shapes of these.
        body: the request.
        options: the server's options.
        id: the answer's id.
        tokens: how many tokens all inputs have.
    """
    if body.encoding_format == "bytes_only":
        return Parts(paced(parts), None)
    items, start = [], 0
    coding = {"embed_dtype": body.embed_dtype, "endianness": body.endianness}
    for index, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
        end = start + len(part)
        items.append({"index": index, **coding, "start": start, "end": end, "shape": shape})
        start = end
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    told = {"id": id, "created": now(), "model": options.models[0], "data": items, "usage": usage}
    return Parts(paced(parts), {"metadata": json.dumps(told)})
