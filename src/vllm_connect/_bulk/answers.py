"""The part of a reply that belongs in one cell of a table, by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..types import (
        ChatCompletion,
        ClassificationResponse,
        Completion,
        EmbeddingResponse,
        RerankResponse,
        ScoreResponse,
        TokenizeResponse,
    )

T = TypeVar("T")


def _only(items: Sequence[T]) -> T:
    """Return the one that there is: which of several a caller wants is not for us to say."""
    if len(items) != 1:
        raise ValueError(f"the reply has {len(items)} answers, not one: say with read= what to keep of it")
    return items[0]


def _chat(reply: ChatCompletion) -> str | None:
    return _only(reply.choices).message.content


def _completion(reply: Completion) -> str:
    return _only(reply.choices).text


def _embedding(reply: EmbeddingResponse) -> list[float]:
    return list(_only(reply.data).embedding)


def _ranking(reply: RerankResponse) -> list[dict[str, float]]:
    return [{"index": each.index, "relevance_score": each.relevance_score} for each in reply.results]


def _scores(reply: ScoreResponse) -> list[float]:
    return [each.score for each in reply.data]


def _label(reply: ClassificationResponse) -> str | None:
    return _only(reply.data).label


def _tokens(reply: TokenizeResponse) -> list[int]:
    return reply.tokens


_READERS: dict[str, Callable[..., object]] = {
    "chat": _chat,
    "completions": _completion,
    "embeddings": _embedding,
    "rerank": _ranking,
    "score": _scores,
    "classify": _label,
    "tokenize": _tokens,
}


def answer_reader(operation: object) -> Callable[..., object]:
    """Return what reads an answer from a reply; of an unknown operation, the reply is the answer."""
    return _READERS.get(operation, _itself) if isinstance(operation, str) else _itself


def _itself(reply: object) -> object:
    return reply
