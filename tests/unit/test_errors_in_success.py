"""An HTTP 200 that carries an error is that error, for every operation; and what merely looks like one."""

import json

import pytest

import vllm_connect
from vllm_connect.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    VLLMError,
)

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}

MESSAGES = [{"role": "user", "content": "Hi"}]
OPERATIONS = {
    "chat.completions.create": {"model": "m", "messages": MESSAGES},
    "completions.create": {"model": "m", "prompt": "Hi"},
    "responses.create": {"model": "m", "input": "Hi"},
    # A format that was never understood gives way to the next one; one that the caller chose does not.
    "embeddings.create": {"model": "m", "input": "Hi", "encoding_format": "float"},
    "rerank.create": {"model": "m", "query": "q", "documents": ["a", "b"]},
    "score.create": {"model": "m", "text_1": "a", "text_2": "b"},
    "classify.create": {"model": "m", "input": "a"},
    "pooling.create": {"model": "m", "input": "a"},
    "tokenize": {"model": "m", "prompt": "a"},
    "detokenize": {"model": "m", "tokens": [1]},
    "models.list": {},
    "audio.transcriptions.create": {"model": "m", "file": ("a.wav", b"RIFF")},
    "audio.translations.create": {"model": "m", "file": ("a.wav", b"RIFF")},
    "server.version": {},
    "server.load": {},
    "messages.create": {"model": "m", "messages": MESSAGES, "max_tokens": 1},
    "messages.count_tokens": {"model": "m", "messages": MESSAGES},
    "chat.completions.batch": {"model": "m", "messages": [MESSAGES]},
    "chat.completions.render": {"model": "m", "messages": MESSAGES},
    "generate.create": {"model": "m", "token_ids": [1]},
    "generative_scoring.create": {"model": "m", "query": "q", "items": ["a"], "label_token_ids": [1]},
}
STREAMS = [
    "chat.completions.create",
    "completions.create",
    "responses.create",
    "messages.create",
    "generate.create",
    "audio.transcriptions.create",
    "audio.translations.create",
]

VALIDATION = [{"loc": ["body", "n"], "msg": "too small", "type": "value_error"}]
PAYLOADS = {
    "nested 400": ({"error": {"message": "boom", "type": "BadRequestError", "code": 400}}, 400),
    "nested 404": ({"error": {"message": "boom", "type": "NotFoundError", "param": None, "code": 404}}, 404),
    "nested 500": ({"error": {"message": "boom", "type": "InternalServerError", "code": 500}}, 500),
    "nested 503": ({"error": {"message": "boom", "type": "Service Unavailable", "code": 503}}, 503),
    "nested, code as text": ({"error": {"message": "boom", "code": "422"}}, 422),
    "nested, by type": ({"error": {"message": "boom", "type": "PermissionDeniedError"}}, 403),
    "nested, no code": ({"error": {"message": "boom"}}, 500),
    "flat": ({"object": "error", "message": "boom", "type": "BadRequestError", "code": 400}, 400),
    "flat, by type": ({"object": "error", "message": "boom", "type": "invalid_request_error"}, 400),
    "RunPod": ({"code": 404, "object": "error"}, 404),
    "string, a phrase": ({"error": "Unauthorized"}, 401),
    "string": ({"error": "The model is currently scaling."}, 500),
    "detail, a phrase": ({"detail": "Not Found"}, 404),
    "detail, Method Not Allowed": ({"detail": "Method Not Allowed"}, 405),
    "detail, list": ({"detail": VALIDATION}, 500),
    "typed": ({"type": "error", "error": {"type": "not_found_error", "message": "boom"}}, 404),
    "typed, overloaded": ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, 503),
    "Cohere": ({"message": "boom", "id": "1"}, 500),
    "code beside": ({"error": {"message": "boom"}, "status": 409}, 409),
}
CLASSES = {
    status: getattr(vllm_connect, name)
    for status, name in {
        400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError",
        404: "NotFoundError", 405: "APIStatusError", 409: "ConflictError",
        422: "UnprocessableEntityError", 500: "InternalServerError", 503: "InternalServerError",
    }.items()
} | {405: APIStatusError}  # fmt: skip


