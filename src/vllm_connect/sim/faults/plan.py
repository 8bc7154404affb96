"""Faults, each with the requests that get it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from .fault import Fault


class FaultPlan:
    """Faults that wait for their requests; safe to change from another thread.

    Each request takes the first waiting fault that matches its path, and all those that happen always.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = Lock()
        self._first = tuple(faults)
        self._waiting: list[tuple[Fault, int]] = []
        self._always: list[Fault] = []
        self.reset()

    def add(self, fault: Fault) -> None:
        """Let a fault wait behind the others."""
        with self._lock:
            self._add(fault)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._waiting.clear()
            self._always.clear()

    def reset(self) -> None:
        """Go back to the faults of the beginning."""
        with self._lock:
            self._waiting.clear()
            self._always.clear()
            for fault in self._first:
                self._add(fault)

    def take(self, path: str, reused: bool = False) -> list[Fault]:
        """The faults of one request; a waiting one has then happened once."""
        with self._lock:
            faults = [fault for fault in self._always if fault.matches(path) and fault.possible(reused)]
            for i, (fault, left) in enumerate(self._waiting):
                if fault.matches(path) and fault.possible(reused):
                    self._waiting[i : i + 1] = [(fault, left - 1)] if left > 1 else []
                    faults.append(fault)
                    break
            return faults

    @property
    def waiting(self) -> int:
        """The number of requests that the waiting faults will still happen to."""
        with self._lock:
            return sum(left for _, left in self._waiting)

    def _add(self, fault: Fault) -> None:
        if fault.times is None:
            self._always.append(fault)
        elif fault.times > 0:
            self._waiting.append((fault, fault.times))
