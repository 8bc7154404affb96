"""A run of `map` that stays open, for rows that come in batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    from .._client import AsyncVLLM
    from ..types import Row

T = TypeVar("T")


class _Item(NamedTuple):
    request: object
    row: asyncio.Future[Any]


class OpenRun(Generic[T]):
    """Rows of many batches on one level of concurrency, and on an event loop of its own.

    Its own, since whoever brings the batches may block theirs: Ray does, while it waits for the next block.

    Args:
        client: whose rows they are; it is closed at the end.
        call: what is called for each row.
        concurrency: requests at once; None for what the servers do best with.
    """

    def __init__(
        self, client: AsyncVLLM, call: Callable[[object], Awaitable[T]], concurrency: int | None
    ) -> None:
        async def ask(item: _Item) -> T:
            return await call(item.request)

        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._open: set[asyncio.Future[Row[T]]] = set()
        self._client = client
        self._results = client.map(ask, self._inputs(), ordered=False, concurrency=concurrency)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="vllm-connect-open-run", daemon=True)
        self._thread.start()

    async def rows(self, requests: Sequence[object]) -> list[Row[T]]:
        """Return what became of each request; to be called in any other event loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._rows(requests), self._loop))

    async def _rows(self, requests: Sequence[object]) -> list[Row[T]]:
        futures: list[asyncio.Future[Row[T]]] = [self._loop.create_future() for _ in requests]
        self._open.update(futures)
        for request, future in zip(requests, futures, strict=True):
            self._items.put_nowait(_Item(request, future))
        try:
            return await asyncio.gather(*futures)
        finally:
            self._open.difference_update(futures)

    def close(self) -> None:
        """End it, once the rows that it has are done."""
        self._loop.call_soon_threadsafe(self._items.put_nowait, None)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work())
        finally:
            self._loop.close()

    async def _work(self) -> None:
        try:
            async with self._client:
                async for row in self._results:
                    self._tell(row)
        finally:
            for future in self._open:  # none, unless something here went wrong: let nobody wait for ever
                future.cancel()
            await asyncio.sleep(0)

    async def _inputs(self) -> AsyncIterator[object]:
        while (item := await self._items.get()) is not None:
            yield {"item": item}

    def _tell(self, row: Row[T]) -> None:
        item = cast("dict[str, _Item]", row.input)["item"]
        if not item.row.done():  # whoever waited for it may have been cancelled
            item.row.set_result(row)
