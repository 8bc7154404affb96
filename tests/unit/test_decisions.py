"""Decisions over servers that have one route, another, or none; and what cannot be asked."""

from __future__ import annotations

import json
import math

import pytest
from tests.both import settled

from vllm_connect import BadRequestError, InvalidResponseError, UnsupportedOperationError
from vllm_connect._wire.label_reads import prompt_of, structured_request

MISSING = (404, {"detail": "Not Found"})
NO_STRATEGY = (501, {"error": {"message": "no strategy", "type": "NotImplementedError", "code": 501}})
QUESTION = {"type": "choice", "instructions": "What?", "choices": [{"value": "a"}, {"value": "b"}]}
ASKED = {"model": "m", "input": "text", "questions": [QUESTION]}
USAGE = {"input_tokens": 5, "output_tokens": 1}
STRUCTURED = {
    "model": "m",
    "answers": {"0": {"probabilities": {'"a"': 0.25, '"b"': 0.75}}},
    "diagnostics": {"0": {"label_mass": 0.5}},
    "usage": USAGE,
}


def tokens(*ids):
    return (200, {"count": len(ids), "max_model_len": 100, "tokens": list(ids)})


def chat(*pairs):
    top = [{"token": f"token_id:{id}", "logprob": math.log(each), "bytes": None} for id, each in pairs]
    content = [{**top[0], "top_logprobs": top}]
    message = {"role": "assistant", "content": "A"}
    choice = {"index": 0, "message": message, "finish_reason": "length", "logprobs": {"content": content}}
    return (200, {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


LETTERS = [tokens(1, 2), (200, {"prompt": "<x>"}), tokens(1, 2, 65), tokens(1, 2, 66)]


async def test_an_older_server(canned):
    client = canned(MISSING, (200, STRUCTURED))
    decision = await client("decisions.create", **ASKED)
    (answer,) = decision.answers
    assert (answer.choice, answer.confidence) == ("b", 0.375)
    assert decision.usage.total_tokens == 6
    assert [request.url.path for request in client.requests] == ["/v1/decisions", "/v1/systemone"]
    sent = json.loads(client.requests[-1].content)
    assert sent["questions"] == {
        "0": {"type": "choice", "instructions": "What?", "criteria": {'"a"': None, '"b"': None}}
    }


@pytest.mark.parametrize("refusal", [MISSING, NO_STRATEGY])
async def test_a_chat(canned, refusal):
    client = canned(refusal, refusal, *LETTERS, chat((66, 0.5), (65, 0.25)))
    (answer,) = (await client("decisions.create", **ASKED)).answers
    assert answer.choice == "b"
    assert answer.confidence == pytest.approx(0.5)
    assert [each.probability for each in answer.probabilities] == pytest.approx([1 / 3, 2 / 3])
    assert json.loads(client.requests[-1].content)["logprob_token_ids"] == [65, 66]


async def test_what_a_server_is_able_to_is_remembered(canned):
    client = canned(MISSING, MISSING, *LETTERS, chat((65, 0.5), (66, 0.25)), chat((65, 0.5), (66, 0.25)))
    await client("decisions.create", **ASKED)
    before = len(client.requests)
    await client("decisions.create", **ASKED)
    assert [request.url.path for request in client.requests[before:]] == ["/v1/chat/completions"]


async def test_letters_that_are_no_tokens(canned):
    client = canned(MISSING, MISSING, tokens(1, 2), (200, {"prompt": "<x>"}), tokens(1, 9, 65))
    with pytest.raises(UnsupportedOperationError, match="'A' is not one token"):
        await client("decisions.create", **ASKED)


async def test_a_server_that_gives_other_tokens(canned):
    client = canned(MISSING, MISSING, *LETTERS, chat((65, 0.5), (99, 0.5)))
    with pytest.raises(UnsupportedOperationError, match="logprob_token_ids"):
        await client("decisions.create", **ASKED)


async def test_a_refusal_is_no_missing_route(canned):
    client = canned((400, {"error": {"message": "at most 2", "code": 400}}))
    with pytest.raises(BadRequestError, match="at most 2"):
        await client("decisions.create", **ASKED)
    assert len(client.requests) == 1


async def test_too_few_answers(canned):
    usage = {**USAGE, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 6}
    client = canned((200, {"model": "m", "answers": [], "usage": usage}))
    with pytest.raises(InvalidResponseError, match="0 answers to 1"):
        await client("decisions.create", **ASKED)
    client = canned(MISSING, (200, {**STRUCTURED, "answers": {}}))
    with pytest.raises(InvalidResponseError, match="no answer"):
        await client("decisions.create", **ASKED)


async def test_raw_replies(canned):
    client = canned(MISSING, (200, STRUCTURED))
    raw = await client("decisions.with_raw_response.create", **ASKED)
    assert (await settled(raw.parse())).answers[0].choice == "b"
    client = canned(MISSING, MISSING)
    with pytest.raises(UnsupportedOperationError, match="several requests"):
        await client("decisions.with_raw_response.create", **ASKED)


async def test_joint_reads_are_of_newer_servers(canned):
    client = canned(MISSING)
    with pytest.raises(UnsupportedOperationError, match=r"0\.33"):
        await client("decisions.create", **ASKED, joint=True)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"type": "essay", "instructions": "x"}, "not 'essay'"),
        ({"type": "choice", "instructions": "x", "choices": [{"value": "a"}]}, "2 to 26"),
        ({"type": "choice", "instructions": "x", "choices": [{"value": "a"}] * 2}, "one name"),
        ({"type": "score", "instructions": "x", "levels": [{"label": str(n)} for n in range(27)]}, "2 to 26"),
    ],
)
def test_questions_that_cannot_be_asked(question, message):
    with pytest.raises(ValueError, match=message):
        structured_request({"input": "x", "questions": [question]})


@pytest.mark.parametrize(
    "given",
    [[{"role": "assistant", "content": "x"}], [{"role": "user", "content": [{"type": "input_image"}]}], 3],
)
def test_inputs_that_cannot_be_asked(given):
    with pytest.raises(ValueError, match="input"):
        structured_request({"input": given, "questions": [QUESTION]})


def test_prompts_are_those_of_vllm():
    question = {
        "type": "choice",
        "instructions": "What?",
        "choices": [{"value": "a", "description": "first"}, {"value": False}],
    }
    assert prompt_of("It is.", question) == (
        'It is.\n\nQuestion: What?\nA: "a" - first\nB: false\nAnswer with the letter of one option only.'
    )
    assert prompt_of("It is.", {"type": "predicate", "instructions": ""}) == (
        "It is.\n\nA: false\nB: true\nAnswer with the letter of one option only."
    )
