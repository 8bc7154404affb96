"""Replies in forms that only some servers send: read for what they mean, or refused as no answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import openai
import pytest

from vllm_connect import (
    VLLM,
    BadRequestError,
    ContextLengthError,
    InvalidResponseError,
    UnsupportedOperationError,
)
from vllm_connect._transport._httpx import httpx
from vllm_connect._wire.sse import Event, is_heartbeat, looks_like_events

MESSAGES: list[Any] = [{"role": "user", "content": "x"}]
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def client_of(body: object, *, status: int = 200, kind: str = "application/json", **arguments: Any) -> VLLM:
    """A client whose every request gets this reply; `client.requests` holds them."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, content=content, headers={"content-type": kind} if kind else {})

    transport = httpx.MockTransport(answer)
    client = VLLM("http://server", http_client=httpx.Client(transport=transport), max_retries=0, **arguments)
    client.requests = requests  # type: ignore[attr-defined]
    return client


def completion(message: object, finish: object = "stop", **fields: object) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **fields}


def events(*deltas: str) -> bytes:
    chunks = [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
        for text in deltas
    ]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def streamed(client: VLLM) -> str:
    stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@pytest.mark.parametrize(
    "kind",
    [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "application/json",
        "text/plain",
        "application/octet-stream",
        "",
    ],
)
def test_a_stream_is_one_by_its_bytes(kind: str) -> None:
    assert streamed(client_of(events("a", "b"), kind=kind)) == "ab"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_an_error_in_place_of_a_stream(kind: str) -> None:
    with pytest.raises(openai.RateLimitError, match="busy"):
        streamed(client_of({"error": {"message": "busy", "code": 429}}, kind=kind))


@pytest.mark.parametrize(
    "heartbeat",
    [
        b"data:\n\n",
        b"data: \n\n",
        b": ping\n\n",
        b"event: ping\ndata: {}\n\n",
        b"data: {}\n\n",
        b'data: {"type": "ping"}\n\n',
        b'data: {"type":"keep-alive","at":1}\n\n',
        b"event: heartbeat\ndata: 5\n\n",
        b'event: queue\ndata: {"position": 3}\n\n',
    ],
)
def test_heartbeats_pass(heartbeat: bytes) -> None:
    first, second = events("a"), events("b")
    assert streamed(client_of(heartbeat + events("a", "b"), kind="text/event-stream")) == "ab"
    middle = first.removesuffix(b"data: [DONE]\n\n") + heartbeat + second
    assert streamed(client_of(middle, kind="text/event-stream")) == "ab"


def test_an_error_after_a_heartbeat_is_still_the_first_event() -> None:
    body = b": ping\n\nevent: ping\ndata: {}\n\n" + b'data: {"error": {"message": "busy", "code": 429}}\n\n'
    with pytest.raises(openai.RateLimitError):
        client_of(body, kind="text/event-stream").chat.completions.create(messages=MESSAGES, stream=True)


def test_the_beginning_shows_whether_it_is_a_stream() -> None:
    assert looks_like_events(b"", claimed=False) is None
    assert looks_like_events(b"\n da", claimed=False) is None
    assert looks_like_events(b"\n data: x", claimed=False) is True
    assert looks_like_events(b"\xef\xbb\xbf: c", claimed=False) is True
    assert looks_like_events(b"dat4", claimed=False) is False
    assert looks_like_events(b"unknown: x", claimed=True) is True
    assert looks_like_events(b'{"error"', claimed=True) is False
    assert not is_heartbeat(Event(b'{"choices": []}'))


