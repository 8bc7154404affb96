"""Answers of rerank."""

from __future__ import annotations

from typing import Any

from openai import BaseModel

from .usage import CompletionUsage


class RerankResult(BaseModel):
    """One document's place.

    Attributes:
        index: its position in the request's `documents`.
        relevance_score: higher is more relevant; in [0, 1] unless `use_activation=False`.
        document: the request's own document, with `return_documents=True`.
    """

    index: int
    relevance_score: float
    document: str | dict[str, Any] | None = None


class RerankResponse(BaseModel):
    """Documents by falling relevance; equal scores in the order of the request.

    Attributes:
        model: the name that was requested.
        usage: None when the server counted nothing.
    """

    id: str | None = None
    model: str | None = None
    results: list[RerankResult]
    usage: CompletionUsage | None = None
