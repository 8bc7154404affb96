"""A streamed body whose beginning was read, and which can still be read as a whole: by who wants it raw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from .inspection import Beginning

if TYPE_CHECKING:
    from .._transport._httpx import httpx


def rewind(response: httpx.Response, beginning: Beginning) -> None:
    """Let a response be read from its first byte on.

    Args:
        response: a sync one, of any httpx.
        beginning: what was read of it.
    """
    close = response.stream.close  # type: ignore[union-attr]  # of a sync client
    response.stream = stream = _stream_of(response, _whole(beginning))
    stream.close = close


def async_rewind(response: httpx.Response, beginning: Beginning) -> None:
    """Let an async response be read from its first byte on; see `rewind`."""
    close = response.stream.aclose  # type: ignore[union-attr]  # of an async client
    response.stream = stream = _stream_of(response, _async_whole(beginning))
    stream.aclose = close


def _stream_of(response: httpx.Response, content: Iterator[bytes] | AsyncIterator[bytes]) -> Any:
    """Content as a stream of the httpx that a response is of, which accepts no other."""
    return type(response)(200, content=content).stream


def _whole(beginning: Beginning) -> Iterator[bytes]:
    yield from beginning.data
    yield from beginning.rest  # type: ignore[misc]  # of a sync client


async def _async_whole(beginning: Beginning) -> AsyncIterator[bytes]:
    for data in beginning.data:
        yield data
    async for data in beginning.rest:  # type: ignore[union-attr]  # of an async client
        yield data