@pytest.mark.parametrize(
    ("message", "code", "is_context"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, your prompt has 5000 tokens.",
            400,
            True,
        ),
        (
            "You passed 10243 input tokens and requested 6142 output tokens. However, the model's context "
            "length is only 16384 tokens, resulting in a maximum input length of 10242 tokens.",
            400,
            True,
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 4996 tokens "
            "(3996 in the messages, 1000 in the completion).",
            400,
            True,
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 8012 tokens "
            "(12 in the messages, 8000 in the completion).",
            400,
            False,
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context "
            "length is 2048 tokens and your request has 12 input tokens (5000 > 2048 - 12).",
            400,
            False,
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context "
            "length is 2048 tokens and your request has 1700 input tokens (500 > 2048 - 1700).",
            400,
            True,
        ),
        ("max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer.", 400, False),
        ("The engine prompt length 5000 exceeds the max_model_len 4096.", 400, True),
        ("max_tokens must be at least 1, got -1. (parameter=max_tokens, value=-1)", 400, False),
        ("Input length (300) exceeds model's maximum context length (256).", 400, True),
        ("max_tokens must be at least 1, got -904.", 400, True),
        ("max_tokens must be at least 1, got 0.", 400, False),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 400, True),
        ("Too many tokens.", "context_length_exceeded", True),
        ("temperature must be non-negative, got -1.", 400, False),
    ],
)
def test_too_long_a_prompt_in_every_wording(message: str, code: object, is_context: bool) -> None:
    error = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}
    with pytest.raises(BadRequestError) as caught:
        client_of(error, status=400).chat.completions.create(messages=MESSAGES)
    assert isinstance(caught.value, ContextLengthError) is is_context


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "slow down", "code": "rate_limit_exceeded"}, 429),
        ({"message": "no", "code": "model_not_found"}, 404),
        ({"message": "no", "type": "invalid_api_key"}, 401),
        ({"error": {"message": "slow down", "code": 429}}, 429),
        ({"message": '{"error": {"message": "slow down", "code": 429}}', "code": 500}, 429),
        ({"message": {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}}, 429),
    ],
)
def test_codes_that_are_words_and_errors_in_errors(error: object, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client_of({"error": error}).chat.completions.create(messages=MESSAGES)
    assert caught.value.status_code == status
    assert "{" not in caught.value.message.partition("[")[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}},
        {"usage": {**USAGE, "prompt_tokens": "many", "prompt_tokens_details": {"cached_tokens": "some"}}},
        {"usage": "free"},
        {"created": None},
        {"model": None},
    ],
)
def test_numbers_that_are_none_do_not_cost_the_answer(fields: dict[str, Any]) -> None:
    client = client_of(completion({"role": "assistant", "content": "hi"}, **fields))
    assert client.chat.completions.create(messages=MESSAGES).choices[0].message.content == "hi"
    assert client.responses.create(model="m", input="x").output_text == "hi"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            {"role": "assistant", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]},
            "hi",
        ),
        ({"role": "assistant", "content": None, "reasoning": ["a", "b"]}, None),
        ({"role": "assistant", "content": "hi", "reasoning": 5}, "hi"),
    ],
)
def test_texts_in_other_forms(message: dict[str, Any], text: str | None) -> None:
    client = client_of(completion(message, 7))
    assert client.chat.completions.create(messages=MESSAGES).choices[0].message.content == text


@pytest.mark.parametrize(
    "choice", [{"index": 0, "finish_reason": "stop"}, {"index": 0, "message": None}, None, "x"]
)
def test_a_choice_without_a_message_is_no_answer(choice: object) -> None:
    client = client_of({**completion({}), "choices": [choice]})
    with pytest.raises(InvalidResponseError, match="neither message"):
        client.chat.completions.create(messages=MESSAGES)


def test_what_python_writes_and_json_does_not_know() -> None:
    body = (
        b"\xef\xbb\xbf"
        + json.dumps(
            {**completion({"role": "assistant", "content": "hi"}), "metrics": {"t": math.nan}}
        ).encode()
    )
    assert client_of(body).chat.completions.create(messages=MESSAGES).choices[0].message.content == "hi"
    body = b'{"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0, NaN, -Infinity]}]}'
    vector = client_of(body).embeddings.create(input="x", encoding_format="float").data[0].embedding
    assert vector[0] == 1.0
    assert math.isnan(vector[1])
    assert vector[2] == -math.inf


def vectors(*rows: object) -> dict[str, Any]:
    return {
        "object": "list",
        "model": "m",
        "data": [{"index": n, "embedding": row} for n, row in enumerate(rows)],
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (vectors([1.0, 2.0], [1.0]), "different lengths"),
        (vectors([1.0, "two"], [1.0, 2.0]), "something else than numbers"),
        (vectors([1.0]), "1 embeddings for 2 inputs"),
        (vectors([1.0], [2.0], [3.0]), "3 embeddings for 2 inputs"),
    ],
)
def test_vectors_that_are_none(body: object, problem: str) -> None:
    with pytest.raises(InvalidResponseError, match=problem):
        client_of(body).embeddings.create(input=["a", "b"], encoding_format="float")


def items(key: str, *values: object) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"index": n, "num_classes": 2, key: value} for n, value in enumerate(values)],
    }


