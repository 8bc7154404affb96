"""`/generative_scoring`: how likely some tokens are to be next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import refused, validated
from ..http.replies import Json, now, read_json, request_id
from ..requests.sampling import check_cache_salt
from .logprobs import logprob
from .tokens import VOCABULARY_SIZE, decode, encode
from .usage import pooling_usage
from .vectors import Space, cosine

_INT64 = 2**63


class _Scoring(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str | None = None
    query: str | list[int]
    items: list[str] | list[list[int]]
    label_token_ids: list[int]
    apply_softmax: bool = True
    item_first: bool = False
    add_special_tokens: bool = True
    cache_salt: str | None = None
    priority: int = Field(0, ge=-_INT64, le=_INT64 - 1)
    request_id: str = ""


async def generative_scoring(request: Request) -> Response:
    """Answer with the probability of the first label after each item."""
    data = await read_json(request)
    if isinstance(data, dict) and data.get("cache_salt") is not None:
        check_cache_salt(data["cache_salt"])
    body = validated(_Scoring, data)
    options = served(request, body.model)
    for token in body.label_token_ids:
        if not 0 <= token < VOCABULARY_SIZE:
            raise refused(
                f"label_token_id {token} is out of vocabulary range [0, {VOCABULARY_SIZE}). Please provide "
                "valid token IDs."
            )
    if not body.label_token_ids:
        raise refused("label_token_ids must contain at least one token ID.")
    if not body.items:
        raise refused("items must contain at least one item.")
    id = request_id(request, "generative-scoring", body.request_id)
    query = encode(body.query) if isinstance(body.query, str) else body.query
    space = Space(options.embedding_dim)
    scores: list[dict[str, Any]] = []
    prompt_tokens = 0
    items: Sequence[str | list[int]] = body.items
    await engine_of(request).admit()
    for i, item in enumerate(items):
        tokens = encode(item) if isinstance(item, str) else item
        prompt = (tokens + query if body.item_first else query + tokens)[: options.max_model_len - 1]
        if not prompt:
            raise refused("The decoder prompt cannot be empty")
        prompt_tokens += len(prompt)
        score = _probability(prompt, body.label_token_ids, body.apply_softmax, space)
        scores.append({"index": i, "object": "score", "score": score})
    usage = {
        **pooling_usage(prompt_tokens),
        "total_tokens": prompt_tokens + len(scores),
        "completion_tokens": len(scores),
    }
    head: dict[str, Any] = {"id": id, "object": "list", "created": now(), "model": options.models[0]}
    return Json({**head, "data": scores, "usage": usage})


def _probability(prompt: list[int], labels: list[int], among_labels: bool, space: Space) -> float:
    """The probability of the first label: the more it resembles the prompt, the likelier."""
    text = decode(prompt)
    likely = {label: math.exp(logprob(label) + 2 * cosine(text, decode([label]), space)) for label in labels}
    return likely[labels[0]] / (sum(likely.values()) if among_labels else sum(likely.values()) + 1)
