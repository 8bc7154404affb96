"""A stream that ends too early is an error, in every operation, and nothing that arrived is lost."""

import json

import openai
import pytest

from vllm_connect import APIConnectionError, APIStatusError, IncompleteStreamError
from vllm_connect._transport._httpx import httpx

HELLO = [{"role": "user", "content": "Hi"}]
CHAT = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
NATIVE = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "status": "completed"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"


def event(payload):
    return b"data: %b\n\n" % json.dumps(payload).encode()


def chunk(text=None, reason=None, index=0, **more):
    delta = {} if text is None else {"content": text}
    choices = [{"index": index, "delta": delta, "finish_reason": reason}]
    return event({**CHAT, "object": "chat.completion.chunk", "choices": choices, **more})


ROLE = event(
    {**CHAT, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
)
USAGE = event(
    {
        **CHAT, "object": "chat.completion.chunk", "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)  # fmt: skip
CUT = httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@pytest.mark.parametrize(
    ("pieces", "texts", "why"),
    [
        ([ROLE + chunk("a")], [None, "a"], "neither a finish_reason nor"),
        ([ROLE, chunk("a"), USAGE], [None, "a", "usage"], "neither a finish_reason nor"),
        ([chunk("a", "stop", 0), chunk("b", None, 1)], ["a", "b"], "neither a finish_reason nor"),
        ([DONE], [], r"\[DONE\] without an answer"),
        ([USAGE, DONE], ["usage"], r"\[DONE\] without an answer"),
        ([b": keep-alive\n\n"], [], "neither a finish_reason nor"),
        ([b""], [], "neither a finish_reason nor"),
        ([chunk("a"), chunk("b", "stop")[:-30]], ["a"], "its last event is cut"),
        ([chunk("a"), CUT], ["a"], "the connection broke: peer closed"),
        ([chunk("a"), chunk("b")[:9], httpx.ReadError("")], ["a"], "the connection broke: ReadError"),
    ],
)
async def test_a_truncated_stream_is_an_error(canned, pieces, texts, why):
    client = canned((200, list(pieces), SSE), max_retries=2)
    with pytest.raises(IncompleteStreamError, match=why) as raised:
        await client.stream("chat.completions.create", messages=HELLO)
    seen = [c.choices[0].delta.content if c.choices else "usage" for c in client.seen]
    assert seen == texts  # what did arrive is handed over, and then there is one error
    assert isinstance(raised.value, openai.APIError)
    assert not isinstance(raised.value, APIStatusError)
    assert raised.value.operation == "chat.completions.create"
    assert (raised.value.key_name, raised.value.server_url) == ("default", "http://gpu:8000")
    assert len(client.requests) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [ROLE, chunk("a", "stop"), DONE],
        [ROLE, chunk("a", "stop")],  # some servers never say [DONE] (#6390)
        [chunk("a"), chunk(None, "stop"), USAGE],
        [chunk("a"), USAGE, DONE],  # [DONE] alone completes what was begun
        [chunk("a", "abort"), DONE],
        [chunk("a", "stop")[:-2]],  # no blank line at the end
        [chunk("a", "stop"), DONE, CUT],
        [chunk("a", "stop"), DONE, event({"error": {"message": "after the end", "code": 500}})],
    ],
)
async def test_a_complete_stream_is_none(canned, pieces):
    client = canned((200, list(pieces), SSE))
    seen = await client.stream("chat.completions.create", messages=HELLO)
    assert "".join(c.choices[0].delta.content or "" for c in seen if c.choices) == "a"


@pytest.mark.parametrize("pieces", [[CUT], [b": keep-alive\n\n", CUT], [ROLE[:20], httpx.ReadError("gone")]])
async def test_a_death_before_the_first_event_is_retried(canned, pieces):
    good = (200, [chunk("a", "stop"), DONE], SSE)
    client = canned((200, list(pieces), SSE), good, max_retries=1)
    assert len(await client.stream("chat.completions.create", messages=HELLO)) == 1
    assert len(client.requests) == 2
    client = canned((200, list(pieces), SSE), max_retries=2)
    with pytest.raises(APIConnectionError):
        await client.stream("chat.completions.create", messages=HELLO)
    assert len(client.requests) == 3
    assert client.seen == []


@pytest.mark.parametrize("pieces", [[chunk("a")], [chunk("a"), CUT], [DONE]])
async def test_a_truncated_response_is_an_error(canned, pieces):
    client = canned((200, list(pieces), SSE))
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Hi")
    assert "response.completed" not in [each.type for each in client.seen]
    if len(client.seen):
        assert client.seen[-1].type == "response.failed"


async def test_a_native_response_without_a_terminal_event(canned):
    created = event({"type": "response.created", "sequence_number": 0, "response": NATIVE})
    client = canned((200, created, SSE), responses_api="native")
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Hi")
    assert [each.type for each in client.seen] == ["response.created"]
    completed = event({"type": "response.completed", "sequence_number": 1, "response": NATIVE})
    client = canned((200, created + completed, SSE), responses_api="native")
    assert len(await client.stream("responses.create", input="Hi")) == 2


async def test_a_truncated_completion(canned):
    text = event({**CHAT, "object": "text_completion", "choices": [{"index": 0, "text": "a"}]})
    client = canned((200, text, SSE))
    with pytest.raises(IncompleteStreamError, match=r"completions\.create"):
        await client.stream("completions.create", prompt="Hi")
    assert [each.choices[0].text for each in client.seen] == ["a"]
