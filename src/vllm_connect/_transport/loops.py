"""Event loops: the one that runs here, asyncio's or another's, and what has to happen in another one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_TURNS_TO_ACCEPT = 3
"""Turns of the loop between a socket's being accepted and its protocol's being told."""


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


async def accept_no_more(listener: socket.socket) -> None:
    """Let nobody in any more, and let those who are at the door become connections, which can be closed.

    To close a server of asyncio while it accepts somebody leaves a transport open that nobody knows.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop):  # uvloop listens in its own way, and closes at once
        with suppress(NotImplementedError):  # Windows' loop
            loop.remove_reader(listener)
    for _ in range(_TURNS_TO_ACCEPT):
        await asyncio.sleep(0)
