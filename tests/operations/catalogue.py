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
    "chat.completions.batch": (PLAIN,),
    "chat.completions.render": (PLAIN,),
    "chat.completions.derender": (PLAIN,),
    "chat.completions.derender_chunk": (PLAIN,),
    "responses.create": (PLAIN, STREAM),
    "responses.parse": (PLAIN,),
    "responses.stream": (STREAM,),
    "responses.render": (PLAIN,),
    "messages.create": (PLAIN, STREAM),
    "messages.count_tokens": (PLAIN,),
    "messages.render": (PLAIN,),
    "completions.create": (PLAIN, STREAM),
    "completions.render": (PLAIN,),
    "completions.derender": (PLAIN,),
    "completions.derender_chunk": (PLAIN,),
    "generate.create": (PLAIN, STREAM),
    "generate.abort": (PLAIN,),
    "generative_scoring.create": (PLAIN,),
    "embeddings.create": (PLAIN,),
    "rerank.create": (PLAIN,),
    "score.create": (PLAIN,),
    "classify.create": (PLAIN,),
    "pooling.create": (PLAIN,),
    "decisions.create": (PLAIN,),
    "tokenize": (PLAIN,),
    "detokenize": (PLAIN,),
    "models.list": (PLAIN,),
    "audio.transcriptions.create": (PLAIN, STREAM),
    "audio.translations.create": (PLAIN, STREAM),
    "server.health": (PLAIN,),
    "server.version": (PLAIN,),
    "server.load": (PLAIN,),
    "server.metrics": (PLAIN,),
    "server.sleep": (PLAIN,),
    "server.wake_up": (PLAIN,),
    "server.is_sleeping": (PLAIN,),
    "server.reset_prefix_cache": (PLAIN,),
    "server.pause": (PLAIN,),
    "server.resume": (PLAIN,),
    "server.is_paused": (PLAIN,),
    "lora.load": (PLAIN,),
    "lora.unload": (PLAIN,),
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
