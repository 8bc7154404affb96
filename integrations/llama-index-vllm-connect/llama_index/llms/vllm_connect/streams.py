"""Streams of responses, which end the request when their consumer leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from typing_extensions import ParamSpec

from .request import Request

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

_opened: ContextVar[list[Any] | None] = ContextVar("opened", default=None)


def responses(stream: Any, request: Request[R]) -> Generator[R, None, None]:
    """Read the client's stream as the request says."""
    return _noted(_begin(_responses(stream, request)))


async def aresponses(stream: Any, request: Request[R]) -> AsyncGenerator[R, None]:
    """Read an async stream; see `responses`."""
    return _noted(await _abegin(_aresponses(stream, request)))


def closing(method: Callable[P, Generator[R, None, None]]) -> Callable[P, Generator[R, None, None]]:
    """Close the `responses` within a stream together with it.

    LlamaIndex's callbacks do not close what they wrap, but leave that to its last reference. Whoever keeps
    their events keeps one, in the exception that tells of the early end.
    """

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        opened: list[Any] = []
        token = _opened.set(opened)
        try:
            generator = method(*args, **kwargs)
        finally:
            _opened.reset(token)
        return _begin(_closing(generator, opened))

    return wrapper


def aclosing(
    method: Callable[P, Coroutine[Any, Any, AsyncGenerator[R, None]]],
) -> Callable[P, Coroutine[Any, Any, AsyncGenerator[R, None]]]:
    """Close the `aresponses` within an async stream together with it; see `closing`."""

    @wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, None]:
        opened: list[Any] = []
        token = _opened.set(opened)
        try:
            generator = await method(*args, **kwargs)
        finally:
            _opened.reset(token)
        return await _abegin(_aclosing(generator, opened))

    return wrapper


# A generator does nothing when it is closed before it was begun, so ours are begun at once, with this.
_BEGUN: Any = None


def _begin(stream: Generator[R, None, None]) -> Generator[R, None, None]:
    next(stream)
    return stream


async def _abegin(stream: AsyncGenerator[R, None]) -> AsyncGenerator[R, None]:
    await anext(stream)
    return stream


def _noted(stream: T) -> T:
    if (opened := _opened.get()) is not None:
        opened.append(stream)
    return stream


def _responses(stream: Any, request: Request[R]) -> Generator[R, None, None]:
    try:
        yield _BEGUN
        for chunk in stream:
            if (response := request.read(chunk)) is not None:
                yield response
        if (last := request.finish()) is not None:
            yield last
    finally:
        stream.close()


async def _aresponses(stream: Any, request: Request[R]) -> AsyncGenerator[R, None]:
    try:
        yield _BEGUN
        async for chunk in stream:
            if (response := request.read(chunk)) is not None:
                yield response
        if (last := request.finish()) is not None:
            yield last
    finally:
        await stream.close()


def _closing(generator: Generator[R, None, None], opened: list[Any]) -> Generator[R, None, None]:
    try:
        yield _BEGUN
        yield from generator  # passes its own end on
    finally:
        for stream in opened:
            stream.close()


async def _aclosing(generator: AsyncGenerator[R, None], opened: list[Any]) -> AsyncGenerator[R, None]:
    try:
        yield _BEGUN
        async for response in generator:
            yield response
    finally:
        for stream in (generator, *opened):
            await stream.aclose()
