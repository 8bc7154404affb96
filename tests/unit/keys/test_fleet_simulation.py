"""The balances over a simulated fleet with failures: what a conversation gains by staying where it is."""

from __future__ import annotations

import pytest
from benchmarks.fleet import simulate


@pytest.mark.parametrize("size", [2, 8, 64])
def test_sticky_finds_its_prefixes_cached(size: int) -> None:
    sticky, weighted = (simulate(size, balance, turns=1500, seed=3) for balance in ("sticky", "weighted"))
    assert sticky.hit_rate > max(0.45, 1.2 * weighted.hit_rate)
    assert sticky.first_token < weighted.first_token


@pytest.mark.parametrize("balance", ["weighted", "least_busy", "sticky"])
def test_dead_servers_cost_few_requests_and_no_answer(balance: str) -> None:
    outcome = simulate(8, balance, turns=1500, seed=3)  # type: ignore[arg-type]
    assert outcome.lost == 0
    assert outcome.wasted < 0.05


@pytest.mark.parametrize("balance", ["weighted", "least_busy", "sticky"])
def test_without_failures_nobody_is_overloaded(balance: str) -> None:
    outcome = simulate(4, balance, turns=1500, seed=3, failures=False)  # type: ignore[arg-type]
    assert outcome.wasted == 0
    assert outcome.imbalance < 1.25
