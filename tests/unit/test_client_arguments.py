"""URLs, setters, copies, and what a caller's own http client may do."""

import gzip
import json

import openai
import pytest

from vllm_connect import VLLM, APIConnectionError, AsyncVLLM, BadRequestError, ConfigError, Key, VLLMError
from vllm_connect._calls.attempt import Attempt, CallOptions
from vllm_connect._calls.call import Call
from vllm_connect._transport._httpx import httpx

SECRET = "sk-vllm-secret"
HELLO = [{"role": "user", "content": "Hi"}]
OPERATIONS = {
    "chat.completions.create": {"messages": HELLO},
    "rerank.create": {"query": "a", "documents": ["a"]},
    "tokenize": {"prompt": "a"},
    "server.health": {},
    "get": {"path": "/models", "cast_to": object},
}
REFUSAL = (400, {"error": {"message": "bad", "code": 400}})
CLASSES = {"sync": VLLM, "async": AsyncVLLM}


async def fail(client, operation):
    """Calls an operation; returns what its failure says."""
    with pytest.raises(VLLMError) as raised:
        await client(operation, **OPERATIONS[operation])
    return str(raised.value)


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


@pytest.mark.parametrize(
    "url", ["gpu:8000", "ftp://gpu", "http://", "http://gpu/v1/chat/completions", "http://a?b"]
)
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
    client = canned(
        (404, {"detail": "Not Found"}), (200, {"results": [{"index": 0, "relevance_score": 1.0}]})
    )
    await client("rerank.create", query="q", documents=["a"])
    client.client = client.client.copy()
    await client("rerank.create", query="q", documents=["a"])
    assert [r.url.path for r in client.requests] == ["/v1/rerank", "/rerank", "/rerank"]


# --- http clients of the caller's ------------------------------------------------------------------

SSE = {"content-type": "text/event-stream"}
CHUNK = {
    "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
    "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}],
}  # fmt: skip
STREAM = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(CHUNK).encode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [([STREAM[:40], STREAM[40:]], SSE), (gzip.compress(STREAM), {**SSE, "content-encoding": "gzip"})],
)
@pytest.mark.parametrize("hooked", [False, True])
async def test_a_stream_may_be_read_by_a_hook_and_compressed(canned, kind, body, headers, hooked):
    async def aread(response):
        await response.aread()

    hook = aread if kind == "async" else lambda response: response.read()
    client = canned((200, body, headers), event_hooks={"response": [hook] * hooked})
    seen = await client.stream("chat.completions.create", messages=HELLO)
    assert [chunk.choices[0].delta.content for chunk in seen] == ["a"]


async def test_an_error_read_by_a_hook(canned, kind):
    async def aread(response):
        await response.aread()

    hook = aread if kind == "async" else lambda response: response.read()
    event = b'data: {"error": {"message": "boom", "code": 400}}\n\n'
    client = canned((200, event, SSE), REFUSAL, event_hooks={"response": [hook]})
    with pytest.raises(BadRequestError, match="boom"):
        await client.stream("chat.completions.create", messages=HELLO)
    with pytest.raises(BadRequestError, match="bad"):
        await client.stream("chat.completions.create", messages=HELLO)


# --- where an error happened, and low-level calls ------------------------------------------------------


async def test_a_connection_error_tells_where(canned):
    client = canned(httpx.ConnectError("refused"), api_key=SECRET)
    with pytest.raises(APIConnectionError) as raised:
        await client("chat.completions.create", messages=HELLO)
    error = raised.value
    assert (error.operation, error.key_name) == ("chat.completions.create", "default")
    assert error.server_url == "http://gpu:8000"
    assert (
        str(error) == "Connection error: refused. [chat.completions.create, key 'default', http://gpu:8000]"
    )


async def test_a_connection_error_that_says_nothing(canned):
    with pytest.raises(APIConnectionError, match=r"^Connection error: ConnectError\. \["):
        await canned(httpx.ConnectError(""))("models.list")


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


@pytest.mark.parametrize(
    ("url", "sent_to", "with_key"),
    [
        ("/x", "http://gpu1:80/v1/x", True),
        ("x", "http://gpu1:80/v1/x", True),
        ("http://gpu1:80/version", "http://gpu1:80/version", True),
        ("http://gpu1:8000/version", "http://gpu1:8000/version", False),
        ("http://gpu1:80.elsewhere/version", "http://gpu1:80.elsewhere/version", False),
        ("http://elsewhere/version", "http://elsewhere/version", False),
    ],
)
def test_a_key_goes_to_its_own_server_only(url, sent_to, with_key):
    with VLLM(keys=[Key(name="a", url="http://gpu1:80", api_key="secret")]) as client:
        attempt = Attempt(Call("GET", ()), {})
        options = client._prepare_options(CallOptions.construct(method="get", url=url, attempt=attempt))
    assert options.url == sent_to
    headers = {} if isinstance(options.headers, openai.NotGiven) else options.headers
    assert ("Authorization" in headers) is with_key
