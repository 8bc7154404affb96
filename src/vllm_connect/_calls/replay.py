"""A streamed body whose beginning was read, and which can still be read as a whole: by who wants it raw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any

from .inspection import Beginning


def replayed(stream: Any, beginning: Beginning) -> Any:
    """A stream of the same kind that gives the whole body.

    Args:
        stream: an `httpx.SyncByteStream`.
        beginning: what was read of it.
    """
    return _kind(type(stream).__mro__, _Replayed, "SyncByteStream")(stream, beginning)


def async_replayed(stream: Any, beginning: Beginning) -> Any:
    """A stream of the same kind that gives the whole body; see `replayed`."""
    return _kind(type(stream).__mro__, _AsyncReplayed, "AsyncByteStream")(stream, beginning)


class _Replayed:
    def __init__(self, stream: Any, beginning: Beginning) -> None:
        self._stream, self._beginning = stream, beginning

    def __iter__(self) -> Iterator[bytes]:
        yield from self._beginning.data
        yield from self._beginning.rest  # type: ignore[misc]  # of a sync client

    def close(self) -> None:
        self._stream.close()


class _AsyncReplayed:
    def __init__(self, stream: Any, beginning: Beginning) -> None:
        self._stream, self._beginning = stream, beginning

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in self._beginning.data:
            yield data
        async for data in self._beginning.rest:  # type: ignore[union-attr]  # of an async client
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


@lru_cache
def _kind(ancestors: tuple[type, ...], how: type, name: str) -> type:
    """`how` as a stream of the httpx that the original is of; a response refuses any other."""
    base = next(base for base in ancestors if base.__name__ == name)
    return type(how.__name__, (how, base), {})
