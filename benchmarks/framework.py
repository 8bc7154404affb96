"""Compare two models of one framework, theirs and ours: streams chunk by chunk, and whole answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from .report import run, show
from .scenarios import Scenario, Sides, measured
from .server import BURST, PACED, running

_ROUNDS = 7
_REQUESTS = 10
_STREAMS = (("chunk of a burst", "burst", BURST), ("chunk that arrives alone", "paced", PACED))

Act = Callable[[Any], object]


def compare(
    what: str,
    models: Callable[[str, str], Mapping[str, Any]],
    streams: Mapping[str, Act],
    ask: tuple[str, Act],
) -> None:
    """Measure, and print the table.

    Args:
        what: is compared, for the table's title.
        models: makes both sides' models for the server's URL and one of its models.
        streams: method to what reads a whole stream by it.
        ask: method and what gets a whole answer by it.
    """
    with running() as url:
        scenarios = _scenarios(partial(models, url), streams, ask)
        rows = [row for scenario in scenarios for row in run(scenario, _ROUNDS)]
    show(rows, _ROUNDS, what)


def _scenarios(
    models: Callable[[str], Mapping[str, Any]], streams: Mapping[str, Act], ask: tuple[str, Act]
) -> Iterator[Scenario]:
    def sides(model: str, act: Act, scale: float) -> Sides:
        return {side: partial(measured, partial(act, made), scale) for side, made in models(model).items()}

    for title, model, count in _STREAMS:
        for method, act in streams.items():
            yield Scenario(f"{title}, {method}", "µs", None, sides(model, act, count / 1e6))
    method, act = ask

    def ask_often(model: Any) -> None:
        for _ in range(_REQUESTS):
            act(model)

    title = f"request of 40 messages, {method}"
    yield Scenario(title, "ms", None, sides("reply", ask_often, _REQUESTS / 1e3))
