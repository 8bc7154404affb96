"""The conversation that a request belongs to, so that it can stay with its server.

A caller's `session_id` goes to vLLM in the body (0.32 and later) and to routers as `X-Session-ID`. Without
one, the beginning of a conversation tells it from others: what precedes its first answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from openai import Omit

from .._wire.body import encode
from .._wire.decoding import JsonObject

SESSION_HEADER = "X-Session-ID"
RANK_HEADER = "X-data-parallel-rank"
ECHOED_HEADER = "x-session-token"  # of llm-d, which wants back with the next request what it answers with
NAMES_OF_HOME = frozenset({"session_id", "data_parallel_rank"})
"""The parameters that say where a request is at home; one of its headers may, too."""
_OPENING = 2048  # characters of a prompt: enough to tell it from another, and to be the same in its next turn


def affinity(
    operation: str, body: JsonObject, options: Mapping[str, Any]
) -> tuple[str | None, Mapping[str, object]]:
    """Find out where a request is at home.

    Args:
        operation: for error messages.
        body: the parameters; `data_parallel_rank` is taken out of them.
        options: request options under the SDK's names.

    Returns:
        The conversation, None if nobody said; and the options with the headers that servers and routers read.

    Raises:
        TypeError: `session_id` is no text, or `data_parallel_rank` no whole number.
    """
    headers: Mapping[str, Any] = options.get("headers") or {}
    session, rank = body.get("session_id"), body.pop("data_parallel_rank", None)
    if session is None:
        session = next((value for name, value in headers.items() if name.lower() == "x-session-id"), None)
        if isinstance(session, Omit):
            session = None
    added = {}
    if session is not None:
        if not isinstance(session, str) or not session.isascii() or not session.isprintable() or not session:
            raise TypeError(f"{operation}: session_id must be text that a header can carry, not {session!r}")
        added[SESSION_HEADER] = session
    if rank is not None:
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 0:
            raise TypeError(f"{operation}: data_parallel_rank must be a whole number from 0, not {rank!r}")
        added[RANK_HEADER] = str(rank)
    return session, {**options, "headers": {**added, **headers}} if added else options


def session_of(conversation: object) -> str | None:
    """Name a conversation by its beginning, so that the name stays the same as it goes on.

    Args:
        conversation: messages, or a prompt; None, and whatever else it may be, has no name.
    """
    if isinstance(conversation, str):
        beginning = conversation[:_OPENING].encode("utf-8", "surrogatepass")
    elif isinstance(conversation, Sequence):
        beginning = _first_turn(conversation)
    else:
        return None
    return blake2b(beginning, digest_size=16).hexdigest()


def _first_turn(messages: Sequence[object]) -> bytes:
    end = next((number for number, message in enumerate(messages) if _role(message) == "user"), len(messages))
    return encode({"messages": list(messages[: end + 1])})


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, Mapping) else getattr(message, "role", None)