def check(error, status, operation):
    assert type(error) is CLASSES[status]
    assert (error.status_code, error.http_status) == (status, 200)
    assert str(error).startswith(f"Error code: {status} - ")
    assert "(sent as HTTP 200)" in str(error)
    assert (error.operation, error.key_name, error.server_url) == (operation, "default", "http://gpu:8000")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_whole(canned, operation):
    client = canned(*((200, payload) for payload, _ in PAYLOADS.values()))
    for _, status in PAYLOADS.values():
        with pytest.raises(VLLMError) as raised:
            await client(operation, **OPERATIONS[operation])
        check(raised.value, status, operation)
    assert len(client.requests) == len(PAYLOADS)  # a 404 inside a 200 says nothing about the path


@pytest.mark.parametrize("payload", ["nested 404", "flat", "string, a phrase"])
async def test_native_responses(canned, payload):
    payload, status = PAYLOADS[payload]
    client = canned((200, payload), responses_api="native")
    with pytest.raises(VLLMError) as raised:
        await client("responses.create", model="m", input="Hi")
    check(raised.value, status, "responses.create")


@pytest.mark.parametrize("operation", STREAMS)
async def test_instead_of_a_stream(canned, operation):
    client = canned(*((200, payload) for payload, _ in PAYLOADS.values()))
    for _, status in PAYLOADS.values():
        with pytest.raises(VLLMError) as raised:
            await client(operation, stream=True, **OPERATIONS[operation])
        check(raised.value, status, operation)


@pytest.mark.parametrize("operation", STREAMS)
async def test_as_first_event(canned, operation):
    def stream(payload):
        return (200, b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(payload).encode(), SSE)

    client = canned(*(stream(payload) for payload, _ in PAYLOADS.values()))
    for _, status in PAYLOADS.values():
        with pytest.raises(VLLMError) as raised:
            await client(operation, stream=True, **OPERATIONS[operation])  # not only when iterated
        check(raised.value, status, operation)


