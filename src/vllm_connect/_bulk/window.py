"""Rows that are on their way: which may begin, and in which order those that ended come out.

Memory is bounded: rows that ended but wait for an earlier one count, so that one slow row does not let the
others pile up behind it.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from .level import Level

T = TypeVar("T")

_AHEAD = 8  # rows that may wait for an earlier one, per request that may run


class Window(Generic[T]):
    """The rows between the first that has not come out and the last that began.

    Args:
        level: how many requests may run at once.
        ordered: whether rows come out in the order in which they began.
    """

    def __init__(self, level: Level, *, ordered: bool) -> None:
        self._level = level
        self._ordered = ordered
        self._running = 0
        self._begun = 0
        self._out = 0
        self._waiting: dict[int, T] = {}

    @property
    def has_room(self) -> bool:
        """Tell whether one more row may begin."""
        if self._running >= self._level.now:
            return False
        return self._running + len(self._waiting) < (_AHEAD + 1) * self._level.now

    @property
    def is_empty(self) -> bool:
        """Tell whether no row is on its way."""
        return not self._running

    def begin(self) -> int:
        """Let a row begin; returns its number."""
        self._running += 1
        self._begun += 1
        return self._begun - 1

    def end(self, number: int, row: T) -> deque[T]:
        """Take a row that ended; returns those that come out now."""
        self._running -= 1
        if not self._ordered:
            return deque((row,))
        self._waiting[number] = row
        ready: deque[T] = deque()
        while self._out in self._waiting:
            ready.append(self._waiting.pop(self._out))
            self._out += 1
        return ready
