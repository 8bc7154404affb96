"""Decisions on a server that has no route for them: the simulator, as most servers are."""

from __future__ import annotations

import pytest

QUESTIONS = [
    {"type": "predicate", "instructions": "Is it urgent?"},
    {"type": "choice", "instructions": "What is it?", "choices": [{"value": "bug"}, {"value": "wish"}]},
]


async def test_read_from_a_chat(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    asked = {"model": "sim-chat", "input": "The door does not open.", "questions": QUESTIONS}
    predicate, choice = (await client("decisions.create", **asked)).answers
    assert 0 < predicate.probability < 1
    assert sum(each.probability for each in choice.probabilities) == pytest.approx(1)
    assert (await client("decisions.create", **asked)).answers == [predicate, choice]
