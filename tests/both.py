"""Both kinds of client, driven alike, so that one test body runs with either."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

from vllm_connect import VLLM, AsyncVLLM


class Both:
    """A sync or an async client, driven the same way.

    `await client("chat.completions.create", …)` calls a method; `await client.stream(…)` collects a
    stream into `client.seen`, where what arrived before an error stays visible.
    """

    def __init__(self, kind: str, *args: Any, from_config: Any = None, **kwargs: Any) -> None:
        self.kind = kind
        cls: Any = VLLM if kind == "sync" else AsyncVLLM
        self.client: Any = cls.from_config(from_config, **kwargs) if from_config else cls(*args, **kwargs)
        self.seen: list[Any] = []

    async def __call__(self, operation: str, /, **params: Any) -> Any:
        return await settled(attrgetter(operation)(self.client)(**params))

    async def stream(self, operation: str, /, **params: Any) -> list[Any]:
        self.seen = []
        stream = await self(operation, stream=True, **params)
        if self.kind == "sync":
            for item in stream:
                self.seen.append(item)
        else:
            async for item in stream:
                self.seen.append(item)
        return self.seen

    async def close(self) -> None:
        await settled(self.client.close())


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
