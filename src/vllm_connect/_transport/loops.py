"""Event loops: the one that runs here, and what has to happen in another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return this thread's asyncio loop; None where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function that must not run beside the loop: at once, unless another thread runs the loop."""
    if loop.is_running() and loop is not running_loop():
        loop.call_soon_threadsafe(function)
    else:
        function()
