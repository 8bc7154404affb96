"""Passive health: how the servers of a client are doing, as its own requests show it.

A server that fails is ejected for a while (Envoy's outlier detection), and comes back through one probing
request (a half-open circuit):

    healthy    asked as the balance says
    resting    not asked while another server may be; `until` says when that ends
    probing    the rest is over and one request is trying the server; the others stay away

    healthy --a failure--> resting --the rest is over, a request--> probing --success--> healthy
                              ^-------------------a failure, twice the rest----------'

Pure: the clock and the randomness are arguments. Threads and event loops may share one `Health`.
"""

from __future__ import annotations

import math
import random as _random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

State = Literal["healthy", "resting", "probing"]

FIRST_REST = 1.0
"""Seconds that a server rests after its first failure; each probe that fails doubles them."""
LONGEST_REST = 60.0
LONG_REST = 300.0
"""Seconds that a server rests which refuses our credentials: only a person can mend that."""
MODEL_REST = 60.0
"""Seconds for which a server that does not know a model is not asked for it."""
LONGEST_RETRY_AFTER = 3600.0
JITTER = 0.2
"""A rest is longer by up to this share, so that many clients do not come back at once."""


class Failure(NamedTuple):
    """A failure of a server, as a request showed it.

    Attributes:
        reason: for people: ``"503"``, ``"connection refused"``.
        retry_after: seconds that the server asked for, None if it did not.
        long: whether it will not heal by itself (refused credentials).
    """

    reason: str
    retry_after: float | None = None
    long: bool = False


class Change(NamedTuple):
    """A server went to rest, or is back.

    Attributes:
        name: of its key.
        state: what it is now.
        reason: why it rests, or rested.
        seconds: how long it will rest, or had rested.
    """

    name: str
    state: State
    reason: str
    seconds: float


class ServerHealth:
    """The health of one server.

    Attributes:
        name: of its key.
        state: see the module.
        in_flight: requests of this client that run on it.
        since: when it got into this state, by the clock of `Health`.
        until: when its rest ends; 0 if it is healthy.
        reason: why it rests, "" if it is healthy.
        lacking: when a model that it does not know may be asked for again.
    """

    __slots__ = ("_epoch", "_rest", "in_flight", "lacking", "name", "reason", "since", "state", "until")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.state: State = "healthy"
        self.in_flight = 0
        self.since = now
        self.until = 0.0
        self.reason = ""
        self.lacking: dict[str, float] = {}
        self._rest = 0.0  # the last rest, without jitter
        # Counts the changes of state. What a request shows of an earlier one says nothing of this one: when
        # a server dies under eight requests, that is one failure.
        self._epoch = 0


class Admission:
    """One request's place on a server; tell it what the request showed, then end it."""

    __slots__ = ("_epoch", "_health", "_open", "is_probe", "server")

    def __init__(self, health: Health, server: ServerHealth, is_probe: bool) -> None:
        self._health = health
        self.server = server
        self.is_probe = is_probe
        self._epoch = server._epoch
        self._open = True

    def succeeded(self) -> None:
        """Note an answer, be it a refusal of what was asked: the server is there."""
        server = self.server
        if server.state != "healthy" and self._epoch == server._epoch:
            self._health._revive(server)

    def failed(self, failure: Failure) -> None:
        """Note that the server could not answer: it goes to rest."""
        if self._epoch == self.server._epoch:
            self._health._eject(self.server, failure, self.is_probe)

    def lacks(self, model: str) -> None:
        """Note that the server does not know a model."""
        self._health._lack(self.server, model)
        self.succeeded()

    def end(self) -> None:
        """Give the place back; a probe that showed nothing leaves the next one to another request."""
        if self._open:
            self._open = False
            self._health._end(self)

    def __del__(self) -> None:
        self.end()


class Sifted(NamedTuple):
    """Servers, sorted by whether they may be asked.

    Attributes:
        healthy: those that may.
        due: those whose rest is over, and which nobody tries yet.
        others: those that should not, the one that comes back first in front.
        holds_until: when the first of those is due, by the clock of `Health`.
    """

    healthy: list[str]
    due: list[str]
    others: list[str]
    holds_until: float


