"""Code for both worlds, written once: coroutines that need not suspend.

What is done with a connection, or with a client, is written as a coroutine. On an event loop it is awaited,
and suspends wherever it has to wait. Over blocking sockets the very same coroutine waits inside of its
innermost call, so that no `await` in it ever suspends: one step runs it to its end, which is what `run` does.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[object, None, T]) -> T:
    """Run a coroutine whose every `await` blocks instead of suspending.

    Returns:
        What the coroutine returns; what it raises is raised.

    Raises:
        RuntimeError: it did suspend, so something in it needs an event loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a coroutine over blocking connections was suspended")
