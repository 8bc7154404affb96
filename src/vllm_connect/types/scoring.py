"""Answers of score, classify and pooling."""

from __future__ import annotations

from typing import Any

from openai import BaseModel

from .usage import CompletionUsage


class Score(BaseModel):
    """The similarity of one pair."""

    index: int
    object: str = "score"
    score: float


class ScoreResponse(BaseModel):
    """One score per pair, in the order of the request."""

    id: str | None = None
    object: str = "list"
    created: int | None = None
    model: str | None = None
    data: list[Score]
    usage: CompletionUsage | None = None


class Classification(BaseModel):
    """The classes of one input: the likeliest label and all probabilities."""

    index: int
    label: str | None = None
    probs: list[float]
    num_classes: int


class ClassificationResponse(BaseModel):
    """One classification per input, in the order of the request."""

    id: str | None = None
    object: str = "list"
    created: int | None = None
    model: str | None = None
    data: list[Classification]
    usage: CompletionUsage | None = None


class Pooling(BaseModel):
    """The pooled output of one input.

    Attributes:
        data: a vector, a vector per token, or base64 text, by `task` and `encoding_format`.
    """

    index: int
    object: str = "pooling"
    data: Any


class PoolingResponse(BaseModel):
    """One output per input, in the order of the request."""

    id: str | None = None
    object: str = "list"
    created: int | None = None
    model: str | None = None
    data: list[Pooling]
    usage: CompletionUsage | None = None