class Health:
    """The health of all servers of a client and its copies.

    Args:
        clock: seconds, never going back.
        random: a number from 0 to 1, drawn anew with each call.
        on_change: is told when a server goes to rest or is back.

    Attributes:
        first_rest: seconds that a server rests after its first failure.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
        on_change: Callable[[Change], None] = lambda change: None,
    ) -> None:
        self.clock = clock
        self.first_rest = FIRST_REST
        self._random = random
        self._on_change = on_change
        self._servers: dict[str, ServerHealth] = {}
        # Reentrant, since the garbage collector may end an admission while this thread is in here.
        self._lock = threading.RLock()
        self.ailing = 0
        """How many servers are not healthy or lack a model; while it is 0, nobody need look further."""
        self.version = 0
        """Grows with every change; what `sift` said holds while it stays and no rest is over."""

    def __getitem__(self, name: str) -> ServerHealth:
        server = self._servers.get(name)
        if server is None:
            with self._lock:
                server = self._servers.setdefault(name, ServerHealth(name, self.clock()))
        return server

    def forget(self, names: Sequence[str]) -> None:
        """Forget servers that are no longer there; requests that run on them end as usual."""
        with self._lock:
            for name in names:
                self._servers.pop(name, None)
            self._count()

    def sift(self, names: Sequence[str], model: str | None) -> Sifted:
        """Sort servers by whether a request for a model may go to them."""
        now = self.clock()
        healthy: list[str] = []
        due: list[str] = []
        others: list[tuple[float, str]] = []
        for name in names:
            server = self[name]
            until = server.until
            if server.lacking and model is not None:
                until = max(until, self._lacking_until(server, model, now))
            if not until:
                healthy.append(name)
            elif until > now or server.state == "probing":
                others.append((until, name))
            else:
                due.append(name)
        others.sort()
        holds_until = next((until for until, _ in others if until > now), math.inf)
        return Sifted(healthy, due, [name for _, name in others], holds_until)

    def admit(self, name: str) -> Admission:
        """Begin a request on a server; it is the probe if the server's rest is over."""
        server = self[name]
        with self._lock:
            is_probe = server.state == "resting" and server.until <= self.clock()
            if is_probe:
                self._enter(server, "probing")
            server.in_flight += 1
            return Admission(self, server, is_probe)

    def _end(self, admission: Admission) -> None:
        server = admission.server
        with self._lock:
            server.in_flight -= 1
            if admission.is_probe and server.state == "probing" and admission._epoch == server._epoch:
                self._enter(server, "resting")  # whose end is past: the next request probes

    def _eject(self, server: ServerHealth, failure: Failure, is_probe: bool) -> None:
        with self._lock:
            now = self.clock()
            if server.state == "resting" and not is_probe:
                # It was asked since all the others rest, too; that is no reason to rest longer.
                if failure.retry_after:
                    server.until = max(server.until, now + min(failure.retry_after, LONGEST_RETRY_AFTER))
                return
            first = self.first_rest
            server._rest = min(max(first, 2 * server._rest), max(first, LONGEST_REST))
            seconds = LONG_REST if failure.long else server._rest
            if failure.retry_after is not None and failure.retry_after > 0:
                seconds = min(failure.retry_after, LONGEST_RETRY_AFTER)
            seconds *= 1 + JITTER * self._random()
            server.until = now + seconds
            server.reason = failure.reason
            self._enter(server, "resting")
        self._on_change(Change(server.name, "resting", failure.reason, seconds))

    def _revive(self, server: ServerHealth) -> None:
        with self._lock:
            if server.state == "healthy":
                return
            change = Change(server.name, "healthy", server.reason, self.clock() - server.since)
            server.until = server._rest = 0.0
            server.reason = ""
            self._enter(server, "healthy")
        self._on_change(change)

    def _lack(self, server: ServerHealth, model: str) -> None:
        with self._lock:
            server.lacking[model] = self.clock() + MODEL_REST
            self._count()

    def _lacking_until(self, server: ServerHealth, model: str, now: float) -> float:
        until = server.lacking.get(model, 0.0)
        if until and until <= now:
            with self._lock:
                server.lacking.pop(model, None)
                self._count()
            return 0.0
        return until

    def _enter(self, server: ServerHealth, state: State) -> None:
        if "healthy" in (state, server.state):
            server.since = self.clock()
        server.state = state
        server._epoch += 1
        self._count()

    def _count(self) -> None:
        self.version += 1
        self.ailing = sum(
            server.state != "healthy" or bool(server.lacking) for server in self._servers.values()
        )
