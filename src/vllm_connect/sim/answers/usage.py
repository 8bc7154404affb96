"""The `usage` of an answer; a stream leaves out what is null."""

from __future__ import annotations

from typing import Any

from .turns import Turn


def pooling_usage(prompt_tokens: int) -> dict[str, Any]:
    """Of a request that generates nothing."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


def brief_usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The three numbers alone."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
    }


def chat_usage(turn: Turn, *, details: bool, reasoning: bool, media: int | None) -> dict[str, Any]:
    """Of a chat completion."""
    prompt = {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": media} if details else None
    thought = {"reasoning_tokens": turn.reasoning_tokens} if reasoning else None
    return {
        **brief_usage(len(turn.prompt_tokens), turn.completion_tokens),
        "prompt_tokens_details": prompt,
        "completion_tokens_details": thought,
    }


def without_nulls(usage: dict[str, Any]) -> dict[str, Any]:
    """The same, as a stream tells it."""
    return {
        key: without_nulls(value) if isinstance(value, dict) else value
        for key, value in usage.items()
        if value is not None
    }
