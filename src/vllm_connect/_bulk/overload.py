"""Signs that a server has too much to do: refusals, most of which the client retries unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import openai

from ..types.servers import ServerStatus

_REFUSALS = ("429", "503")
_PAUSE = 0.2  # seconds between two looks at all servers


class Overload:
    """Tells whether a server has refused work since the last time that it was asked.

    Args:
        servers: gives how each server is doing.
        time: seconds, of any clock that runs evenly.
    """

    def __init__(self, servers: Callable[[], Sequence[ServerStatus]], time: float) -> None:
        self._servers = servers
        self._next_look = time + _PAUSE
        self._since: dict[str, datetime] = {}

    def has_come(self, error: Exception | None, time: float) -> bool:
        """Return whether there is a new sign.

        Args:
            error: how a request ended; None for an answer.
            time: now, by the same clock.
        """
        refused = isinstance(error, openai.APIStatusError) and str(error.status_code) in _REFUSALS
        if time < self._next_look:
            return refused
        self._next_look = time + _PAUSE
        resting = {
            status.key_name: status.since for status in self._servers() if status.reason.startswith(_REFUSALS)
        }
        is_new = any(self._since.get(name) != since for name, since in resting.items())
        self._since = resting
        return refused or is_new
