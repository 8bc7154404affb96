"""Decisions: LangChain's questions and answers over the core's."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from vllm_connect import VLLM, AsyncVLLM
from vllm_connect._transport._httpx import httpx

pytest.importorskip("langchain_core.decisions", reason="decision models came with langchain-core 1.8")

from langchain_core.decisions import Box, Choice, Noul, NoulCriteria, Score

from langchain_vllm import VLLMDecisions

DETAILS = {"input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}}
USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12, **DETAILS}
REPLY = {
    "model": "m",
    "usage": {**USAGE, "output_tokens_details": {"reasoning_tokens": 0}},
    "answers": [
        {"type": "predicate", "name": None, "probability": 0.75},
        {
            "type": "choice",
            "name": None,
            "choice": "bug",
            "confidence": 0.9,
            "probabilities": [{"value": "bug", "probability": 0.9}, {"value": "wish", "probability": 0.1}],
        },
        {
            "type": "score",
            "name": None,
            "score": 0.5,
            "confidence": 0.5,
            "probabilities": [
                {"value": 0, "label": "low", "probability": 0.5},
                {"value": 1, "label": "high", "probability": 0.5},
            ],
        },
    ],
}
QUESTIONS = {
    "urgent": Noul(instructions="Is it urgent?", criteria=NoulCriteria(true="today")),
    "kind": Choice(instructions="What is it?", criteria={"bug": {"it": "breaks"}, "wish": None}),
    "bad": Score(instructions="How bad?", criteria=["low", "high"]),
}


def model(seen):
    def answer(request):
        seen.append(json.loads(request.content))
        return httpx.Response(200, json=REPLY)

    transport = httpx.MockTransport(answer)
    url = "http://nobody.invalid"
    return VLLMDecisions(
        model="m",
        client=VLLM(url, http_client=httpx.Client(transport=transport)),
        async_client=AsyncVLLM(url, http_client=httpx.AsyncClient(transport=transport)),
    )


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_questions_and_answers(kind):
    seen = []
    asked = {"state": "The door does not open.", "questions": QUESTIONS}
    response = model(seen).invoke(asked) if kind == "sync" else await model(seen).ainvoke(asked)
    assert response.nouls["urgent"].noul == 0.75
    assert response.choices["kind"].choice == "bug"
    assert response.choices["kind"].probabilities == {"bug": 0.9, "wish": 0.1}
    assert response.scores["bad"].legend == {0: "low", 1: "high"}
    assert response.scores["bad"].probabilities == {0: 0.5, 1: 0.5}
    assert response.usage["input_tokens"] == 9
    assert response.usage["input_token_details"] == {"cache_read": 4}
    assert seen == [
        {
            "model": "m",
            "input": "The door does not open.",
            "questions": [
                {"type": "predicate", "instructions": "Is it urgent?\ntrue: today"},
                {
                    "type": "choice",
                    "instructions": "What is it?",
                    "choices": [{"value": "bug", "description": '{"it": "breaks"}'}, {"value": "wish"}],
                },
                {
                    "type": "score",
                    "instructions": "How bad?",
                    "levels": [{"label": "low"}, {"label": "high"}],
                },
            ],
        }
    ]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ([HumanMessage("Hello"), AIMessage("Hi")], "human: Hello\n\nai: Hi"),
        (HumanMessage("Hello"), "human: Hello"),
        (
            {"said": HumanMessage("Grüße"), "count": 3},
            '{"said": {"role": "human", "content": "Grüße"}, "count": 3}',
        ),
        (["a", 1, None], '["a", 1, null]'),
    ],
)
def test_states(state, text):
    seen = []
    model(seen).invoke({"state": state, "questions": QUESTIONS})
    assert seen[0]["input"] == text


def test_what_vllm_cannot_see():
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    for state in ([HumanMessage([image])], {"picture": image}):
        with pytest.raises(ValueError, match="texts alone"):
            model([]).invoke({"state": state, "questions": QUESTIONS})
    with pytest.raises(ValueError, match="'box'"):
        model([]).invoke({"state": "x", "questions": {"where": Box(instructions="Where?")}})
