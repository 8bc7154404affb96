"""The servers of a client and its copies: who may be asked, how they are, and which one is asked next."""

from __future__ import annotations

import logging
import math
import random as _random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, NoKeyError
from ..types.servers import ServerStatus
from .balancing import BALANCES, Balance, Draw, EvenNumbers, Sessions
from .choosing import candidates, named, warn_once
from .health import Admission, Change, Health
from .key import Key, Server, check_keys, refers, resolve, wire_model
from .policy import DEFAULT, Policy

if TYPE_CHECKING:
    from .bifrost import ProviderConfig
    from .watching import WatchedFile

_LOGGER = logging.getLogger("vllm_connect")
_MOST_POOLS = 1024


class Placement(NamedTuple):
    """The place of a request on a server.

    Attributes:
        server: the server.
        admission: the request's place on it, to be told how it went and to be ended.
        model: the requested model's name on it.
    """

    server: Server
    admission: Admission
    model: str | None


class Fleet:
    """Chooses a server for every request; shared by a client and its copies, by threads and event loops.

    Args:
        keys: the servers.
        balance: one of `BALANCES`.
        policy: how long a server rests, and how turns are taken.
        clock: seconds, never going back.
        random: a number from 0 to 1, drawn anew with each call.

    Raises:
        ConfigError: the keys cannot work, or there is no such balance.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        balance: Balance = "weighted",
        policy: Policy = DEFAULT,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.balance = _check_balance(balance)
        self.health = Health(clock=clock, random=random, on_change=self._log)
        self.sessions = Sessions(clock)
        self._random = random
        self._numbers = EvenNumbers(random)
        self._keys = check_keys(keys)
        self._watched: WatchedFile | None = None
        self._fixed: Collection[str] = ()
        self._obeyed: ProviderConfig | None = None  # what the file said when it was last obeyed
        self._adopt(policy)
        self._pools: dict[str | None, Draw] = {}  # by model: those that allow it
        # … those of them that do not rest …
        self._cached: dict[str | None, tuple[Draw, int, float, Draw]] = {}
        # … and where it is one that cannot change: its server, and what that calls the model.
        self._sole: dict[str | None, tuple[Server, str | None]] = {}

    def of_keys(self, keys: Iterable[Key]) -> Fleet:
        """A fleet of other servers under the same rules."""
        return Fleet(keys, self.balance, self.policy, clock=self.health.clock, random=self._random)

    def _adopt(self, policy: Policy) -> None:
        self.policy = policy
        self.health.first_rest = policy.cooldown

    def follow(self, watched: WatchedFile, *, fixed: Collection[str] = ()) -> None:
        """Do as a configuration file says, whenever it changes.

        Args:
            watched: the file.
            fixed: what it does not decide, ``"balance"`` or ``"policy"``.
        """
        self._watched, self._fixed, self._obeyed = watched, fixed, watched.config

    def follow_like(self, other: Fleet, *, fixed: Collection[str] = ()) -> None:
        """Follow the same file as another fleet does, if it follows one."""
        if other._watched is not None:
            self.follow(other._watched, fixed={*other._fixed, *fixed})
            self._obeyed = other._obeyed

    def _look(self, watched: WatchedFile) -> None:
        config = watched.current()
        if config is self._obeyed:
            return
        self._obeyed = config
        if "balance" not in self._fixed:
            self.balance = config.balance or "weighted"
        if "policy" not in self._fixed:
            self._adopt(config.policy or DEFAULT)
        self.keys = config.keys

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys; setting them changes where the next request goes, and nothing that runs."""
        if self._watched is not None:
            self._look(self._watched)
        return self._keys

    @keys.setter
    def keys(self, keys: Iterable[Key]) -> None:
        checked = check_keys(keys)
        kept = {key.name: _identity(key) for key in checked}
        # Another server under the same name is another server; so is one that knows another credential.
        self.health.forget([key.name for key in self._keys if kept.get(key.name) != _identity(key)])
        self._keys = checked
        self._forget_pools()

    def place(
        self,
        model: str | None = None,
        *,
        key_name: str | None = None,
        session: str | None = None,
    ) -> Placement:
        """Choose a server for a request.

        Args:
            model: what the server must serve; None for requests that name no model.
            key_name: the only key that may serve it.
            session: the conversation that it belongs to, which stays on one server.

        Raises:
            NoKeyError: no key may serve it.
            ConfigError: those that may cannot be used; `MissingURLError` if they lack a URL.
        """
        if self._watched is not None:
            self._look(self._watched)
        if key_name is not None:
            return self._admit(resolve(named(self._keys, key_name)), model)
        sole_servers = self._sole  # of the keys as they are now: another thread may set them
        if (sole := sole_servers.get(model)) is not None:
            return Placement(sole[0], self.health.admit(sole[0].key.name), sole[1])
        pool = self._pool(model)
        problems: list[ConfigError] = []
        server = self._usable(pool, model, session, problems)
        if server is None:
            raise _all_of(problems)
        placement = self._admit(server, model)
        if len(pool.keys) == 1 and not refers(server.key):
            sole_servers[model] = server, placement.model
        return placement

    def elsewhere(
        self, model: str | None, tried: Collection[str], *, session: str | None = None
    ) -> Placement | None:
        """Choose a server that was not tried yet; None if all were.

        Args:
            model: as in `place`.
            tried: names of the keys that were.
            session: as in `place`.
        """
        pool = self._pool(model)
        untried = [key for key in pool.keys if key.name not in tried]
        server = self._usable(Draw(untried, pool.turns), model, session, []) if untried else None
        return None if server is None else self._admit(server, model)

    def _usable(
        self, pool: Draw, model: str | None, session: str | None, problems: list[ConfigError]
    ) -> Server | None:
        """Draw until a key can be used; those that cannot are skipped with a warning, if another one can."""
        while True:
            key = self._pick(self._awake(pool, model), session)
            try:
                server = resolve(key)
            except ConfigError as error:
                problems.append(error)
                others = [other for other in pool.keys if other is not key]
                if not others:
                    return None
                pool = Draw(others, pool.turns)
            else:
                for problem in problems:
                    warn_once(f"skipping a key: {problem}")
                return server

    def _admit(self, server: Server, model: str | None) -> Placement:
        name = None if model is None else wire_model(server.key, model)
        return Placement(server, self.health.admit(server.key.name), name)

    def _pool(self, model: str | None) -> Draw:
        """The keys that allow a model."""
        pool = self._pools.get(model)
        if pool is None:
            pool = Draw(candidates(self._keys, model))
            if len(self._pools) >= _MOST_POOLS:  # callers may name any number of models
                self._forget_pools()
            self._pools[model] = pool
        return pool

    def _forget_pools(self) -> None:
        self._pools, self._cached, self._sole = {}, {}, {}

    def _awake(self, pool: Draw, model: str | None) -> Draw:
        """Leave out the keys that rest, as long as there are others."""
        health = self.health
        if not health.ailing or len(pool.keys) == 1:
            return pool
        cached = self._cached.get(model)
        if cached is None or cached[:2] != (pool, health.version) or health.clock() >= cached[2]:
            version = health.version
            awake, holds_until = self._sifted(pool, model)
            cached = self._cached[model] = pool, version, holds_until, awake
        return cached[3]

    def _sifted(self, pool: Draw, model: str | None) -> tuple[Draw, float]:
        by_name = {key.name: key for key in pool.keys}
        healthy, due, others, holds_until = self.health.sift(list(by_name), model)
        if due and self.balance == "sticky":
            healthy += due  # whose conversations try it
        else:
            # The next request tries it, but no spare is tried while it is not needed.
            due = [name for name in due if by_name[name].weight or not healthy]
            healthy = due[:1] or healthy
        return Draw([by_name[name] for name in healthy or others[:1]], pool.turns), holds_until

    def _pick(self, pool: Draw, session: str | None) -> Key:
        if len(pool.keys) == 1:
            return pool.keys[0]
        if session is not None:
            return self.sessions.home(session, pool.keys)
        if self.balance == "least_busy":
            return pool.less_busy(self._in_flight, self._random)
        if self.balance == "round_robin":
            return pool.in_turn(self.policy.sticky_limit)
        if self.balance == "fill_first":
            return pool.serving[0]
        return pool(self._numbers)

    def seconds_to_wait(self, model: str | None) -> float:
        """Return how long it takes until a server may be asked for a model again; 0 if one may."""
        health = self.health
        sifted = health.sift([key.name for key in self._pool(model).keys], model)
        if sifted.healthy or sifted.due or math.isinf(sifted.holds_until):
            return 0.0
        return max(0.0, sifted.holds_until - health.clock())

    def statuses(self) -> list[ServerStatus]:
        """Tell how each server is doing, in the order of the keys."""
        clock, now, sessions = self.health.clock(), datetime.now(timezone.utc), self.sessions.counts()

        def at(moment: float) -> datetime:
            return now + timedelta(seconds=moment - clock)

        return [
            ServerStatus(
                key_name=key.name,
                url=_url_of(key),
                state=server.state,
                since=at(server.since),
                until=at(server.until) if server.until else None,
                reason=server.reason,
                in_flight=server.in_flight,
                sessions=sessions.get(key.name, 0),
                lacking=tuple(model for model, until in list(server.lacking.items()) if until > clock),
            )
            for key, server in ((key, self.health[key.name]) for key in self.keys)
        ]

    def places(self, model: str | None) -> list[tuple[str, str | None]]:
        """Return the URL of each server that may be asked for a model, and what it calls it."""
        try:
            keys = self._pool(model).keys
        except NoKeyError:  # which a request would raise
            return []
        return [
            (url, None if model is None else wire_model(key, model)) for key in keys if (url := _url_of(key))
        ]

    def _in_flight(self, name: str) -> int:
        return self.health[name].in_flight

    def _log(self, change: Change) -> None:
        if len(self._keys) == 1:
            return  # the only server is asked all the same
        if change.state == "resting":
            _LOGGER.warning("key '%s' rests for %.0f s: %s", change.name, change.seconds, change.reason)
        else:
            _LOGGER.info("key '%s' is back after %.0f s (%s)", change.name, change.seconds, change.reason)


def _check_balance(balance: Balance) -> Balance:
    if balance not in BALANCES:
        raise ConfigError(f"balance is {' or '.join(map(repr, BALANCES))}, not {balance!r}")
    return balance


def _identity(key: Key) -> tuple[object, ...]:
    return key.url, key.api_key, key.aliases


def _url_of(key: Key) -> str | None:
    try:
        return resolve(key).root
    except ConfigError:  # which a request would raise
        return None


def _all_of(errors: Sequence[ConfigError]) -> ConfigError:
    return errors[0] if len(errors) == 1 else type(errors[0])("; ".join(map(str, errors)))
