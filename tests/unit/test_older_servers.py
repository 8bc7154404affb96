"""What older releases of vLLM answer otherwise; `docs/versions.md` has what was tried on them."""

from __future__ import annotations

import json

import pytest

from vllm_connect import BadRequestError, InvalidResponseError

PAGE = b"<html>Sign in</html>"


@pytest.mark.parametrize(
    ("operation", "done"),
    [("server.sleep", None), ("server.wake_up", True), ("server.reset_prefix_cache", True)],
)
async def test_done_without_a_word(canned, operation, done):
    """vLLM 0.32 answers a JSON object, 0.30 nothing; a page of a proxy is neither."""
    assert await canned((200, b""))(operation) is done
    with pytest.raises(InvalidResponseError):
        await canned((200, PAGE))(operation)


@pytest.mark.parametrize(
    ("operation", "reply", "found"),
    [
        ("server.wake_up", {"status": "sleeping", "tags": ["weights"]}, False),
        ("server.reset_prefix_cache", {"success": False}, False),
    ],
)
async def test_not_done(canned, operation, reply, found):
    assert await canned((200, reply))(operation) is found


# What vLLM 0.12 says of `queries` and `documents`, which it does not know.
MISSED = {
    "error": {
        "message": "2 validation errors:\n"
        "  {'type': 'missing', 'loc': ('body', 'text_1'), 'msg': 'Field required'}",
        "type": "Bad Request",
        "param": None,
        "code": 400,
    }
}
SCORES = {
    "object": "list",
    "model": "m",
    "data": [{"index": 0, "object": "score", "score": 0.5}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


async def test_score_in_the_older_words(canned):
    def answer(request):
        return (200, SCORES) if b"text_1" in request.content else (400, MISSED)

    client = canned(answer)
    reply = await client("score.create", queries="q", documents=["d"], truncate_prompt_tokens=9)
    assert reply.data[0].score == 0.5
    bodies = [json.loads(request.content) for request in client.requests]
    assert bodies[-1] == {"text_1": "q", "text_2": ["d"], "truncate_prompt_tokens": 9}
    await client("score.create", queries="q", documents=["d"])
    assert len(client.requests) == len(bodies) + 1  # it is remembered


async def test_score_that_is_refused(canned):
    """What the server refuses in either words is an error, and says the first."""
    client = canned((400, {"error": {"message": "too long", "type": "BadRequestError", "code": 400}}))
    with pytest.raises(BadRequestError, match="too long"):
        await client("score.create", queries="q", documents=["d"])
    assert len(client.requests) == 1
