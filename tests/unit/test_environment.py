"""What a client takes from its environment and arguments, and what of it may be seen.

The fixture `_no_openai_variables` sets every OPENAI_* variable to something that must never show up.
"""

import logging
import pickle

import pytest

from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key, VLLMError
from vllm_connect._transport._httpx import httpx

LEAKS = ("must-never-be-sent", "must.never.be.asked", "leak")
SECRET = "sk-vllm-secret"
HELLO = [{"role": "user", "content": "Hi"}]
OPERATIONS = {
    "chat.completions.create": {"messages": HELLO},
    "completions.create": {"prompt": "a"},
    "responses.create": {"input": "a"},
    "embeddings.create": {"input": "a"},
    "rerank.create": {"query": "a", "documents": ["a"]},
    "score.create": {"text_1": "a", "text_2": "b"},
    "classify.create": {"input": "a"},
    "pooling.create": {"input": "a"},
    "tokenize": {"prompt": "a"},
    "detokenize": {"tokens": [1]},
    "models.list": {},
    "audio.transcriptions.create": {"file": b"a"},
    "audio.translations.create": {"file": b"a"},
    "server.health": {},
    "server.version": {},
    "server.load": {},
    "server.metrics": {},
    "server.sleep": {},
    "decisions.create": {
        "model": "m",
        "input": "a",
        "questions": [{"type": "predicate", "instructions": "b"}],
    },
    "messages.create": {"messages": HELLO, "max_tokens": 1},
    "messages.count_tokens": {"messages": HELLO},
    "chat.completions.batch": {"messages": [HELLO]},
    "chat.completions.render": {"messages": HELLO},
    "generate.create": {"token_ids": [1]},
    "generate.abort": {"request_ids": ["a"]},
    "generative_scoring.create": {"query": "a", "items": ["b"], "label_token_ids": [1]},
    "lora.load": {"lora_name": "a", "lora_path": "b"},
    "get": {"path": "/models", "cast_to": object},
    "post": {"path": "/chat/completions", "cast_to": object, "body": {"model": "m"}},
}
REFUSAL = (400, {"error": {"message": "bad", "code": 400}})


