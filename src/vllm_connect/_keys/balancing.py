"""Balance: which of several servers that may all be asked gets a request.

    weighted      at random, by weight (Bifrost's way)
    least_busy    the less busy of two drawn by weight (power of two choices)
    sticky        a conversation stays with its server, so that vLLM's prefix cache hits: weighted rendezvous
                  hashing with bounded load
    round_robin   one after the other, whatever their weights
    fill_first    the first of them, in the order of the keys

Pure: randomness and time are arguments.
"""

from __future__ import annotations

import math
import random as _random
import threading
import time
from bisect import bisect
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, count
from typing import Literal, get_args

from .key import Key

Balance = Literal["weighted", "least_busy", "sticky", "round_robin", "fill_first"]
BALANCES: tuple[Balance, ...] = get_args(Balance)

LOAD_FACTOR = 1.25
"""How many more conversations than its share a server may have (Mirrokni, Thorup, Zadimoghaddam, 2016)."""
SESSION_SECONDS = 3600.0
"""After so long without a request a conversation counts no more: its prefix has left the server's cache."""
MOST_SESSIONS = 100_000


class EvenNumbers:
    """Numbers from 0 to 1 that fill the range evenly, from a random start: the golden ratio's sequence.

    Two clients differ as with random numbers, but the shares of one come out even after few draws: of 16
    servers, one of weight 1 among weights to 4 gets its 2.5 % of 10 000 requests to the hundredth, where
    random numbers miss it by 6 % on average.
    """

    def __init__(self, random: Callable[[], float] = _random.random) -> None:
        self._last = random()

    def __call__(self) -> float:
        """Return the next number; threads that call at once may get the same one."""
        self._last = number = (self._last + 0.6180339887498949) % 1.0
        return number


class Draw:
    """Draws keys by weight; a key of weight 0 only where all of them weigh 0.

    Args:
        keys: at least one.
        turns: counts the requests that take turns; a part of a pool goes on where the pool is.
    """

    __slots__ = ("_totals", "keys", "turns")

    def __init__(self, keys: Sequence[Key], turns: Iterator[int] | None = None) -> None:
        self.keys = keys
        self.turns = count() if turns is None else turns
        # Measured against the largest, even huge weights have a finite sum.
        largest = max(key.weight for key in keys)
        self._totals = list(accumulate(key.weight / largest if largest else 1.0 for key in keys))

    def __call__(self, random: Callable[[], float] = _random.random) -> Key:
        """Draw one."""
        if len(self.keys) == 1:
            return self.keys[0]
        return self.keys[bisect(self._totals, random() * self._totals[-1])]

    def in_turn(self, limit: int) -> Key:
        """Take one after the other, each `limit` times in a row."""
        serving = self.serving
        return serving[next(self.turns) // limit % len(serving)]

    @property
    def serving(self) -> Sequence[Key]:
        """Those that are no spares, or all if all are."""
        return [key for key in self.keys if key.weight] or self.keys

    def less_busy(self, in_flight: Callable[[str], int], random: Callable[[], float] = _random.random) -> Key:
        """Draw two and take the one with fewer requests in flight."""
        first = self(random)
        second = self(random)
        for _ in range(3):  # two different ones, unless one of them has nearly all of the weight
            if second is not first:
                break
            second = self(random)
        return second if in_flight(second.name) < in_flight(first.name) else first


class Sessions:
    """The conversations, each at home on a server.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._homes: OrderedDict[str, tuple[str, float]] = OrderedDict()  # the longest unused in front
        self._counts: Counter[str] = Counter()
        self._tokens: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def home(self, session: str, keys: Sequence[Key]) -> Key:
        """Return the server of a conversation, chosen when it begins or when its server may not be asked.

        Args:
            session: the conversation.
            keys: those that may be asked, at least one.
        """
        now = self._clock()
        with self._lock:
            self._expire(now)
            home, _ = self._homes.get(session, ("", 0.0))
            key = next((key for key in keys if key.name == home), None)
            if key is None:
                if home:
                    self._counts[home] -= 1
                key = self._place(session, keys)
                self._counts[key.name] += 1
            self._homes[session] = key.name, now
            self._homes.move_to_end(session)
            return key

    def settle(self, session: str, name: str) -> None:
        """Make a server the home of a conversation that began there."""
        with self._lock:
            home, _ = self._homes.get(session, ("", 0.0))
            if home:
                self._counts[home] -= 1
            self._counts[name] += 1
            self._homes[session] = name, self._clock()
            self._homes.move_to_end(session)

    def counts(self) -> Mapping[str, int]:
        """Count the conversations that are at home on each server."""
        with self._lock:
            self._expire(self._clock())
            return dict(+self._counts)

    def token(self, session: str, name: str) -> str | None:
        """Return what the router of that name calls a conversation, if it said so."""
        return self._tokens.get((session, name))

    def keep_token(self, session: str, name: str, token: str) -> None:
        """Remember what a router calls a conversation, to be sent with its next request."""
        with self._lock:
            self._tokens[session, name] = token
            self._tokens.move_to_end((session, name))
            if len(self._tokens) > MOST_SESSIONS:
                self._tokens.popitem(last=False)

    def _place(self, session: str, keys: Sequence[Key]) -> Key:
        weights = [key.weight for key in keys]
        largest = max(weights)
        shares = [weight / largest if largest else 1.0 for weight in weights]
        total, here = sum(shares), 1 + sum(self._counts[key.name] for key in keys)
        # One server may have a conversation however small its share; none has more than its bound.
        bounds = {
            key.name: max(1, math.floor(LOAD_FACTOR * here * share / total))
            for key, share in zip(keys, shares, strict=True)
            if share
        }
        allowed = [key for key in keys if key.name in bounds]
        free = [key for key in allowed if self._counts[key.name] < bounds[key.name]]
        return max(free or allowed, key=lambda key: _score(session, key))

    def _expire(self, now: float) -> None:
        homes = self._homes
        while homes:
            session = next(iter(homes))
            name, used = homes[session]
            if used > now - SESSION_SECONDS and len(homes) <= MOST_SESSIONS:
                return
            del homes[session]
            self._counts[name] -= 1


def _score(session: str, key: Key) -> float:
    """The key's score in weighted rendezvous hashing: of all keys the largest wins, by weight on average."""
    digest = blake2b(f"{key.name}\0{session}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return (key.weight or 1.0) / -math.log(uniform)
