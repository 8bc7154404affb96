"""Endings of answers: vLLM's `finish_reason`, and beside it the word that is the same for all providers.

langchain-core 1.8.4 reads both from `response_metadata`, and leaves it to a provider to say what its own
words mean. Its `finish_state` is for turns that a provider suspends and goes on with when it is asked again;
vLLM has none, so that it is never set.
"""

from __future__ import annotations

from .wire import Json

_NORMALIZED = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
    "error": "error",
}


def finish_fields(finish_reason: str | None, *, calls: bool, refused: bool) -> Json:
    """The fields of `response_metadata` that say how an answer ended.

    Args:
        finish_reason: the server's; None if it said none.
        calls: whether there are tool calls that can be run. Where a tool was forced, vLLM says "stop".
        refused: whether there is a refusal.

    Returns:
        ``finish_reason``, and ``normalized_finish_reason``: "stop", "length", "tool_call", "content_filter",
        "refusal", "error", or "other" for vLLM's "abort" and "repetition".
    """
    fields: Json = {"finish_reason": finish_reason}
    if finish_reason is None:
        return fields
    normalized = _NORMALIZED.get(finish_reason, "other")
    if refused:
        normalized = "refusal"
    elif normalized == "stop" and calls:
        normalized = "tool_call"
    return {**fields, "normalized_finish_reason": normalized}
