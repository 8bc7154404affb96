"""What is read from a chat is what the server itself decides, question by question."""

from __future__ import annotations

import random

import pytest

from vllm_connect._wire.label_reads import LETTERS
from vllm_connect.resources.decisions import Decider

WORDS = ["sky", "sea", "cat", "dog", "blue", "red", "big", "small", "open", "door", "house", "tree"]


def question(rng):
    kind = rng.choice(["predicate", "choice", "score"])
    asked = {"type": kind, "instructions": rng.choice(["What is it?", "Is it so?", "How much?", ""])}
    described = {"description": rng.choice(WORDS)} if rng.random() < 0.3 else {}
    if kind == "choice":
        values = rng.sample(WORDS, rng.randint(2, 10))
        return {**asked, "choices": [{"value": value, **described} for value in values]}
    if kind == "score":
        labels = rng.sample(WORDS, rng.randint(2, 10))
        return {**asked, "levels": [{"label": label, **described} for label in labels]}
    return asked


def numbers(answer):
    if answer.type == "predicate":
        return [answer.probability]
    return [answer.confidence, *(each.probability for each in answer.probabilities)]


async def test_two_hundred_questions(open):
    rng = random.Random(7)
    decided, read = open.client.decisions, open.client.decisions._decider
    by_chat = Decider(read._perform, lambda operation, model: True)
    worst, count = 0.0, 0
    while count < 200:
        questions = [question(rng) for _ in range(5)]
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 30)))
        params = {"model": "tiny-open", "input": text, "questions": questions}
        theirs = await open("decisions.create", **params)
        ours = by_chat.decide(params)
        if open.kind == "sync":
            from vllm_connect._transport.run import run

            ours = run(ours)
        else:
            ours = await ours
        for one, other in zip(theirs.answers, ours.answers, strict=True):
            worst = max(worst, *(abs(a - b) for a, b in zip(numbers(one), numbers(other), strict=True)))
            count += 1
    assert decided is open.client.decisions
    assert worst < 1e-6, worst
    assert len(by_chat._letters["tiny-open"]) <= len(LETTERS)
    assert worst == pytest.approx(0, abs=1e-6)
