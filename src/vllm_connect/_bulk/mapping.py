"""`map` of both clients: rows in, rows out, as many at once as the servers do well with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from time import monotonic
from typing import TypeVar

from ..types.bulk import Row
from .level import Level
from .overload import Overload
from .progress import Progress
from .window import Window

T = TypeVar("T")

_MOST_THREADS = 1024


class Run(Window[Row[T]]):
    """The state of a run, for both shells: the rows on their way, the level, and the progress that is shown.

    Args:
        level: how many requests may run at once.
        overload: what tells of servers that refuse work.
        progress: what shows how far it is.
        ordered: whether rows come in the order of the inputs, or as they end.
    """

    def __init__(self, level: Level, overload: Overload, progress: Progress, *, ordered: bool) -> None:
        super().__init__(level, ordered=ordered)
        self._overload = overload
        self.progress = progress

    def take(self, row: Row[T]) -> Iterable[Row[T]]:
        """Take a row that ended; returns those that come out now."""
        now = monotonic()
        self._level.done(now, overloaded=self._overload.has_come(row.error, now))
        self.progress.add(row)
        return self.end(row.index, row)


def map_rows(call: Callable[[object], T], inputs: Iterable[object], book: Run[T]) -> Iterator[Row[T]]:
    """Call a function on each input, in threads.

    Args:
        call: runs in the context (`contextvars`) of the caller.
        inputs: gone through once, no further ahead than requests can run.
        book: how many at once, and in which order they come.
    """
    ended: SimpleQueue[Row[T]] = SimpleQueue()
    source, is_left = iter(inputs), True
    executor = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="vllm-connect-map")

    def run(number: int, given: object) -> None:
        try:
            row: Row[T] = Row(number, given, call(given), None)
        except Exception as error:  # noqa: BLE001  # it is the row's, whoever reads it decides
            row = Row(number, given, None, error)
        ended.put(row)

    try:
        while True:
            while is_left and book.has_room:
                try:
                    given = next(source)
                except StopIteration:
                    is_left = False
                else:
                    executor.submit(copy_context().run, run, book.begin(), given)
            if book.is_empty:
                return
            yield from book.take(ended.get())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        book.progress.close()


async def amap_rows(
    call: Callable[[object], Awaitable[T]], inputs: Iterable[object] | AsyncIterable[object], book: Run[T]
) -> AsyncIterator[Row[T]]:
    """Call an async function on each input, in tasks; see `map_rows`. Those left over are cancelled."""
    ended: asyncio.Queue[Row[T] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()
    is_left = True

    async def run(number: int, given: object) -> None:
        try:
            row: Row[T] = Row(number, given, await call(given), None)
        except Exception as error:  # noqa: BLE001  # it is the row's, whoever reads it decides
            row = Row(number, given, None, error)
        ended.put_nowait(row)

    def begin(given: object) -> None:
        start(run(book.begin(), given))

    def start(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def feed(source: AsyncIterator[object]) -> None:
        """Begin rows while there is room for them; None in the queue says that this is over."""
        nonlocal is_left
        try:
            while book.has_room:
                begin(await anext(source))
        except StopAsyncIteration:
            is_left = False
        finally:
            ended.put_nowait(None)

    source = aiter(inputs) if isinstance(inputs, AsyncIterable) else iter(inputs)
    feeder: asyncio.Task[None] | None = None
    try:
        while True:
            if isinstance(source, Iterator):
                while is_left and book.has_room:
                    try:
                        begin(next(source))
                    except StopIteration:
                        is_left = False
            elif feeder is None and is_left and book.has_room:
                feeder = start(feed(source))  # of its own, so that a slow source holds up no row that ended
            if feeder is None and book.is_empty:
                return
            row = await ended.get()
            if row is not None:
                for each in book.take(row):
                    yield each
            elif feeder is not None:
                await feeder  # what the source raised is raised here
                feeder = None
    finally:
        left = list(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        book.progress.close()
