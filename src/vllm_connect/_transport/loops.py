"""Event loops: the one that runs here, asyncio's or another's, and what has to happen in another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return this thread's asyncio loop; None where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def gather(coroutines: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """Run coroutines at once, on asyncio or trio.

    Returns:
        What they return, in their order; the first exception cancels the others and is raised.
    """
    import anyio  # not at the top: only who runs several at once needs it

    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def settle(number: int, coroutine: Coroutine[object, object, T]) -> None:
        try:
            results[number] = await coroutine
        except Exception as failure:  # noqa: BLE001 - raised below; a task group would wrap it
            failures.append(failure)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, coroutine in enumerate(coroutines):
            group.start_soon(settle, number, coroutine)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(coroutines))]


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function that must not run beside the loop: at once, unless another thread runs the loop."""
    if loop.is_running() and loop is not running_loop():
        loop.call_soon_threadsafe(function)
    else:
        function()
