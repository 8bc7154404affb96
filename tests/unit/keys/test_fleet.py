"""The fleet: who is asked while servers fail, come back, are added and removed."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from pathlib import Path

import pytest

from vllm_connect import ConfigError, Key, MissingURLError, NoKeyError
from vllm_connect._keys.fleet import Fleet
from vllm_connect._keys.health import Failure
from vllm_connect._keys.policy import Policy
from vllm_connect._keys.watching import WatchedFile

REFUSED = Failure("connection refused")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def keys(*names: str, **fields: object) -> list[Key]:
    return [Key(name=name, url=f"http://{name}", **fields) for name in names]  # type: ignore[arg-type]


def fleet_of(*names: str, clock: Clock | None = None, balance: str = "weighted") -> Fleet:
    generator = random.Random(3)
    return Fleet(keys(*names), balance, clock=clock or Clock(), random=generator.random)  # type: ignore[arg-type]


def fail(fleet: Fleet, name: str, failure: Failure = REFUSED) -> None:
    placement = fleet.place(key_name=name)
    placement.admission.failed(failure)
    placement.admission.end()


def places(fleet: Fleet, count: int = 100, **request: object) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _ in range(count):
        placement = fleet.place("m", **request)  # type: ignore[arg-type]
        counts[placement.server.key.name] += 1
        placement.admission.succeeded()
        placement.admission.end()
    return counts


def test_requests_are_spread_evenly() -> None:
    counts = places(fleet_of("a", "b"))
    assert 48 <= counts["a"] <= 52


def test_a_server_that_failed_gets_one_probe_when_its_rest_is_over() -> None:
    clock = Clock()
    fleet = fleet_of("a", "b", clock=clock)
    fail(fleet, "a")
    assert places(fleet) == {"b": 100}
    clock.now += 1.5
    probe = fleet.place("m")
    assert probe.server.key.name == "a"
    assert places(fleet) == {"b": 100}
    probe.admission.succeeded()
    assert 48 <= places(fleet)["a"] <= 52


def test_another_server_is_one_that_was_not_tried() -> None:
    fleet = fleet_of("a", "b", "c")
    names = {fleet.elsewhere("m", ["a", "b"]).server.key.name for _ in range(20)}  # type: ignore[union-attr]
    assert names == {"c"}
    assert fleet.elsewhere("m", ["a", "b", "c"]) is None


def test_another_server_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SERVER", raising=False)
    fleet = Fleet([Key(name="broken", url="env.NO_SUCH_SERVER"), *keys("a")])
    assert fleet.elsewhere("m", ["a"]) is None


def test_when_all_rest_the_first_to_come_back_is_asked() -> None:
    fleet = fleet_of("a", "b")
    fail(fleet, "a", Failure("503", retry_after=20.0))
    fail(fleet, "b", Failure("503", retry_after=10.0))
    assert fleet.place("m").server.key.name == "b"


def test_an_untried_server_is_asked_though_it_rests() -> None:
    fleet = fleet_of("a", "b")
    fail(fleet, "b")
    assert fleet.elsewhere("m", ["a"]).server.key.name == "b"  # type: ignore[union-attr]


def test_a_spare_serves_while_the_others_rest_and_is_not_probed_while_they_do_not() -> None:
    clock = Clock()
    fleet = Fleet([*keys("a"), *keys("spare", weight=0)], clock=clock)
    fail(fleet, "spare")
    clock.now += 5
    assert places(fleet) == {"a": 100}
    fail(fleet, "a")
    assert places(fleet) == {"spare": 100}


@pytest.mark.parametrize("balance", ["weighted", "least_busy", "sticky"])
def test_no_balance_asks_a_server_that_rests(balance: str) -> None:
    fleet = fleet_of("a", "b", "c", balance=balance)
    fail(fleet, "b")
    assert set(places(fleet)) == {"a", "c"}


def test_least_busy_avoids_who_is_busy() -> None:
    fleet = fleet_of("a", "b", balance="least_busy")
    running = [fleet.place(key_name="a") for _ in range(10)]
    assert places(fleet, 20)["b"] >= 18
    del running


def test_a_session_stays_until_its_server_fails() -> None:
    clock = Clock()
    fleet = fleet_of("a", "b", "c", clock=clock, balance="sticky")
    (home,) = places(fleet, session="s")
    fail(fleet, home)
    (second,) = places(fleet, session="s")
    assert second != home
    clock.now += 5
    assert places(fleet, session="s") == {second: 100}


def test_sticky_without_a_session_is_by_weight() -> None:
    assert set(places(fleet_of("a", "b", balance="sticky"))) == {"a", "b"}


def test_a_key_that_cannot_be_used_is_skipped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NO_SUCH_SERVER", raising=False)
    fleet = Fleet([Key(name="broken", url="env.NO_SUCH_SERVER"), *keys("a")])
    assert places(fleet) == {"a": 100}
    assert "skipping a key: no base URL configured" in caplog.text
    with pytest.raises(MissingURLError):
        Fleet([Key(name="broken", url="env.NO_SUCH_SERVER")]).place("m")
    # It is read when it is used: set later, it serves.
    monkeypatch.setenv("NO_SUCH_SERVER", "http://b")
    assert places(fleet)["broken"] > 0


def test_no_key_for_a_model() -> None:
    fleet = Fleet([*keys("a", models=["llama"])])
    with pytest.raises(NoKeyError, match="no key supports the model 'm'"):
        fleet.place("m")


def test_keys_change_while_running() -> None:
    fleet = fleet_of("a", "b")
    running = fleet.place(key_name="a")
    fail(fleet, "b")
    fleet.keys = (Key(name="b", url="http://elsewhere"), *keys("c"))
    assert set(places(fleet)) == {"b", "c"}  # the new "b" has not failed
    running.admission.end()
    with pytest.raises(ConfigError, match="two keys are named 'c'"):
        fleet.keys = (*keys("c"), *keys("c"))
    assert [key.name for key in fleet.keys] == ["b", "c"]


def test_an_unknown_balance_is_refused() -> None:
    known = "'weighted' or 'least_busy' or 'sticky' or 'round_robin' or 'fill_first'"
    with pytest.raises(ConfigError, match=f"balance is {known}, not 'random'"):
        fleet_of("a", balance="random")


def test_one_line_in_the_log_when_a_server_rests_and_one_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    fleet = fleet_of("a", "b", clock=clock)
    fail(fleet, "a")
    fail(fleet, "a")
    clock.now += 1.5
    places(fleet)
    assert [record.getMessage() for record in caplog.records] == [
        "key 'a' rests for 1 s: connection refused",
        "key 'a' is back after 2 s (connection refused)",
    ]


def test_the_only_server_is_asked_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    fleet = fleet_of("a")
    fail(fleet, "a")
    assert places(fleet, 3) == {"a": 3}
    assert caplog.records == []


def test_how_the_servers_are_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SERVER", raising=False)
    clock = Clock()
    fleet = Fleet([*keys("a", "b"), Key(name="c", url="env.NO_SUCH_SERVER")], clock=clock)
    running = fleet.place(key_name="a")
    fleet.place("m", session="s").admission.lacks("m")
    fail(fleet, "b", Failure("503", retry_after=30.0))
    a, b, c = fleet.statuses()
    assert (a.key_name, a.url, a.state, a.in_flight, a.until) == ("a", "http://a", "healthy", 1, None)
    assert (b.state, b.reason) == ("resting", "503")
    assert b.until is not None
    assert 29 < (b.until - b.since).total_seconds() < 37
    assert (c.url, c.state) == (None, "healthy")
    assert a.sessions + b.sessions == 1
    assert a.lacking + b.lacking == ("m",)
    running.admission.end()
    assert fleet.statuses()[0].in_flight == 0


def test_one_after_the_other() -> None:
    fleet = fleet_of("a", "b", "c", balance="round_robin")
    order = [fleet.place("m").server.key.name for _ in range(6)]
    assert order == ["a", "b", "c", "a", "b", "c"]
    other = [fleet.place("n").server.key.name for _ in range(2)]
    assert other == ["a", "b"]  # every model has turns of its own


def test_turns_of_several_requests() -> None:
    fleet = Fleet(keys("a", "b"), "round_robin", Policy(sticky_limit=2), clock=Clock())
    assert [fleet.place("m").server.key.name for _ in range(5)] == ["a", "a", "b", "b", "a"]


def test_turns_leave_out_who_rests_and_spares() -> None:
    fleet = Fleet([*keys("a", "b", "c"), *keys("spare", weight=0)], "round_robin", clock=Clock())
    fail(fleet, "b")
    assert places(fleet, 10) == {"a": 5, "c": 5}
    for name in ("a", "c"):
        fail(fleet, name)
    assert places(fleet, 10) == {"spare": 10}


def test_who_takes_over_has_a_turn_like_all_others() -> None:
    fleet = fleet_of("dead", "a", "b", "c", balance="round_robin")
    heirs = Counter(fleet.elsewhere("m", ["dead"]).server.key.name for _ in range(30))  # type: ignore[union-attr]
    assert heirs == {"a": 10, "b": 10, "c": 10}


def test_the_first_that_is_well() -> None:
    clock = Clock()
    fleet = fleet_of("a", "b", clock=clock, balance="fill_first")
    assert places(fleet, 10) == {"a": 10}
    fail(fleet, "a")
    assert places(fleet, 10) == {"b": 10}
    clock.now += 1.5
    assert places(fleet, 10) == {"a": 10}


def test_a_cooldown_is_the_first_rest() -> None:
    clock = Clock()
    fleet = Fleet(keys("a", "b"), policy=Policy(cooldown=90), clock=clock, random=lambda: 0.0)
    fail(fleet, "a")
    assert fleet.health["a"].until == 90
    clock.now = 90
    fail(fleet, "a")
    assert fleet.health["a"].until == 180  # the longest rest is no shorter than the first


def test_a_new_credential_ends_a_rest() -> None:
    fleet = fleet_of("a", "b")
    fail(fleet, "a", Failure("401", long=True))
    assert places(fleet, 10) == {"b": 10}
    fleet.keys = [Key(name="a", url="http://a", api_key="right"), *keys("b")]
    assert places(fleet, 10)["a"] == 5


def test_a_changed_weight_does_not() -> None:
    fleet = fleet_of("a", "b")
    fail(fleet, "a")
    fleet.keys = [*keys("a", weight=5), *keys("b")]
    assert places(fleet, 10) == {"b": 10}


@pytest.mark.parametrize("fixed", [(), ("balance", "policy")])
def test_a_file_that_changed_is_obeyed(tmp_path: Path, fixed: tuple[str, ...]) -> None:
    path, clock = tmp_path / "config.json", Clock()

    def write(*names: str, **selection: object) -> None:
        listed = [{"name": name, "vllm_key_config": {"url": f"http://{name}"}} for name in names]
        path.write_text(json.dumps({"keys": listed, "key_selection": selection}))

    write("a")
    watched = WatchedFile(path, clock=clock)
    fleet = Fleet(watched.config.keys, clock=clock)
    fleet.follow(watched, fixed=fixed)
    write("b", "c", strategy="round_robin", cooldown_seconds=5)
    assert fleet.place("m").server.key.name == "a"
    clock.now += 1.1
    assert fleet.place("m").server.key.name in ("b", "c")
    assert [status.key_name for status in fleet.statuses()] == ["b", "c"]
    assert (fleet.balance, fleet.policy.cooldown) == (("weighted", 1.0) if fixed else ("round_robin", 5.0))


def test_how_long_until_a_server_may_be_asked() -> None:
    clock = Clock()
    fleet = Fleet(keys("a", "b"), clock=clock, random=lambda: 0.0)
    assert fleet.seconds_to_wait("m") == 0
    fail(fleet, "a", Failure("429", retry_after=30))
    assert fleet.seconds_to_wait("m") == 0
    fail(fleet, "b")
    assert fleet.seconds_to_wait("m") == 1
    clock.now += 1
    assert fleet.seconds_to_wait("m") == 0
