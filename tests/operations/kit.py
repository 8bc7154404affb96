"""What the bodies need: which operations there are, and both kinds of client driven alike."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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


async def settled(value: Any) -> Any:
    """What a sync call returned, or an async one will."""
    return await value if inspect.isawaitable(value) else value


async def each(iterable: Any) -> AsyncIterator[Any]:
    """The items of a sync or an async stream."""
    if hasattr(iterable, "__aiter__"):
        async for item in iterable:
            yield item
    else:
        for item in iterable:
            yield item


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    """A sync or an async context manager."""
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value
