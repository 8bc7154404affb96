"""Many requests at once, but not too many, and none for nothing: the first error ends them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .._bulk.level import START
from .._bulk.limit import ConcurrencyLimit, FixedLimit, Limit
from .._client import VLLM, AsyncVLLM

_MOST_THREADS = 1024
Input = TypeVar("Input")
Result = TypeVar("Result")


def gather_or_cancel(
    function: Callable[[Input], Result],
    inputs: Sequence[Input],
    at_most: int | None = 4,
    *,
    client: VLLM | AsyncVLLM | None = None,
    start: int = START,
) -> list[Result]:
    """Call a function on each input, in threads.

    Args:
        function: runs in the context (`contextvars`) of the caller.
        inputs: what to call it on.
        at_most: calls at once. None: as many as the servers of `client` do best with, found while they work
            as `client.map` does; without a client, all.
        client: whom the calls ask.
        start: calls at once to begin with, for each of its servers.

    Returns:
        The results, in the order of the inputs.

    Raises:
        BaseException: the first error; no further call is begun then, and nobody waits for the others.
    """
    if len(inputs) <= 1 or at_most == 1:
        return [function(each) for each in inputs]
    limit = _limit(at_most, len(inputs), client, start)
    results: list[Any] = [None] * len(inputs)
    ended: SimpleQueue[tuple[int, Future[Result]]] = SimpleQueue()
    executor = ThreadPoolExecutor(
        min(len(inputs), at_most or _MOST_THREADS), thread_name_prefix="vllm-connect"
    )

    def begin(number: int) -> None:
        future = executor.submit(copy_context().run, function, inputs[number])
        future.add_done_callback(lambda future: ended.put((number, future)))

    begun = done = 0
    try:
        while done < len(inputs):
            while begun < len(inputs) and begun - done < limit.now:
                begin(begun)
                begun += 1
            number, future = ended.get()
            done += 1
            limit.ended(future.exception())
            results[number] = future.result()
        return results
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


async def agather_or_cancel(
    function: Callable[[Input], Awaitable[Result]],
    inputs: Iterable[Input],
    at_most: int | None = None,
    *,
    client: VLLM | AsyncVLLM | None = None,
    start: int = START,
) -> list[Result]:
    """Call an async function on each input.

    Args:
        function: what to call; it may wait for a `Limiter` of its own.
        inputs: what to call it on.
        at_most: calls at once. None: as many as the servers of `client` do best with, found while they work
            as `client.map` does; without a client, all.
        client: whom the calls ask.
        start: calls at once to begin with, for each of its servers.

    Returns:
        The results, in the order of the inputs.

    Raises:
        BaseException: the first error, or the cancellation of the caller; all other calls were cancelled, and
            have ended.
    """
    inputs = list(inputs)
    limit = _limit(at_most, len(inputs), client, start)
    results: list[Any] = [None] * len(inputs)
    ended: asyncio.Queue[asyncio.Future[Result]] = asyncio.Queue()
    running: dict[asyncio.Future[Result], int] = {}
    begun = 0
    try:
        while begun < len(inputs) or running:
            while begun < len(inputs) and len(running) < limit.now:
                task: asyncio.Future[Result] = asyncio.ensure_future(function(inputs[begun]))
                running[task] = begun
                task.add_done_callback(ended.put_nowait)
                begun += 1
            task = await ended.get()
            number = running.pop(task)
            limit.ended(None if task.cancelled() else task.exception())
            results[number] = task.result()
        return results
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _limit(at_most: int | None, inputs: int, client: VLLM | AsyncVLLM | None, start: int = START) -> Limit:
    if at_most is None and client is not None:
        return ConcurrencyLimit(client.servers, start)
    return FixedLimit(max(1, inputs if at_most is None else at_most))


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
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limiter)

    __hash__ = None  # type: ignore[assignment]  # as Python does it, had the class no base

    def __deepcopy__(self, memo: dict[int, object]) -> Limiter:
        return Limiter()

    def __reduce__(self) -> tuple[type[Limiter], tuple[()]]:
        return Limiter, ()

    def at_most(
        self, tasks: int | None, client: VLLM | AsyncVLLM | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Return what the tasks of the running loop wait for.

        Args:
            tasks: how many go on at once. None: as many as the servers of `client` do best with, found while
                they work as `client.map` does.
            client: whom the tasks ask.
        """
        loop = asyncio.get_running_loop()
        gate = self._gates.get(loop)
        if gate is None or not gate.is_for(tasks, client):
            gate = self._gates[loop] = _Gate(tasks, client)
        return gate


class _Gate(AbstractAsyncContextManager[None]):
    """Lets tasks in, one after another, as long as there is room for them."""

    def __init__(self, tasks: int | None, client: VLLM | AsyncVLLM | None) -> None:
        if tasks is None and client is None:
            raise ValueError("at_most: pass a number, or the client whose servers say it")
        self._tasks, self._client = tasks, client if tasks is None else None
        self._limit = _limit(tasks, 0, client)
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_for(self, tasks: int | None, client: VLLM | AsyncVLLM | None) -> bool:
        """Tell whether it lets in what these arguments of `Limiter.at_most` say."""
        return tasks == self._tasks and (tasks is not None or client is self._client)

    async def __aenter__(self) -> None:
        if self._running < self._limit.now:
            if not self._running:
                self._limit.rest()
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was let in just now
                self._leave()
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._limit.ended(error)
        self._leave()

    def _leave(self) -> None:
        self._running -= 1
        while self._waiting and self._running < self._limit.now:
            turn = self._waiting.popleft()
            if not turn.done():  # or its task was cancelled
                self._running += 1
                turn.set_result(None)


def is_in_event_loop() -> bool:
    """Return whether an event loop would stand still while this thread waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
