"""Compare the balances over simulated fleets: `python -m benchmarks.fleet [--svg FILE]`.

The client's own choice of a server (health, balance, failover) before servers that are a model: each prefills
one prompt after the other (every fourth one slower), skips what its prefix cache holds of a conversation, and
fails from time to time. Nothing is sent; time is simulated. Conversations arrive at random, and each turn's
prompt contains all earlier ones. Times to first token are told in prefills: that of a prompt
of average length is one.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean, quantiles
from typing import NamedTuple

from vllm_connect import Key
from vllm_connect._keys.balancing import Balance
from vllm_connect._keys.fleet import Fleet, Placement
from vllm_connect._keys.health import Admission, Failure

COMPARED: tuple[Balance, ...] = ("weighted", "least_busy", "sticky")
"""Not fill_first, which loads one server on purpose, nor round_robin, which is weighted without weights."""
SIZES = (2, 4, 8, 16, 64)
TURNS = 6
TURN_TOKENS = 200
AVERAGE_PROMPT = TURN_TOKENS * (TURNS + 1) / 2
CACHED_CONVERSATIONS = 60
"""How many conversations the prefix cache of one server holds."""
THINKING = 30 * AVERAGE_PROMPT
"""Time between an answer and the next turn; one token of prefill is one unit of time."""
DECODING = 4 * AVERAGE_PROMPT
LOAD = 0.6
"""The share of time that the servers would prefill, were nothing cached."""
SLOWNESS = 1.5
"""How much slower every fourth server prefills: the rest of its GPU serves another model."""
UP, DOWN = 400 * AVERAGE_PROMPT, 40 * AVERAGE_PROMPT


class Outcome(NamedTuple):
    """What a fleet of a size and a balance came to.

    Attributes:
        servers: how many there were.
        balance: how they were chosen.
        hit_rate: share of prompt tokens that a prefix cache held.
        imbalance: the most requests that a server got, over the average.
        first_token: mean time to first token, in prefills.
        first_token_95: the time that 95 % do not exceed.
        wasted: share of requests that went to a server which was down.
        lost: requests that no server answered.
    """

    servers: int
    balance: Balance
    hit_rate: float
    imbalance: float
    first_token: float
    first_token_95: float
    wasted: float
    lost: int


@dataclass
class Server:
    """A server: one prefill at a time, and a prefix cache that forgets the conversation longest unused."""

    slowness: float = 1.0
    up: bool = True
    free_at: float = 0.0
    cache: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def prefill(self, now: float, conversation: int, tokens: int) -> tuple[float, int]:
        """Return the time until the first token comes, and how many tokens were cached."""
        cached = self.cache.pop(conversation, 0)
        self.cache[conversation] = tokens
        if len(self.cache) > CACHED_CONVERSATIONS:
            self.cache.popitem(last=False)
        self.free_at = max(self.free_at, now) + (tokens - cached) * self.slowness
        return self.free_at - now, cached


class Clock:
    """Simulated time, in seconds for the health rules: one prefill takes half a second."""

    now = 0.0

    def __call__(self) -> float:
        return self.now / AVERAGE_PROMPT / 2


class Simulation:
    """A fleet, its servers, and the conversations that go through it.

    Args:
        size: how many servers.
        balance: how they are chosen.
        seed: of everything that is random.
        failures: whether servers fail.
    """

    def __init__(self, size: int, balance: Balance, seed: int, failures: bool) -> None:
        keys = [Key(name=f"server-{number}", url=f"http://server-{number}") for number in range(size)]
        self.clock = Clock()
        self.fleet = Fleet(keys, balance, clock=self.clock, random=random.Random(seed).random)
        self.servers = {
            key.name: Server(SLOWNESS if number % 4 == 1 else 1.0) for number, key in enumerate(keys)
        }
        self.requests = Counter(dict.fromkeys(self.servers, 0))
        self.waits: list[float] = []
        self.cached_tokens = self.all_tokens = self.wasted = self.lost = 0
        # A generator for each kind of event, so that every balance meets the same conversations and failures.
        kinds = ("arrivals", "pauses", "spells")
        self._arrivals, self._pauses, self._spells = (
            random.Random(f"{seed}-{size}-{kind}") for kind in kinds
        )
        self._between = TURNS * AVERAGE_PROMPT / (LOAD * size)  # conversations
        self._order = iter(range(1 << 60))
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._after(0.0, partial(self._begin, 0))
        if failures:
            for name in self.servers:
                self._after(self._spells.expovariate(1 / UP), partial(self._turn_off, name))

    def run(self, turns: int) -> None:
        """Run until so many turns were answered or lost."""
        while len(self.waits) + self.lost < turns:
            self.clock.now, _, event = heapq.heappop(self._events)
            event()

    def _after(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock.now + delay, next(self._order), event))

    def _begin(self, conversation: int) -> None:
        self._after(self._arrivals.expovariate(1 / self._between), partial(self._begin, conversation + 1))
        self._ask(conversation, 1)

    def _turn_off(self, name: str) -> None:
        self.servers[name].up = False
        self.servers[name].cache.clear()
        self._after(self._spells.expovariate(1 / DOWN), partial(self._turn_on, name))

    def _turn_on(self, name: str) -> None:
        self.servers[name].up = True
        self._after(self._spells.expovariate(1 / UP), partial(self._turn_off, name))

    def _ask(self, conversation: int, turn: int) -> None:
        session = str(conversation) if self.fleet.balance == "sticky" else None
        tried: set[str] = set()
        placement: Placement | None = self.fleet.place("m", session=session)
        while placement is not None:
            name, admission = placement.server.key.name, placement.admission
            if self.servers[name].up:
                self._answer(name, admission, conversation, turn)
                return
            tried.add(name)
            admission.failed(Failure("connection refused"))
            admission.end()
            self.wasted += 1
            placement = self.fleet.elsewhere("m", tried, session=session)
        self.lost += 1

    def _answer(self, name: str, admission: Admission, conversation: int, turn: int) -> None:
        tokens = turn * TURN_TOKENS
        wait, cached = self.servers[name].prefill(self.clock.now, conversation, tokens)
        admission.succeeded()
        self.requests[name] += 1
        self.waits.append(wait / AVERAGE_PROMPT)
        self.cached_tokens += cached
        self.all_tokens += tokens
        self._after(wait + DECODING, admission.end)
        if turn < TURNS:
            pause = self._pauses.expovariate(1 / THINKING)
            self._after(wait + DECODING + pause, partial(self._ask, conversation, turn + 1))


def simulate(size: int, balance: Balance, *, turns: int, seed: int, failures: bool = True) -> Outcome:
    """Run so many turns through a fleet."""
    simulation = Simulation(size, balance, seed, failures)
    simulation.run(turns)
    waits, requests = simulation.waits, simulation.requests
    return Outcome(
        servers=size,
        balance=balance,
        hit_rate=simulation.cached_tokens / simulation.all_tokens,
        imbalance=max(requests.values()) / mean(requests.values()),
        first_token=mean(waits),
        first_token_95=quantiles(waits, n=20)[-1],
        wasted=simulation.wasted / (simulation.wasted + len(waits)),
        lost=simulation.lost,
    )


def outcomes(turns: int, seed: int) -> Iterator[Outcome]:
    """Run every balance over every size."""
    for size in SIZES:
        for balance in COMPARED:
            yield simulate(size, balance, turns=turns, seed=seed)


_COLOURS = {"weighted": "#7a7a7a", "least_busy": "#3b78b4", "sticky": "#c8641e"}
_CHARTS = (("hit_rate", "Prompt tokens cached"), ("first_token_95", "Time to first token, 95 %, in prefills"))


def picture(results: list[Outcome]) -> str:
    """Draw bars by size of fleet: what was cached, and the time to first token."""
    width, height, bar = 360, 220, 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 60}" '
        'font-family="sans-serif" font-size="12" role="img" '
        'aria-label="Cached prompt tokens and time to first token by balance and number of servers">',
        f'<rect width="{2 * width}" height="{height + 60}" fill="white"/>',
    ]
    for number, (name, title) in enumerate(_CHARTS):
        left, most = number * width + 20, max(float(getattr(each, name)) for each in results)
        parts.append(f'<text x="{left}" y="18" font-weight="bold">{title}</text>')
        for place, size in enumerate(SIZES):
            for offset, balance in enumerate(COMPARED):
                (value,) = (
                    float(getattr(each, name))
                    for each in results
                    if (each.servers, each.balance) == (size, balance)
                )
                x, tall = left + place * 66 + offset * (bar + 2), value / most * (height - 50)
                text = f"{value:.0%}" if name == "hit_rate" else f"{value:.1f}"
                parts.append(
                    f'<rect x="{x}" y="{height - tall:.1f}" width="{bar}" height="{tall:.1f}" '
                    f'fill="{_COLOURS[balance]}"/>'
                    f'<text x="{x + bar / 2}" y="{height - tall - 3:.1f}" font-size="8" '
                    f'text-anchor="middle">{text}</text>'
                )
            parts.append(
                f'<text x="{left + place * 66 + 27}" y="{height + 16}" text-anchor="middle">{size}</text>'
            )
        parts.append(f'<text x="{left}" y="{height + 32}">servers</text>')
    for offset, (name, colour) in enumerate(_COLOURS.items()):
        x = 20 + offset * 110
        parts.append(f'<rect x="{x}" y="{height + 42}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{height + 52}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--turns", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--svg", type=Path, help="write a picture, too")
    arguments = parser.parse_args()
    results = []
    print(f"{'servers':>7}  {'balance':10}  cached  imbalance  first token  95 %  wasted  lost")
    for each in outcomes(arguments.turns, arguments.seed):
        results.append(each)
        print(
            f"{each.servers:7}  {each.balance:10}  {each.hit_rate:6.1%}  {each.imbalance:9.2f}  "
            f"{each.first_token:11.2f}  {each.first_token_95:4.1f}  {each.wasted:6.2%}  {each.lost:4}"
        )
    if arguments.svg:
        arguments.svg.write_text(picture(results))


if __name__ == "__main__":
    main()