def shown(error):
    """Everything of an error that a log or a traceback would show."""
    parts = []
    while error is not None:
        seen = {name: value for name, value in vars(error).items() if name not in ("request", "response")}
        parts.append(f"{error} {error!r} {error.args} {seen}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(parts)


async def fail(client, operation):
    """Calls an operation; returns what of its failure can be seen."""
    with pytest.raises(VLLMError) as raised:
        await client(operation, **OPERATIONS[operation])
    return shown(raised.value)


def everything(client, caplog):
    """Everything else that can be seen."""
    inner = client.client
    seen = [repr(inner), str(inner), repr(inner.keys), str(inner.base_url), caplog.text]
    seen += [f"{request.method} {request.url}" for request in client.requests]
    return " ".join(seen)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_of_openais_environment_is_used(canned, caplog, operation):
    caplog.set_level(logging.DEBUG)
    client = canned(REFUSAL)
    seen = await fail(client, operation)
    for request in client.requests:
        assert request.url.host == "gpu"
        assert "authorization" not in request.headers  # no key, no header
        assert not [name for name in request.headers if name.startswith(("openai-", "x-leak"))]
        seen += f" {dict(request.headers)} {request.content!r}"
    seen += everything(client, caplog)
    assert client.requests
    assert caplog.records
    assert not [leak for leak in LEAKS if leak in seen.lower()]
    inner = client.client
    assert inner.api_key == ""
    assert [inner.organization, inner.project, inner.webhook_secret] == [None] * 3
    assert inner.auth_headers == {}
    assert "X-Leak" not in inner.default_headers


@pytest.mark.parametrize("failing", ["status", "connection", "retries"])
@pytest.mark.parametrize("operation", OPERATIONS)  # openai 2.x logs much more than 3.x
async def test_the_api_key_is_sent_and_never_shown(canned, caplog, operation, failing):
    caplog.set_level(logging.DEBUG)
    replies = {
        "status": [REFUSAL],
        "connection": [httpx.ConnectError("refused")],
        "retries": [(503, b""), REFUSAL],
    }[failing]
    client = canned(*replies, api_key=SECRET, max_retries=failing == "retries")
    if operation == "server.health":
        replies[0] = REFUSAL  # which takes a 503 for an answer
        client = canned(*replies, api_key=SECRET)
    seen = await fail(client, operation) + everything(client, caplog)
    assert SECRET not in seen
    assert client.requests
    for request in client.requests:
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert SECRET not in str({n: v for n, v in request.headers.items() if n != "authorization"})
    assert client.client.api_key == SECRET


@pytest.mark.parametrize("operation", ["chat.completions.create", "server.version", "get"])
async def test_credentials_in_the_url(canned, caplog, operation):
    caplog.set_level(logging.DEBUG)
    client = canned(REFUSAL, url="http://user:p%40ss@gpu:8000/v1")
    seen = await fail(client, operation) + everything(client, caplog)
    assert client.requests[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert not client.requests[0].url.userinfo
    assert "p%40ss" not in seen
    assert "p@ss" not in seen
    assert "dXNlcjpwQHNz" not in seen


async def test_nothing_tells_of_the_machine(canned):
    client = canned(REFUSAL)
    await fail(client, "chat.completions.create")
    names = {name for name in client.requests[0].headers if name.startswith("x-stainless")}
    assert names <= {"x-stainless-retry-count", "x-stainless-read-timeout"}
    assert client.requests[0].headers["user-agent"].startswith("vllm-connect (openai-python ")


async def test_an_authorization_of_the_callers_own(canned):
    client = canned(REFUSAL, default_headers={"Authorization": "Custom 1"})
    await fail(client, "chat.completions.create")
    assert client.requests[0].headers["authorization"] == "Custom 1"


# --- VLLM_* ----------------------------------------------------------------------------------------

CLASSES = {"sync": VLLM, "async": AsyncVLLM}


async def test_vllm_variables(canned, monkeypatch):
    monkeypatch.setenv("VLLM_BASE_URL", "http://from.env:1/v1/")
    monkeypatch.setenv("VLLM_API_KEY", SECRET)
    client = canned(REFUSAL, url=None)
    await fail(client, "models.list")
    assert str(client.requests[0].url) == "http://from.env:1/v1/models"
    assert client.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(client.client)
    client = canned(REFUSAL, url=None, api_key="given")
    await fail(client, "models.list")
    assert client.requests[0].headers["authorization"] == "Bearer given"


async def test_the_key_of_one_host_does_not_go_to_another(canned, monkeypatch):
    monkeypatch.setenv("VLLM_BASE_URL", "http://from.env:1")
    monkeypatch.setenv("VLLM_API_KEY", SECRET)
    for arguments in ({}, {"keys": [Key(name="a", url="http://gpu:8000")]}):
        client = canned(REFUSAL, **arguments)
        await fail(client, "models.list")
        assert client.requests[0].url.host == "gpu"
        assert "authorization" not in client.requests[0].headers


async def test_a_reference_is_read_when_it_is_used(canned, monkeypatch):
    client = canned(REFUSAL, api_key="env.SOME_KEY")
    with pytest.raises(ConfigError, match="SOME_KEY for the api_key of key 'default' is not set"):
        await client("models.list")
    assert not client.requests
    monkeypatch.setenv("SOME_KEY", SECRET)
    assert SECRET not in await fail(client, "models.list")
    assert client.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "env.SOME_KEY" in repr(client.client)


@pytest.mark.parametrize("value", [None, ""])
def test_no_server(kind, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("VLLM_BASE_URL", value)
    with pytest.raises(ConfigError, match=r"no vLLM server: .*VLLM_BASE_URL"):
        CLASSES[kind]()


@pytest.mark.parametrize("more", [{"base_url": "http://a"}, {"api_key": "a"}])
def test_keys_or_one_server(kind, more):
    with pytest.raises(ConfigError, match="pass either keys="):
        CLASSES[kind](keys=[Key(name="a", url="http://a")], **more)


# --- small things ----------------------------------------------------------------------------------


def test_a_key_survives_pickling_and_stays_secret():
    key = Key(name="a", url="http://u:pw@gpu", api_key=SECRET, models=["m"], aliases={"x": "y"}, weight=2)
    again = pickle.loads(pickle.dumps(key))
    assert again == key
    assert SECRET not in repr(again) + str(again) + f"{again}"
    assert "pw@" not in repr(again)
