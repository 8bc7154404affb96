"""Decisions: asked of a server that decides, and read from the chat of one that does not."""

from __future__ import annotations

import pytest
from tests.operations.catalogue import covers

from vllm_connect import NotFoundError

QUESTIONS = [
    {"type": "predicate", "name": "urgent", "instructions": "Is it urgent?"},
    {
        "type": "choice",
        "instructions": "What is it?",
        "choices": [{"value": "bug", "description": "It is broken."}, {"value": "wish"}, {"value": True}],
    },
    {"type": "score", "instructions": "How bad?", "levels": [{"label": "low"}, {"label": "high"}]},
]


def asked(model, **params):
    return {"model": model, "input": "The door does not open.", "questions": QUESTIONS, **params}


def check(decision):
    predicate, choice, score = decision.answers
    assert (predicate.type, predicate.name) == ("predicate", "urgent")
    assert 0 < predicate.probability < 1
    assert [each.value for each in choice.probabilities] == ["bug", "wish", True]
    assert sum(each.probability for each in choice.probabilities) == pytest.approx(1)
    likeliest = max(choice.probabilities, key=lambda each: each.probability)
    assert choice.choice == likeliest.value
    assert 0 < choice.confidence < 1
    assert [(each.value, each.label) for each in score.probabilities] == [(0, "low"), (1, "high")]
    assert score.score == pytest.approx(score.probabilities[1].probability)
    assert score.name is None
    assert decision.usage.input_tokens > 0
    assert decision.usage.total_tokens == decision.usage.input_tokens + decision.usage.output_tokens


class TestDecisions:
    """Typed questions."""

    @covers("decisions.create")
    async def test_of_a_server_that_decides(self, open):
        decision = await open("decisions.create", **asked("tiny-open"))
        assert decision.model == "tiny-open"
        check(decision)

    @covers("decisions.create")
    async def test_read_from_a_chat(self, chat):
        decision = await chat("decisions.create", **asked("tiny-chat"))
        assert decision.model == "tiny-chat"
        check(decision)
        again = await chat("decisions.create", **asked("tiny-chat"))
        assert again.answers == decision.answers

    async def test_messages(self, open):
        message = {"role": "user", "content": [{"type": "input_text", "text": "The door does not open."}]}
        one = await open("decisions.create", **asked("tiny-open"))
        other = await open("decisions.create", **asked("tiny-open", input=[message]))
        assert other.answers == one.answers

    async def test_errors(self, chat):
        with pytest.raises(NotFoundError, match="nobody"):
            await chat("decisions.create", **asked("nobody"))
        with pytest.raises(TypeError, match="prompt_cache_key"):
            await chat("decisions.create", **asked("tiny-chat", prompt_cache_key="x"))
        with pytest.raises(TypeError, match="questions"):
            await chat("decisions.create", model="tiny-chat", input="x", questions=[])
