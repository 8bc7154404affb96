"""`/rerank` and `/score`: how well documents fit a query, by the words they share."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from ..http.engine import engine_of
from ..http.errors import refused, validated
from ..http.options import Options
from ..http.replies import Json, now, read_json, request_id
from ..requests.pooling import PoolingBase, check_form, check_model, truncated
from ..requests.sampling import check_cache_salt, check_trusted
from .grammar import text_of
from .pooling import single
from .tokens import decode, encode
from .usage import pooling_usage
from .vectors import Space, cosine, words


class ScoreMultiModalParam(TypedDict):
    """A query or document made of content parts."""

    content: list[dict[str, Any]]


ScoreInput = str | ScoreMultiModalParam

# The names that the two sides of a score request may have.
_SIDES = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))


class _Scoring(PoolingBase):
    use_activation: bool | None = None
    max_tokens_per_query: int = 0
    max_tokens_per_doc: int = 0
    instruction: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class RerankRequest(_Scoring):
    """The body of `/rerank`."""

    query: ScoreInput
    documents: ScoreInput | list[ScoreInput]
    top_n: int = Field(0, ge=0)


class _QueriesDocuments(_Scoring):
    queries: ScoreInput | list[ScoreInput]
    documents: ScoreInput | list[ScoreInput]


class _QueriesItems(_Scoring):
    queries: ScoreInput | list[ScoreInput]
    items: ScoreInput | list[ScoreInput]


class _Data(_Scoring):
    data_1: ScoreInput | list[ScoreInput]
    data_2: ScoreInput | list[ScoreInput]


class _Text(_Scoring):
    text_1: ScoreInput | list[ScoreInput]
    text_2: ScoreInput | list[ScoreInput]


_FORMS: TypeAdapter[Any] = TypeAdapter(_QueriesDocuments | _QueriesItems | _Data | _Text)


async def rerank(request: Request) -> Response:
    """Answer a rerank request: the documents, best first."""
    options: Options = request.app.state.options
    data = await read_json(request)
    _check_salt(data)
    body = validated(RerankRequest, data)
    check_model(body.model, options)
    check_trusted(data)
    documents = body.documents if isinstance(body.documents, list) else [body.documents]
    scores, tokens = _scores([body.query], documents, body, options)
    await engine_of(request).admit()
    ranked = sorted(range(len(scores)), key=lambda i: -scores[i])
    results = [
        {"index": i, "document": _document(documents[i]), "relevance_score": scores[i]}
        for i in ranked[: body.top_n or None]
    ]
    return Json(
        {
            "id": request_id(request, "score", body.request_id),
            "model": options.models[0],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "results": results,
        }
    )


async def score(request: Request) -> Response:
    """Answer a score request: one number for each pair, in the order of the pairs."""
    options: Options = request.app.state.options
    data = await read_json(request)
    _check_salt(data)
    check_form(_FORMS, data)
    body = validated(_Scoring, data)
    check_model(body.model, options)
    check_trusted(data)
    given = next([data[name] for name in names] for names in _SIDES if all(name in data for name in names))
    left, right = (side if isinstance(side, list) else [side] for side in given)
    scores, tokens = _scores(left, right, body, options)
    await engine_of(request).admit()
    return Json(
        {
            "id": request_id(request, "score", body.request_id),
            "object": "list",
            "created": now(),
            "model": options.models[0],
            "data": [{"index": i, "object": "score", "score": value} for i, value in enumerate(scores)],
            "usage": pooling_usage(tokens),
        }
    )


def _check_salt(data: Any) -> None:
    if isinstance(data, dict) and data.get("cache_salt") is not None:
        check_cache_salt(data["cache_salt"])


def _document(document: ScoreInput) -> dict[str, Any]:
    if isinstance(document, str):
        return {"text": document, "multi_modal": None}
    return {"text": None, "multi_modal": document["content"]}


def _scores(
    left: list[ScoreInput], right: list[ScoreInput], body: _Scoring, options: Options
) -> tuple[list[float], int]:
    """The score of each pair, and how many tokens they have together."""
    for name, texts in (("text", left), ("text_pair", right)):
        if not texts:
            raise refused(f"At least one {name} element must be given")
    for name in ("max_tokens_per_query", "max_tokens_per_doc"):
        if getattr(body, name) < 0:
            raise refused(f"{name} must be a non-negative integer")
    if len(left) not in (1, len(right)):
        raise refused("Input lengths must be either 1:1, 1:N or N:N")
    for side in (*left, *right):
        if not isinstance(side, str) and not options.multimodal:
            raise refused("MultiModalParam is not supported for SimForSequenceClassification")
    if body.truncate_prompt_tokens == 0:
        raise refused("The decoder prompt cannot be empty")
    if len(left) == 1:
        left = left * len(right)
    scores, total = [], 0
    for query, document in zip(left, right, strict=True):
        asked, told, count = _pair(_plain(query), _plain(document), body, options)
        total += count
        scores.append(_score(asked, told, body, options))
    return scores, total


def _plain(side: ScoreInput) -> str:
    return side if isinstance(side, str) else text_of(dict(side))


def _pair(query: str, document: str, body: _Scoring, options: Options) -> tuple[str, str, int]:
    """Both texts, cut if that was asked for, and how many tokens they have together."""
    asked = encode(query)[: body.max_tokens_per_query or None]
    told = encode(document)[: body.max_tokens_per_doc or None]
    both = truncated(asked + told, body, options)
    asked, told = both[: len(asked)], both[len(asked) :]
    return decode(asked), decode(told), len(both)


def _score(query: str, document: str, body: _Scoring, options: Options) -> float:
    if "embed" in options.tasks and not {"rerank", "classify"} & set(options.tasks):
        return single(cosine(query, document, Space(options.embedding_dim)))
    likely = 0.01 + 0.98 * likeness(query, document)
    if body.use_activation is False:
        return single(math.log(likely / (1 - likely)))
    return single(likely)


def likeness(query: str, document: str) -> float:
    """Return the share of words that two texts have in common, 0 to 1; long words count more."""
    asked, told = set(words(query)), set(words(document))
    weight = sum(map(len, asked)) * sum(map(len, told))
    return sum(map(len, asked & told)) / math.sqrt(weight) if weight else 0.0