@pytest.mark.parametrize(
    ("call", "body", "problem"),
    [
        (
            lambda c: c.score.create(queries="q", documents=["a", "b"]),
            items("score", 0.5),
            "1 (?:scores|classes|results) for 2 ",
        ),
        (
            lambda c: c.score.create(queries="q", documents=["a"]),
            items("score", 0.5, 0.6),
            "2 scores for 1 pairs",
        ),
        (
            lambda c: c.score.create(queries="q", documents=["a"]),
            items("score", "high"),
            "no score that is a number",
        ),
        (
            lambda c: c.score.create(queries="q", documents=["a"]),
            items("score", None),
            "no score that is a number",
        ),
        (
            lambda c: c.classify.create(input=["a", "b"]),
            items("probs", [1.0]),
            "1 (?:scores|classes|results) for 2 ",
        ),
        (
            lambda c: c.classify.create(input=["a"]),
            items("probs", [None]),
            "no probabilities that are numbers",
        ),
        (
            lambda c: c.pooling.create(input=["a", "b"]),
            items("data", [1.0]),
            "1 (?:scores|classes|results) for 2 ",
        ),
        (lambda c: c.pooling.create(input="a"), items("data", [1.0, "x"]), "data that is no number"),
        (
            lambda c: c.rerank.create(query="q", documents=["a", "b"]),
            {"results": [{"index": 0, "relevance_score": 1}]},
            "1 ",
        ),
        (
            lambda c: c.rerank.create(query="q", documents=["a", "b"], top_n=1),
            {"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 0}]},
            "2 ",
        ),
    ],
)
def test_numbers_for_other_inputs_than_were_asked(
    call: Callable[[VLLM], object], body: object, problem: str
) -> None:
    with pytest.raises(InvalidResponseError, match=problem):
        call(client_of(body))


def chat(client: VLLM, **params: Any) -> object:
    return client.chat.completions.create(**{"messages": MESSAGES, **params})


LOOP: dict[str, Any] = {}
LOOP["self"] = LOOP


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (lambda c: chat(c, model=5), TypeError, "chat.completions.create: model must be a name, not int"),
        (
            lambda c: c.embeddings.create(model=5, input="x"),
            TypeError,
            "embeddings.create: model must be a name",
        ),
        (lambda c: chat(c, timeout="soon"), TypeError, "timeout must be seconds"),
        (lambda c: chat(c, timeout=-1), ValueError, "timeout must be more than 0"),
        (lambda c: chat(c, extra_query=5), TypeError, "extra_query must be a mapping, not int"),
        (lambda c: chat(c, extra_headers={"X-A": "a\r\nb: c"}), ValueError, "X-A.* holds a line break"),
        (lambda c: chat(c, extra_headers={"X-A": 5}), TypeError, "X-A.* must be text, not int"),
        (lambda c: chat(c, temperature=math.nan), ValueError, "temperature is nan"),
        (lambda c: chat(c, logit_bias={"5": math.inf}), ValueError, "logit_bias.5 is inf"),
        (lambda c: chat(c, extra_body=LOOP), TypeError, "contains itself"),
        (lambda c: chat(c, stop={"a", "b"}), TypeError, "JSON cannot carry a set"),
        (
            lambda c: chat(c, messages=[{"role": "user", "content": "half \ud83d"}]),
            ValueError,
            r"messages\[0\].content holds half a character",
        ),
        (lambda c: c.embeddings.create(input=b"hi"), TypeError, "input is bytes"),
        (lambda c: c.embeddings.create(input={"a", "b"}), TypeError, "input is set"),
        (lambda c: c.embeddings.create(input=["a", None]), TypeError, r"input\[1\] is NoneType"),
        (lambda c: c.embeddings.create(input=[]), ValueError, "input is empty"),
        (lambda c: c.rerank.create(query="q", documents={"a", "b"}), TypeError, "documents must be a list"),
        (
            lambda c: c.rerank.create(query="q", documents=["a"], top_n="1"),
            TypeError,
            "top_n must be a whole number",
        ),
        (
            lambda c: c.copy(responses_api="chat").responses.retrieve("resp_1"),
            UnsupportedOperationError,
            "responses_api='native'",
        ),
    ],
)
def test_input_is_refused_in_words_before_any_request(
    call: Callable[[VLLM], object], error: type[Exception], problem: str
) -> None:
    client = client_of(completion({"role": "assistant", "content": "hi"}))
    with pytest.raises(error, match=problem):
        call(client)
    assert client.requests == []  # type: ignore[attr-defined]


def test_half_a_character_that_the_server_sent_goes_back_as_it_came() -> None:
    client = client_of(completion({"role": "assistant", "content": "hi"}))
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": "\ud83d"}'}}
    chat(client, messages=[*MESSAGES, {"role": "assistant", "tool_calls": [call]}])
    (request,) = client.requests  # type: ignore[attr-defined]
    sent = json.loads(request.content)["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert sent == '{"a": "\\ud83d"}'


def test_stored_responses_are_asked_of_the_server_that_made_them() -> None:
    stored = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "status": "queued",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    client = client_of(stored, responses_api="native")
    assert client.responses.create(model="m", input="x", background=True).status == "queued"
    assert client.responses.retrieve("resp_1").id == "resp_1"
    assert client.responses.cancel("resp_1").id == "resp_1"
    asked = [(request.method, request.url.path) for request in client.requests]  # type: ignore[attr-defined]
    assert asked == [
        ("POST", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
    ]
