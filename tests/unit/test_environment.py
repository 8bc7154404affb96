"""What a client takes from its environment and arguments, and what of it may be seen.

The fixture `_no_openai_variables` sets every OPENAI_* variable to something that must never show up.
"""

import json
import logging
import pickle

import pytest

from vllm_connect import VLLM, APIConnectionError, AsyncVLLM, BadRequestError, ConfigError, Key, VLLMError
from vllm_connect._httpx import httpx

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


# --- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("http://gpu:8000", "http://gpu:8000"),
        ("http://gpu:8000/", "http://gpu:8000"),
        ("http://gpu:8000/v1", "http://gpu:8000"),
        ("http://gpu:8000/v1//", "http://gpu:8000"),
        (" HTTP://GPU:8000/v1 ", "http://gpu:8000"),
        (httpx.URL("http://gpu:8000/v1/"), "http://gpu:8000"),
        ("https://host/team/v1", "https://host/team"),
        ("https://host/team/", "https://host/team"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
    ],
)
async def test_forms_of_a_url(canned, given, root):
    client = canned(REFUSAL, url=given)
    for operation in ("chat.completions.create", "rerank.create", "tokenize", "server.health", "get"):
        await fail(client, operation)
    asked = [str(request.url) for request in client.requests]
    routes = ["/v1/chat/completions", "/v1/rerank", "/tokenize", "/health", "/v1/models"]
    assert asked == [root + route for route in routes]
    assert str(client.client.base_url) == f"{root}/v1/"


@pytest.mark.parametrize("url", ["gpu:8000", "ftp://gpu", "http://", "http://gpu/v1/chat/completions", "http://a?b"])
def test_what_is_no_url(kind, url):
    with pytest.raises(ConfigError, match="key 'default': url"):
        CLASSES[kind](url)


async def test_base_url_and_api_key_can_be_set(canned):
    client = canned(REFUSAL, api_key="old")
    client.client.base_url = "http://other:1/team/v1"
    client.client.api_key = SECRET
    seen = await fail(client, "tokenize")
    assert str(client.requests[0].url) == "http://other:1/team/tokenize"
    assert client.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "http://other:1/team" in seen
    assert str(client.client.base_url) == "http://other:1/team/v1/"
    assert client.client.api_key == SECRET
    client.client.api_key = ""
    await fail(client, "tokenize")
    assert "authorization" not in client.requests[1].headers
    with pytest.raises(ConfigError):
        client.client.base_url = "nonsense"
    assert str(client.client.base_url) == "http://other:1/team/v1/"


def test_of_several_keys_none_can_be_set(canned):
    client = canned(keys=[Key(name=name, url=f"http://{name}") for name in "ab"]).client
    for attribute in ("base_url", "api_key"):
        with pytest.raises(ConfigError, match=f"{attribute} of a client with 2 keys"):
            setattr(client, attribute, "http://c")
    with pytest.raises(ConfigError, match="of a client with 2 keys"):
        client.copy(base_url="http://c")
    assert str(client.base_url) == "http://a/v1/"


# --- copies ----------------------------------------------------------------------------------------


async def copied(client, **changes):
    """The request that a copy makes, and the copy."""
    copy = client.client.with_options(**changes)
    client.client = copy
    await fail(client, "chat.completions.create")
    return client.requests[-1], copy


