"""A streamed body whose beginning was looked at, and which can still be read as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any

from .inspection import FirstEvent


def replayed(stream: Any, first: FirstEvent) -> Any:
    """Read a body until its first event is complete.

    Args:
        stream: an `httpx.SyncByteStream`.
        first: is fed with what arrives.

    Returns:
        A stream of the same kind that gives the whole body.
    """
    rest = iter(stream)
    taken = []
    for data in rest:
        taken.append(data)
        if first.feed(data):
            break
    return _kind(type(stream).__mro__, _Replayed)(stream, taken, rest)


async def async_replayed(stream: Any, first: FirstEvent) -> Any:
    """Read a body until its first event is complete; see `replayed`."""
    rest = aiter(stream)
    taken = []
    async for data in rest:
        taken.append(data)
        if first.feed(data):
            break
    return _kind(type(stream).__mro__, _AsyncReplayed)(stream, taken, rest)


class _Replayed:
    def __init__(self, stream: Any, taken: list[bytes], rest: Iterator[bytes]) -> None:
        self._stream, self._taken, self._rest = stream, taken, rest

    def __iter__(self) -> Iterator[bytes]:
        yield from self._taken
        yield from self._rest

    def close(self) -> None:
        self._stream.close()


class _AsyncReplayed:
    def __init__(self, stream: Any, taken: list[bytes], rest: AsyncIterator[bytes]) -> None:
        self._stream, self._taken, self._rest = stream, taken, rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in self._taken:
            yield data
        async for data in self._rest:
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


@lru_cache
def _kind(ancestors: tuple[type, ...], how: type) -> type:
    """`how` as a stream of the httpx that the original is of; a response refuses any other."""
    base = next(base for base in ancestors if base.__name__ in ("SyncByteStream", "AsyncByteStream"))
    return type(how.__name__, (how, base), {})
