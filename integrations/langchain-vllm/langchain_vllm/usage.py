"""Token counts out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import UsageMetadata

from .wire import Json


def usage_metadata(usage: Any) -> UsageMetadata:
    """vLLM's usage as LangChain's."""
    given = usage.prompt_tokens or 0
    made = usage.completion_tokens or 0
    metadata: Json = {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": usage.total_tokens or given + made,
    }
    if (details := usage.prompt_tokens_details) is not None:
        counts = {
            "cache_read": details.cached_tokens,
            "cache_creation": getattr(details, "created_cache_tokens", None),
            "audio": details.audio_tokens,
        }
        if known := {name: count for name, count in counts.items() if count is not None}:
            metadata["input_token_details"] = known
    if (details := usage.completion_tokens_details) is not None and details.reasoning_tokens is not None:
        metadata["output_token_details"] = {"reasoning": details.reasoning_tokens}
    return cast(UsageMetadata, metadata)


def usage_since(previous: UsageMetadata | None, current: UsageMetadata) -> UsageMetadata | None:
    """Return what a chunk adds to counts that run on: LangChain sums the chunks' counts up.

    Returns:
        The difference; None when there is none.
    """
    if previous is None:
        return current
    if previous == current:
        return None
    added: Json = {}
    for name, value in current.items():
        before: Any = previous.get(name)
        if isinstance(value, dict):
            before = before or {}
            added[name] = {key: count - before.get(key, 0) for key, count in value.items()}
        elif isinstance(value, int):
            added[name] = value - (before or 0)
    return cast(UsageMetadata, added)


def sums(first: Mapping[str, Any], second: Mapping[str, Any]) -> Json:
    """Two token counts, with their details, as one."""
    total: Json = {}
    for name in dict.fromkeys((*first, *second)):
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            total[name] = sums(one, other)
        elif isinstance(one, int) and isinstance(other, int):
            total[name] = one + other
        else:
            total[name] = one if other is None else other
    return total
