"""The error of a route that a server lacks says what it takes to have it."""

from __future__ import annotations

import pytest

from vllm_connect import APIStatusError, NotFoundError
from vllm_connect._transport._httpx import httpx

MISSING = (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("operation", "params", "needed"),
    [
        ("server.sleep", {}, "VLLM_SERVER_DEV_MODE=1"),
        ("server.server_info", {}, "VLLM_SERVER_DEV_MODE=1"),
        ("lora.load", {"lora_name": "a", "lora_path": "b"}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
        ("server.version", {}, "does not serve this operation"),
        ("messages.count_tokens", {"model": "m", "messages": []}, "does not serve this operation"),
    ],
)
async def test_what_it_takes(canned, operation, params, needed):
    with pytest.raises(NotFoundError, match=needed):
        await canned(MISSING)(operation, **params)


def about(version="0.31.0", *paths):
    document = {"openapi": "3.1.0", "paths": {path: {} for path in paths}}
    return {"/version": (200, {"version": version}), "/openapi.json": (200, document)}


BATCH = {"model": "m", "messages": [[{"role": "user", "content": "Hi"}]]}
CHAT = {"model": "m", "messages": BATCH["messages"][0]}
RENDER = {"model": "m", "input": "Hi"}
NO_METHOD = (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize(
    ("reply", "operation", "params", "version", "told"),
    [
        (MISSING, "chat.completions.batch", BATCH, "0.18.1", r"needs vLLM >= 0\.19, the server is 0\.18\.1"),
        (NO_METHOD, "responses.render", RENDER, "0.29.0", r"needs vLLM >= 0\.30, the server is 0\.29\.0"),
        (MISSING, "responses.render", RENDER, "0.12.0+cpu", r"the server is 0\.12\.0\+cpu"),
        (
            MISSING,
            "chat.completions.batch",
            BATCH,
            "0.19.0rc1",
            r"does not serve this .*; it serves pooling\)",
        ),
        (MISSING, "chat.completions.batch", BATCH, "0.1.dev9+gabc", "does not serve this operation"),
        (MISSING, "chat.completions.batch", BATCH, "main", "does not serve this operation"),
        (MISSING, "chat.completions.create", CHAT, "0.31.0", r"\(vLLM 0\.31\.0\).*it serves pooling\)"),
        (MISSING, "server.pause", {}, "0.31.0", "VLLM_SERVER_DEV_MODE=1"),
        (MISSING, "server.pause", {}, "0.11.0", r"needs vLLM >= 0\.12"),
    ],
)
async def test_the_servers_version_explains_it(canned, reply, operation, params, version, told):
    client = canned(reply, about=about(version, "/pooling"), api_key="sk-a")
    with pytest.raises(APIStatusError, match=told) as raised:
        await client(operation, **params)
    assert raised.value.server_url in str(raised.value)
    assert client.questions[0].headers["authorization"] == "Bearer sk-a"
    assert "content-length" not in client.questions[0].headers


async def test_a_stream_is_explained_likewise(canned):
    client = canned(MISSING, about=about("0.31.0", "/score"))
    with pytest.raises(NotFoundError, match="it serves score"):
        await client.stream("chat.completions.create", **CHAT)


async def test_beneath_a_path(canned):
    client = canned(MISSING, url="http://gpu/team/v1", about={"/team/version": (200, {"version": "0.18.0"})})
    with pytest.raises(NotFoundError, match=r"the server is 0\.18\.0"):
        await client("chat.completions.batch", **BATCH)


@pytest.mark.parametrize(
    ("reply", "version", "told"),
    [
        ((400, {"error": {"message": "joint: Extra inputs are not permitted", "code": 400}}), "0.31.0", True),
        ((422, {"error": {"message": "extra", "param": "joint", "code": 422}}), "0.31.0", True),
        (
            (400, {"error": {"message": "joint: Extra inputs are not permitted", "code": 400}}),
            "0.33.0",
            False,
        ),
        ((400, {"error": {"message": "jointly impossible", "code": 400}}), "0.31.0", False),
    ],
)
async def test_a_parameter_that_is_newer_than_the_server(canned, reply, version, told):
    client = canned(reply, about=about(version))
    with pytest.raises(APIStatusError) as raised:
        await client("chat.completions.create", **CHAT)
    assert (f"joint needs vLLM >= 0.33, the server is {version}" in str(raised.value)) is told


@pytest.mark.parametrize(("version", "told"), [("0.32.0", True), ("0.33.0", False)])
async def test_token_embeddings_of_an_older_server(canned, version, told):
    """As vLLM 0.32 answers with `--pooler-config.task token_embed`."""
    error = {"message": "The model does not support Embeddings API", "type": "NotImplementedError"}
    client = canned((501, {"error": {**error, "param": None, "code": 501}}), about=about(version))
    with pytest.raises(APIStatusError, match="does not support Embeddings") as raised:
        await client("embeddings.create", model="m", input="a")
    assert ("needs vLLM >= 0.33, the server is 0.32.0; pooling.create has" in str(raised.value)) is told


async def test_a_server_is_asked_once(canned):
    client = canned(MISSING, about=about("0.18.0", "/pooling"))
    for _ in range(3):
        with pytest.raises(NotFoundError):
            await client("chat.completions.batch", **BATCH)
    assert [question.url.path for question in client.questions] == ["/version"]
    for _ in range(3):
        with pytest.raises(NotFoundError):
            await client("chat.completions.create", **CHAT)
    assert [question.url.path for question in client.questions] == ["/version", "/openapi.json"]


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"count": 1, "max_model_len": 9, "tokens": [1]}),
        (400, {"error": {"message": "bad", "code": 400}}),
        (404, {"error": {"message": "The model `m` does not exist.", "code": 404}}),
        (500, {"error": {"message": "bad", "code": 500}}),
    ],
)
async def test_nothing_is_asked_that_explains_nothing(canned, reply):
    client = canned(reply, about=about())
    if reply[0] == 200:
        await client("tokenize", model="m", prompt="x")
    else:
        with pytest.raises(APIStatusError):
            await client("tokenize", model="m", prompt="x")
    assert not client.questions


@pytest.mark.parametrize(
    "answer", [(200, b"<html>"), (200, []), (500, b""), (401, {"error": "Unauthorized"})]
)
async def test_a_server_that_does_not_say(canned, answer):
    client = canned(MISSING, about={"/version": answer, "/openapi.json": answer})
    with pytest.raises(NotFoundError, match="or a router before it, does not serve this operation"):
        await client("chat.completions.batch", **BATCH)


async def test_a_mock_that_knows_no_such_question(make_client, kind):
    """What it raises is not what the caller sees."""

    def answer(request):
        if request.url.path != "/v1/chat/completions/batch":
            raise AssertionError("not mocked")
        return httpx.Response(404, json={"detail": "Not Found"})

    http_client = (httpx.Client if kind == "sync" else httpx.AsyncClient)(
        transport=httpx.MockTransport(answer)
    )
    client = make_client("http://gpu:8000", http_client=http_client)
    with pytest.raises(NotFoundError, match="does not serve this operation"):
        await client("chat.completions.batch", **BATCH)
