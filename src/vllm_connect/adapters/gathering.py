"""Many requests at once, but not too many, and none for nothing: the first error ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar
from weakref import WeakKeyDictionary

Input = TypeVar("Input")
Result = TypeVar("Result")


def gather_or_cancel(
    function: Callable[[Input], Result], inputs: Sequence[Input], at_most: int = 4
) -> list[Result]:
    """Call a function on each input, in threads.

    Args:
        function: runs in the context (`contextvars`) of the caller.
        inputs: what to call it on.
        at_most: calls at once.

    Returns:
        The results, in the order of the inputs.

    Raises:
        BaseException: the first error; no further call is begun then, and nobody waits for the others.
    """
    workers = min(at_most, len(inputs))
    if workers <= 1:
        return [function(each) for each in inputs]
    executor = ThreadPoolExecutor(workers, thread_name_prefix="vllm-connect")
    try:
        futures = [executor.submit(copy_context().run, function, each) for each in inputs]
        ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in ended:
            future.result()
        return [future.result() for future in futures]
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


async def agather_or_cancel(
    function: Callable[[Input], Awaitable[Result]], inputs: Iterable[Input], at_most: int | None = None
) -> list[Result]:
    """Call an async function on each input.

    Args:
        function: what to call; it may wait for a `Limiter` of its own.
        inputs: what to call it on.
        at_most: calls at once; None for all.

    Returns:
        The results, in the order of the inputs.

    Raises:
        BaseException: the first error, or the cancellation of the caller; all other calls were cancelled, and
            have ended.
    """
    permits = asyncio.Semaphore(at_most) if at_most is not None else None

    async def call(each: Input) -> Result:
        if permits is None:
            return await function(each)
        async with permits:
            return await function(each)

    tasks = [asyncio.ensure_future(call(each)) for each in inputs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TaskGroup:
    """Tasks that a framework starts and waits for, but would leave to themselves when one fails.

    When `async with TaskGroup():` is left with an error, all tasks are cancelled that said
    `with closes_with_group():` within it.
    """

    def __init__(self) -> None:
        self._is_closed = False
        self._tasks: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> TaskGroup:
        self._token = _group.set(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _group.reset(self._token)
        if kind is not None:
            self._is_closed = True
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def member(self, task: asyncio.Task[object]) -> Iterator[None]:
        """Belong to the group."""
        if self._is_closed:
            raise asyncio.CancelledError
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)


_group: ContextVar[TaskGroup | None] = ContextVar("group", default=None)


@contextmanager
def closes_with_group() -> Iterator[None]:
    """Let the current task be cancelled with the `TaskGroup` that it was started in, if any."""
    group, task = _group.get(), asyncio.current_task()
    if group is None or task is None:
        yield
    else:
        with group.member(task):
            yield


class Limiter:
    """Lets only so many tasks of an event loop go on at once.

        async with self._limiter.at_most(8):
            …

    Neither copied nor pickled with its owner: a copy has a limit of its own.
    """

    def __init__(self) -> None:
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[int, asyncio.Semaphore]]
        self._semaphores = WeakKeyDictionary()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limiter)

    __hash__ = None  # type: ignore[assignment]  # as Python does it, had the class no base

    def __deepcopy__(self, memo: dict[int, object]) -> Limiter:
        return Limiter()

    def __reduce__(self) -> tuple[type[Limiter], tuple[()]]:
        return Limiter, ()

    def at_most(self, tasks: int) -> asyncio.Semaphore:
        """Return what the tasks of the running loop wait for."""
        loop = asyncio.get_running_loop()
        limit, semaphore = self._semaphores.get(loop, (0, None))
        if semaphore is None or limit != tasks:
            semaphore = asyncio.Semaphore(tasks)
            self._semaphores[loop] = (tasks, semaphore)
        return semaphore


def is_in_event_loop() -> bool:
    """Return whether an event loop would stand still while this thread waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
