"""Waiting: between rounds of attempts, for the parts of a stream, for a server that failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from random import random
from typing import Any

from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The times that a client waits, in seconds.

    Attributes:
        retry_backoff_initial: before a request is repeated the first time; twice as long before each further
            repetition, with jitter. With several servers, all of them were asked before.
        retry_backoff_max: what that grows to, at most.
        stream_idle_timeout: for each part of a stream, the first included, once the server has begun to
            answer. None: the `timeout` of the client or of the call.
        cooldown: how long a server rests after its first failure, if it does not say so itself.
        sticky_limit: how many requests in a row ``balance="round_robin"`` sends to the same server.

    Raises:
        ConfigError: a value cannot be right.
    """

    retry_backoff_initial: float = 0.5
    retry_backoff_max: float = 8.0
    stream_idle_timeout: float | None = None
    cooldown: float = 1.0
    sticky_limit: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            kinds = int if field.name == "sticky_limit" else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
                number = "a whole number" if kinds is int else "a number of seconds"
                raise ConfigError(f"policy: {field.name} must be {number} above 0, not {value!r}")

    @property
    def has_usual_backoff(self) -> bool:
        """Tell whether the SDK's own backoff will do."""
        return (self.retry_backoff_initial, self.retry_backoff_max) == (0.5, 8.0)

    def backoff(self, repetitions: int) -> float:
        """Seconds before a repetition.

        Args:
            repetitions: how many there were before.
        """
        seconds: float = self.retry_backoff_initial * 2.0 ** min(repetitions, 1000)
        return min(seconds, self.retry_backoff_max) * (1 - 0.25 * random())  # noqa: S311  # it spreads


DEFAULT = Policy()
