"""Passive health: when a server rests, who probes it, and what never happens."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_connect._keys.health import (
    FIRST_REST,
    JITTER,
    LONG_REST,
    LONGEST_REST,
    LONGEST_RETRY_AFTER,
    MODEL_REST,
    Admission,
    Change,
    Failure,
    Health,
)

REFUSED = Failure("connection refused")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[Change]:
    return []


@pytest.fixture
def health(clock: Clock, changes: list[Change]) -> Health:
    return Health(clock=clock, random=lambda: 0.0, on_change=changes.append)


def fail(health: Health, name: str = "a", failure: Failure = REFUSED) -> None:
    admission = health.admit(name)
    admission.failed(failure)
    admission.end()


def succeed(health: Health, name: str = "a") -> None:
    admission = health.admit(name)
    admission.succeeded()
    admission.end()


def test_a_healthy_server_may_be_asked(health: Health) -> None:
    assert health.sift(["a", "b"], "m")[:3] == (["a", "b"], [], [])
    assert health.ailing == 0


def test_a_failure_ends_in_a_rest_and_a_success_after_it_in_health(
    health: Health, clock: Clock, changes: list[Change]
) -> None:
    fail(health)
    assert health.sift(["a", "b"], None)[:3] == (["b"], [], ["a"])
    clock.now += FIRST_REST
    assert health.sift(["a", "b"], None)[:3] == (["b"], ["a"], [])
    succeed(health)
    assert health.sift(["a", "b"], None)[:3] == (["a", "b"], [], [])
    assert health.ailing == 0
    assert changes == [
        Change("a", "resting", "connection refused", FIRST_REST),
        Change("a", "healthy", "connection refused", FIRST_REST),
    ]


def test_rests_double_with_each_probe_that_fails(health: Health, clock: Clock, changes: list[Change]) -> None:
    for _ in range(9):
        fail(health)
        clock.now = health["a"].until
    assert [change.seconds for change in changes] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    succeed(health)
    fail(health)
    assert changes[-1].seconds == FIRST_REST


def test_jitter_makes_a_rest_longer() -> None:
    health = Health(clock=lambda: 0.0, random=lambda: 1.0)
    fail(health)
    assert health["a"].until == FIRST_REST * (1 + JITTER)


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (Failure("429", retry_after=7.0), 7.0),
        (Failure("429", retry_after=0.0), FIRST_REST),
        (Failure("503", retry_after=1e9), LONGEST_RETRY_AFTER),
        (Failure("401", long=True), LONG_REST),
    ],
)
def test_how_long_it_rests(health: Health, clock: Clock, failure: Failure, seconds: float) -> None:
    fail(health, failure=failure)
    assert health["a"].until == clock.now + seconds


def test_requests_that_fail_together_are_one_failure(
    health: Health, clock: Clock, changes: list[Change]
) -> None:
    admissions = [health.admit("a") for _ in range(8)]
    for admission in admissions:
        admission.failed(REFUSED)
    assert len(changes) == 1
    assert health["a"].until == clock.now + FIRST_REST


def test_an_answer_from_before_the_failure_does_not_end_the_rest(health: Health) -> None:
    earlier = health.admit("a")
    fail(health)
    earlier.succeeded()
    assert health["a"].state == "resting"


def test_one_request_probes_and_the_others_stay_away(health: Health, clock: Clock) -> None:
    fail(health)
    clock.now += FIRST_REST
    probe = health.admit("a")
    assert probe.is_probe
    assert health.sift(["a", "b"], None)[:3] == (["b"], [], ["a"])
    assert not health.admit("a").is_probe  # asked all the same, when there is no other
    probe.succeeded()
    assert health.sift(["a"], None)[:3] == (["a"], [], [])


def test_a_probe_that_showed_nothing_leaves_it_to_the_next(health: Health, clock: Clock) -> None:
    fail(health)
    clock.now += FIRST_REST
    probe = health.admit("a")
    probe.end()  # cancelled, say
    assert health.sift(["a"], None)[:3] == ([], ["a"], [])
    assert health.admit("a").is_probe


def test_a_forgotten_admission_ends_with_its_object(health: Health, clock: Clock) -> None:
    fail(health)
    clock.now += FIRST_REST
    health.admit("a")
    gc.collect()
    assert health["a"].in_flight == 0
    assert health.sift(["a"], None)[:3] == ([], ["a"], [])


def test_asking_a_resting_server_for_want_of_another_does_not_prolong_its_rest(
    health: Health, clock: Clock
) -> None:
    fail(health)
    until = health["a"].until
    fail(health)
    assert health["a"].until == until
    fail(health, failure=Failure("503", retry_after=30.0))
    assert health["a"].until == clock.now + 30


def test_a_resting_server_that_answers_is_back(health: Health) -> None:
    fail(health)
    succeed(health)
    assert health["a"].state == "healthy"


def test_the_one_that_comes_back_first_is_in_front(health: Health) -> None:
    fail(health, "a", Failure("503", retry_after=20.0))
    fail(health, "b", Failure("503", retry_after=10.0))
    fail(health, "c", Failure("503", retry_after=30.0))
    assert health.sift(["a", "b", "c"], None)[:3] == ([], [], ["b", "a", "c"])


def test_a_model_that_a_server_lacks_is_not_asked_of_it_for_a_while(health: Health, clock: Clock) -> None:
    admission = health.admit("a")
    admission.lacks("llama")
    admission.end()
    assert health.sift(["a", "b"], "llama")[:3] == (["b"], [], ["a"])
    assert health.sift(["a", "b"], "qwen")[:3] == (["a", "b"], [], [])
    assert health.sift(["a", "b"], None)[:3] == (["a", "b"], [], [])
    clock.now += MODEL_REST
    assert health.sift(["a", "b"], "llama")[:3] == (["a", "b"], [], [])
    assert health.ailing == 0


def test_in_flight_counts_what_runs(health: Health) -> None:
    admissions = [health.admit("a") for _ in range(3)]
    assert health["a"].in_flight == 3
    for admission in admissions:
        admission.end()
        admission.end()
    assert health["a"].in_flight == 0


NAMES = ["a", "b", "c"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from(NAMES)),
        st.tuples(st.just("succeed"), st.integers(0, 20)),
        st.tuples(st.just("fail"), st.integers(0, 20)),
        st.tuples(st.just("busy"), st.integers(0, 20)),
        st.tuples(st.just("refuse"), st.integers(0, 20)),
        st.tuples(st.just("lack"), st.integers(0, 20)),
        st.tuples(st.just("end"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.floats(0, 100)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_no_schedule_breaks_the_rules(steps: list[tuple[str, object]]) -> None:
    clock = Clock()
    health = Health(clock=clock, random=lambda: 0.5)
    running: list[Admission] = []
    probes: dict[str, Admission] = {}
    for step, argument in steps:
        if step == "wait":
            clock.now += argument  # type: ignore[operator]
        elif step == "begin":
            name = str(argument)
            admission = health.admit(name)
            if admission.is_probe:
                other = probes.get(name)
                assert other is None or other not in running or settled(other), "two probes at a time"
                probes[name] = admission
            running.append(admission)
        elif running:
            admission = running[argument % len(running)]  # type: ignore[operator]
            if step == "succeed":
                admission.succeeded()
            elif step == "fail":
                admission.failed(REFUSED)
            elif step == "busy":
                admission.failed(Failure("429", retry_after=5.0))
            elif step == "refuse":
                admission.failed(Failure("401", long=True))
            elif step == "lack":
                admission.lacks("m")
            else:
                admission.end()
                running.remove(admission)
        healthy, due, others, _ = health.sift(NAMES, "m")
        assert sorted([*healthy, *due, *others]) == NAMES  # there is always somebody to ask
        for name in NAMES:
            server = health[name]
            assert server.until <= clock.now + LONG_REST * (1 + JITTER) + 1e-6
            assert server.in_flight == sum(admission.server is server for admission in running)
    # Once everything has ended and time has passed, every server is healthy or may be probed.
    for admission in running:
        admission.end()
    clock.now += max(LONG_REST, LONGEST_REST, MODEL_REST) * (1 + JITTER) + 1
    healthy, due, others, _ = health.sift(NAMES, "m")
    assert others == []
    for name in due:
        succeed(health, name)
    assert health.sift(NAMES, "m")[:3] == (NAMES, [], [])
    assert health.ailing == 0


def settled(admission: Admission) -> bool:
    return admission._epoch != admission.server._epoch
