"""Endings of answers, in words for whoever waits for them.

An answer may be cut without an error: `finish_reason` is all that tells. And it may be empty although many
tokens were paid for, because all of them were reasoning.
"""

from __future__ import annotations

_ENDS = ("stop", "tool_calls", "function_call")

_CUTS = {
    None: "the server did not say that it ended: finish_reason is missing",
    "length": "it was cut off by max_tokens or by the model's context: raise max_tokens",
    "abort": "the server aborted it, as it does when it is shut down or paused: ask again",
    "content_filter": "a filter between the server and you cut it off",
    "repetition": "the server ended it because the model repeated itself",
    "error": "the server failed while it was written: ask again",
}


def describe_cut(finish_reason: str | None, stop_reason: int | str | None = None) -> str | None:
    """Say why an answer is not whole.

    Args:
        finish_reason: The choice's.
        stop_reason: The choice's, where a stop string or token ended it.

    Returns:
        A clause about the answer and what to do; None for an end that the model itself chose.
    """
    if finish_reason in _ENDS:
        return f"it was cut off by the stop string {stop_reason!r}" if isinstance(stop_reason, str) else None
    return _CUTS.get(finish_reason, f"it ended with finish_reason {finish_reason!r}")


def describe_empty(finish_reason: str | None, reasoning: bool) -> str | None:
    """Say why an answer has neither text nor tool calls.

    Args:
        finish_reason: The choice's.
        reasoning: Whether there was reasoning.

    Returns:
        A sentence that names the cause and the remedy; None if the model ended without a word by itself.
    """
    if reasoning and finish_reason == "length":
        return (
            "The answer is empty: max_tokens ended it while the model was still thinking. "
            "Raise max_tokens, or limit or switch off the thinking."
        )
    if reasoning and finish_reason in _ENDS:
        return (
            "The answer is empty: all of it came as reasoning. Either the model ended after thinking, or the "
            "server's --reasoning-parser took the answer for thinking, as it does in vLLM before 0.9 where "
            "thinking is switched off, and where the parser is not the model's."
        )
    if finish_reason in _ENDS:
        return None
    return f"The answer is empty: {describe_cut(finish_reason)}."