@pytest.mark.parametrize("place", ["first", "hidden"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_huge(canned, operation, place):
    error = {"message": "x" * 100_000, "type": "NotFoundError", "param": None, "code": 404}
    payload = {"error": error} if place == "first" else {"id": "1", "error": error}
    with pytest.raises(VLLMError) as raised:
        await canned((200, payload))(operation, **OPERATIONS[operation])
    check(raised.value, 404, operation)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_neither_answer_nor_error(canned, operation):
    bodies = [b"", b"<html>hi</html>", b"OK", b"null", b"[]", b"5", b'"x"', b"{}", b'{"x']
    client = canned(*((200, body, JSON) for body in bodies))
    for _ in bodies:
        with pytest.raises(InvalidResponseError) as raised:
            await client(operation, **OPERATIONS[operation])
        error = raised.value
        assert f"no answer to {operation}" in str(error)
        assert (error.operation, error.key_name, error.server_url) == (
            operation,
            "default",
            "http://gpu:8000",
        )
    assert len(client.requests) == len(bodies)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_huge_and_no_json(canned, operation):
    with pytest.raises(InvalidResponseError, match=f"no answer to {operation}"):
        await canned((200, b'{"id": "' + b"x" * 100_000, JSON))(operation, **OPERATIONS[operation])


@pytest.mark.parametrize("operation", ["chat.completions.create", "completions.create", "responses.create"])
async def test_no_choices(canned, operation):
    """Nobody could read an answer of it, and `choices[0]` would only be an IndexError."""
    for extra in ({}, {"error": None}):
        body = {"id": "r", "object": "o", "created": 1, "model": "m", "choices": [], "usage": None, **extra}
        with pytest.raises(InvalidResponseError, match="'choices' is empty"):
            await canned((200, body))(operation, **OPERATIONS[operation])


@pytest.mark.parametrize("headers", [JSON, {"content-type": "text/html"}, {}])
@pytest.mark.parametrize("operation", STREAMS)
async def test_no_stream(canned, operation, headers):
    with pytest.raises(InvalidResponseError, match=f"no answer to {operation}"):
        await canned((200, b"<html>hi</html>", headers))(operation, stream=True, **OPERATIONS[operation])


# --- retries: the same rules as for a status -------------------------------------------------------


@pytest.mark.parametrize(("code", "requests"), [(400, 1), (404, 1), (500, 1), (501, 1), (429, 3), (503, 3)])
@pytest.mark.parametrize("streamed", [False, True])
async def test_retried_like_a_status(canned, code, requests, streamed):
    payload = {"error": {"message": "boom", "code": code}}
    body = (b"data: %b\n\n" % json.dumps(payload).encode(), SSE) if streamed else (payload,)
    client = canned((200, *body), max_retries=2)
    with pytest.raises(APIStatusError) as raised:
        await client("chat.completions.create", messages=MESSAGES, stream=streamed)
    assert raised.value.status_code == code
    assert len(client.requests) == requests


async def test_retried_to_success(canned):
    busy = {"error": {"message": "busy", "code": 503}}
    client = canned((200, busy), (200, {"version": "1"}), max_retries=1)
    assert await client("server.version") == "1"
    assert len(client.requests) == 2


# --- what is no error ------------------------------------------------------------------------------

TALK = '{"error": {"message": "boom", "code": 500}}, "detail": "Not Found", "object": "error"'
CHAT = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
CALL = {"id": "1", "type": "function", "function": {"name": "error", "arguments": TALK}}


@pytest.mark.parametrize("noise", [{}, {"error": None}, {"error": {}}, {"error": False}, {"detail": "x"}])
async def test_answer_that_talks_about_errors(canned, noise):
    message = {"role": "assistant", "content": TALK, "reasoning": TALK, "tool_calls": [CALL]}
    choice = {"index": 0, "message": message, "finish_reason": "error"}
    client = canned((200, {**noise, **CHAT, "choices": [choice]}))
    answer = await client("chat.completions.create", messages=MESSAGES)
    assert answer.choices[0].message.content == answer.choices[0].message.reasoning == TALK
    assert answer.choices[0].message.tool_calls[0].function.arguments == TALK
    assert answer.choices[0].finish_reason == "error"


@pytest.mark.parametrize(
    ("operation", "reply", "path"),
    [
        ("completions.create", {**CHAT, "choices": [{"index": 0, "text": TALK}]}, "choices.0.text"),
        ("audio.transcriptions.create", {"text": TALK}, "text"),
        ("audio.translations.create", {"text": TALK}, "text"),
        ("detokenize", {"prompt": TALK}, "prompt"),
        ("tokenize", {"count": 1, "max_model_len": 9, "tokens": [1], "token_strs": [TALK]}, "token_strs.0"),
        ("models.list", {"object": "list", "data": [{"id": TALK, "object": "error"}]}, "data.0.id"),
        ("classify.create", {"data": [{"index": 0, "label": TALK, "probs": [1.0], "num_classes": 1}]},
         "data.0.label"),
        ("server.version", {"version": TALK}, ""),
    ],
)  # fmt: skip
async def test_other_answers_that_talk_about_errors(canned, operation, reply, path):
    value = await canned((200, reply))(operation, **OPERATIONS[operation])
    for name in filter(None, path.split(".")):
        value = value[int(name)] if name.isdigit() else getattr(value, name)
    assert value == TALK


async def test_chunks_that_talk_about_errors(canned):
    texts = ['{"error": ', '{"message": "boom"}}', '"error"', "[DONE]"]
    chunks = [
        {**CHAT, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in texts
    ]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    client = canned((200, body, SSE))
    seen = await client.stream("chat.completions.create", messages=MESSAGES)
    assert [chunk.choices[0].delta.content for chunk in seen] == texts


async def test_error_beside_choices_in_a_later_chunk(canned):
    def chunk(text, **more):
        choices = [{"index": 0, "delta": {"content": text}}]
        return {**CHAT, "object": "chat.completion.chunk", "choices": choices, **more}

    chunks = [chunk("a"), chunk("", error={"message": "engine died", "code": 503})]
    body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in chunks)
    client = canned((200, body, SSE))
    with pytest.raises(InternalServerError, match="engine died") as raised:
        await client.stream("chat.completions.create", messages=MESSAGES)
    assert raised.value.status_code == 503
    assert [each.choices[0].delta.content for each in client.seen] == ["a"]


@pytest.mark.parametrize(
    ("payload", "cls"),
    [
        ({"error": {"message": "bad", "code": 400}}, BadRequestError),
        ({"object": "error", "message": "bad", "type": "NotFoundError", "code": 404}, NotFoundError),
        ({"error": "Unauthorized"}, AuthenticationError),
    ],
)
async def test_error_in_a_later_event(canned, payload, cls):
    chunk = {**CHAT, "object": "text_completion", "choices": [{"index": 0, "text": "a"}]}
    body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in (chunk, payload))
    client = canned((200, body + b"data: [DONE]\n\n", SSE), max_retries=2)
    with pytest.raises(cls):
        await client.stream("completions.create", prompt="Hi")
    assert [each.choices[0].text for each in client.seen] == ["a"]
    assert len(client.requests) == 1  # something was handed over, so it is not tried again
