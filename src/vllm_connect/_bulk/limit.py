"""The number of requests at once that the servers of one client do best with, as they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from ..types.servers import ServerStatus
from .level import START, Level
from .overload import Overload


class ConcurrencyLimit:
    """A level of concurrency that follows the servers of a client.

    Args:
        servers: gives how each server is doing.
        start: requests at once to begin with, per server.
    """

    def __init__(self, servers: Callable[[], Sequence[ServerStatus]], start: int = START) -> None:
        self._level = Level(len(servers()), start=start)
        self._overload = Overload(servers, monotonic())

    @property
    def now(self) -> int:
        """The number of requests that may run at once."""
        return self._level.now

    def ended(self, error: BaseException | None) -> None:
        """Take note of a request that ended.

        Args:
            error: how; None for an answer.
        """
        now = monotonic()
        failure = error if isinstance(error, Exception) else None
        self._level.done(now, overloaded=self._overload.has_come(failure, now))

    def rest(self) -> None:
        """Take note that no request runs."""
        self._level.rest()


class FixedLimit:
    """A level of concurrency that stays as it is.

    Args:
        most: requests at once.
    """

    def __init__(self, most: int) -> None:
        self.now = most

    def ended(self, error: BaseException | None) -> None:
        """Take note of a request that ended."""

    def rest(self) -> None:
        """Take note that no request runs."""


Limit = ConcurrencyLimit | FixedLimit
