"""The operations that the client offers, and which of them a body is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PLAIN, STREAM = "plain", "stream"

#: Every operation, and whether it can be streamed.
OPERATIONS = {
    "chat.completions.create": (PLAIN, STREAM),
    "chat.completions.parse": (PLAIN,),
    "chat.completions.stream": (STREAM,),
    "responses.create": (PLAIN, STREAM),
    "responses.parse": (PLAIN,),
    "responses.stream": (STREAM,),
    "completions.create": (PLAIN, STREAM),
    "embeddings.create": (PLAIN,),
    "rerank.create": (PLAIN,),
    "score.create": (PLAIN,),
    "classify.create": (PLAIN,),
    "pooling.create": (PLAIN,),
    "tokenize": (PLAIN,),
    "detokenize": (PLAIN,),
    "models.list": (PLAIN,),
    "audio.transcriptions.create": (PLAIN, STREAM),
    "audio.translations.create": (PLAIN, STREAM),
    "server.health": (PLAIN,),
    "server.version": (PLAIN,),
    "server.load": (PLAIN,),
    "server.metrics": (PLAIN,),
}


def covers(operation: str, *forms: str) -> Callable[[Any], Any]:
    """Say that a body is about an operation; checked when it runs.

    Args:
        operation: one of `OPERATIONS`.
        forms: `PLAIN`, `STREAM` or both. Default: all that the operation has.
    """

    def mark(body: Any) -> Any:
        body.covers = getattr(body, "covers", frozenset()) | {
            (operation, form) for form in forms or OPERATIONS[operation]
        }
        return body

    return mark