@pytest.mark.parametrize(
    ("changes", "what", "value"),
    [
        ({}, lambda r: str(r.url), "http://gpu:8000/v1/chat/completions?q=1"),
        ({"base_url": "http://b/v1"}, lambda r: str(r.url), "http://b/v1/chat/completions?q=1"),
        ({}, lambda r: r.headers["authorization"], "Bearer first"),
        ({"api_key": SECRET}, lambda r: r.headers["authorization"], f"Bearer {SECRET}"),
        ({"base_url": "http://b"}, lambda r: r.headers["authorization"], "Bearer first"),
        ({"keys": [Key(name="b", url="http://b")]}, lambda r: r.headers.get("authorization"), None),
        ({}, lambda r: r.extensions["timeout"]["read"], 30),
        ({"timeout": 5}, lambda r: r.extensions["timeout"]["read"], 5),
        ({"timeout": None}, lambda r: r.extensions["timeout"]["read"], None),
        ({}, lambda r: (r.headers.get("a"), r.headers.get("b")), ("1", None)),
        ({"default_headers": {"b": "2"}}, lambda r: (r.headers.get("a"), r.headers.get("b")), ("1", "2")),
        ({"set_default_headers": {"b": "2"}}, lambda r: [r.headers.get(n) for n in "ab"], [None, "2"]),
        ({"default_query": {"r": "2"}}, lambda r: dict(r.url.params), {"q": "1", "r": "2"}),
        ({"set_default_query": {"r": "2"}}, lambda r: dict(r.url.params), {"r": "2"}),
    ],
)
async def test_a_copy_differs_in_what_is_given(canned, changes, what, value):
    client = canned(
        REFUSAL, api_key="first", timeout=30, default_headers={"a": "1"}, default_query={"q": "1"}
    )
    original = client.client
    request, copy = await copied(client, **changes)
    assert what(request) == value
    assert type(copy) is type(original)
    assert copy._client is original._client  # the same connections
    assert "x-leak" not in request.headers
    client.client = original
    await fail(client, "chat.completions.create")
    again = client.requests[-1]
    assert str(again.url) == "http://gpu:8000/v1/chat/completions?q=1"
    assert [again.headers[name] for name in ("authorization", "a")] == ["Bearer first", "1"]


async def test_a_copy_keeps_the_rest(canned):
    client = canned(REFUSAL, max_retries=1, responses_api="native")
    _, copy = await copied(client)
    assert (copy.max_retries, copy.responses_api) == (1, "native")
    _, copy = await copied(client, max_retries=0, responses_api="chat")
    assert (copy.max_retries, copy.responses_api) == (0, "chat")
    assert copy.copy().keys == copy.keys
    for name in ("headers", "query"):
        with pytest.raises(ValueError, match=f"default_{name} and set_default_{name} are mutually exclusive"):
            copy.copy(**{f"default_{name}": {"a": "1"}, f"set_default_{name}": {"a": "1"}})


async def test_a_copy_knows_what_servers_understand(canned):
    client = canned((404, {"detail": "Not Found"}), (200, {"results": []}))
    await client("rerank.create", query="q", documents=["a"])
    client.client = client.client.copy()
    await client("rerank.create", query="q", documents=["a"])
    assert [r.url.path for r in client.requests] == ["/v1/rerank", "/rerank", "/rerank"]


# --- small things ----------------------------------------------------------------------------------


def test_a_key_survives_pickling_and_stays_secret():
    key = Key(name="a", url="http://u:pw@gpu", api_key=SECRET, models=["m"], aliases={"x": "y"}, weight=2)
    again = pickle.loads(pickle.dumps(key))
    assert again == key
    assert SECRET not in repr(again) + str(again) + f"{again}"
    assert "pw@" not in repr(again)


async def test_a_connection_error_tells_where(canned):
    client = canned(httpx.ConnectError("refused"), api_key=SECRET)
    with pytest.raises(APIConnectionError) as raised:
        await client("chat.completions.create", messages=HELLO)
    error = raised.value
    assert (error.operation, error.key_name) == ("chat.completions.create", "default")
    assert error.server_url == "http://gpu:8000"
    assert str(error) == "Connection error: refused. [chat.completions.create, key 'default', http://gpu:8000]"


async def test_a_low_level_call_goes_to_the_server_of_the_key(canned):
    client = canned((200, {"a": 1}), api_key=SECRET)
    answer = await client("post", path="/anything", cast_to=object, body={"model": "vllm/m", "n": 1})
    assert answer == {"a": 1}
    assert str(client.requests[0].url) == "http://gpu:8000/v1/anything"
    assert json.loads(client.requests[0].content) == {"model": "m", "n": 1}
    elsewhere = "http://elsewhere/x"
    with pytest.raises(BadRequestError):
        await canned(REFUSAL, api_key=SECRET)("get", path=elsewhere, cast_to=object)
    client = canned((200, {}), api_key=SECRET)
    await client("get", path=elsewhere, cast_to=object)
    assert "authorization" not in client.requests[0].headers
