"""Balance: shares by weight, the less busy of two, and conversations that stay where they are."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vllm_connect._keys.balancing import SESSION_SECONDS, Draw, EvenNumbers, Sessions
from vllm_connect._keys.key import Key


def keys(*weights: float) -> list[Key]:
    return [Key(name=f"k{number}", weight=weight) for number, weight in enumerate(weights)]


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_the_weights(seed: int) -> None:
    fleet = keys(*(1 + number % 4 for number in range(16)))[1:]  # one is dead
    draw, numbers = Draw(fleet), EvenNumbers(random.Random(seed).random)
    counts = Counter(draw(numbers).name for _ in range(10_000))
    total = sum(key.weight for key in fleet)
    for key in fleet:
        assert counts[key.name] / 10_000 == pytest.approx(key.weight / total, rel=0.05)


def test_every_other_number_is_even_too() -> None:
    numbers = EvenNumbers(random.Random(1).random)
    halves = Counter(numbers() < 0.5 for number in range(2000) if number % 2 or not numbers())
    assert halves[True] == pytest.approx(sum(halves.values()) / 2, rel=0.02)


@pytest.mark.parametrize("weights", [(1e308, 1e308), (5e-324, 5e-324), (0.0, 0.0)])
def test_extreme_weights_share_evenly(weights: tuple[float, ...]) -> None:
    draw, generator = Draw(keys(*weights)), random.Random(1)
    counts = Counter(draw(generator.random).name for _ in range(1000))
    assert min(counts["k0"], counts["k1"]) > 400


def test_a_spare_is_not_drawn_beside_others() -> None:
    draw, generator = Draw(keys(1, 0, 1)), random.Random(1)
    assert {draw(generator.random).name for _ in range(1000)} == {"k0", "k2"}


def test_the_less_busy_of_two_gets_the_request() -> None:
    draw, generator = Draw(keys(1, 1)), random.Random(3)
    busy = {"k0": 5, "k1": 0}
    counts = Counter(draw.less_busy(busy.__getitem__, generator.random).name for _ in range(1000))
    assert counts["k1"] > 900


def test_one_key_is_drawn_without_a_random_number() -> None:
    def never() -> float:
        raise AssertionError("one key needs no draw")

    assert Draw(keys(1))(never).name == "k0"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_conversation_stays_with_its_server() -> None:
    sessions, fleet = Sessions(Clock()), keys(1, 1, 1)
    homes = {f"s{number}": sessions.home(f"s{number}", fleet) for number in range(50)}
    for session, home in homes.items():
        assert sessions.home(session, fleet) is home


@pytest.mark.parametrize("servers", [2, 3, 8])
@pytest.mark.parametrize("count", [6, 7, 40, 500])
def test_no_server_has_more_than_its_bound(servers: int, count: int) -> None:
    for seed in range(20):
        sessions, fleet = Sessions(Clock()), keys(*[1.0] * servers)
        for number in range(count):
            sessions.home(f"{seed}-{number}", fleet)
        assert max(sessions.counts().values()) <= max(1, -(-1.25 * count // servers))
        if count == 6 and servers == 2:
            assert sessions.counts() == {"k0": 3, "k1": 3}


def test_shares_of_conversations_are_the_weights() -> None:
    sessions, fleet = Sessions(Clock()), keys(1, 2, 3, 4)
    for number in range(5000):
        sessions.home(f"s{number}", fleet)
    for number, weight in enumerate((1, 2, 3, 4)):
        assert sessions.counts()[f"k{number}"] == pytest.approx(5000 * weight / 10, rel=0.1)


def test_two_clients_agree_on_most_homes() -> None:
    first, second, fleet = Sessions(Clock()), Sessions(Clock()), keys(1, 1, 1, 1)
    names = [f"s{number}" for number in range(400)]
    homes = {name: first.home(name, fleet).name for name in names}
    random.Random(5).shuffle(names)
    assert sum(second.home(name, fleet).name == homes[name] for name in names) > 350


def test_a_conversation_moves_when_its_server_may_not_be_asked_and_stays_there() -> None:
    sessions, fleet = Sessions(Clock()), keys(1, 1)
    home = sessions.home("s", fleet)
    (other,) = (key for key in fleet if key is not home)
    assert sessions.home("s", [other]) is other
    assert sessions.home("s", fleet) is other
    assert sessions.counts() == {other.name: 1}


def test_a_server_more_moves_few_conversations() -> None:
    sessions, fleet = Sessions(Clock()), keys(1, 1, 1)
    homes = {f"s{number}": sessions.home(f"s{number}", fleet) for number in range(100)}
    larger = [*fleet, Key(name="new")]
    assert all(sessions.home(session, larger) is home for session, home in homes.items())


def test_conversations_that_ended_count_no_more() -> None:
    clock = Clock()
    sessions, fleet = Sessions(clock), keys(1, 1)
    for number in range(10):
        sessions.home(f"s{number}", fleet)
    clock.now = SESSION_SECONDS
    assert sessions.counts() == {}
