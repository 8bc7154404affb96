"""Many requests at once, but not too many, and none for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


def loop_is_running() -> bool:
    """Whether an event loop would stand still while this thread waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all calls; the first error is raised, and what is still going on then is cancelled."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Undertaking:
    """Tasks that somebody else starts and waits for, but would leave to themselves when one fails.

    What goes on within `async with Undertaking():` fails as a whole; its tasks say `with part():`.
    """

    def __init__(self) -> None:
        self.given_up = False
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> None:
        self._token = _undertaking.set(self)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _undertaking.reset(self._token)
        if kind is not None:
            self.given_up = True
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)


@contextmanager
def part() -> Iterator[None]:
    """A part of the `Undertaking` that the task belongs to, if any; cancelled when that is given up."""
    whole, task = _undertaking.get(), asyncio.current_task()
    if whole is None or task is None:
        yield
        return
    if whole.given_up:
        raise asyncio.CancelledError
    whole.tasks.add(task)
    try:
        yield
    finally:
        whole.tasks.discard(task)


_undertaking: ContextVar[Undertaking | None] = ContextVar("undertaking", default=None)


class Turns:
    """Lets only so many tasks of an event loop go on at once; neither copied nor pickled with its owner."""

    def __init__(self) -> None:
        self._semaphores: WeakKeyDictionary[Any, tuple[int, asyncio.Semaphore]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()

    def of_this_loop(self, most: int) -> asyncio.Semaphore:
        """What the tasks of the running loop have to wait for."""
        loop = asyncio.get_running_loop()
        made = self._semaphores.get(loop)
        if made is None or made[0] != most:
            made = self._semaphores[loop] = (most, asyncio.Semaphore(most))
        return made[1]
