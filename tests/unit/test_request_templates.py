"""What goes out is what the stock SDK would send: the same URL, headers, body and timeouts, call after call.

The stock client is the oracle. What differs on purpose is left out of the comparison: X-Stainless headers
about the machine, the name in User-Agent, and credentials, which belong to a key.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI, omit
from openai._base_client import BaseClient

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect._transport._httpx import httpx

URL = "http://gpu:8000/v1"
MESSAGES = [{"role": "user", "content": "Hé"}]
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle reads them; we never do."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


class Wire:
    """The requests of a client, and what they are answered with."""

    def __init__(self, kind: str, module: Any = httpx, answer: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.module = module
        self.requests: list[Any] = []
        self._headers = answer

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        return self.module.Response(200, json=ANSWER, headers=self._headers)

    def http_client(self, **arguments: Any) -> Any:
        cls = self.module.Client if self.kind == "sync" else self.module.AsyncClient
        return cls(transport=self.module.MockTransport(self), **arguments)


def shown(request: Any) -> dict[str, Any]:
    """A request as it can be compared."""
    headers = sorted((name.lower(), value) for name, value in request.headers.multi_items())
    machine = ("x-stainless-retry-count", "x-stainless-read-timeout")
    headers = [
        (name, value if name != "user-agent" or "openai" not in value.lower() else "ours")
        for name, value in headers
        if name in machine or not name.startswith("x-stainless-")
    ]
    body = json.loads(request.content)
    return {
        "method": request.method,
        "url": str(request.url),
        "headers": [pair for pair in headers if pair[0] not in ("authorization", "content-length")],
        "length": int(request.headers["content-length"]) == len(request.content),
        "body": body,
        "timeout": request.extensions["timeout"],
    }


async def ask(client: Any, times: int = 2, **arguments: Any) -> None:
    for _ in range(times):
        asked = client.chat.completions.create(model="m", messages=MESSAGES, **arguments)
        if not isinstance(client, OpenAI):
            await asked


def stock_class(kind: str) -> Any:
    return OpenAI if kind == "sync" else AsyncOpenAI


def our_class(kind: str) -> Any:
    return VLLM if kind == "sync" else AsyncVLLM


async def exchange(kind: str, cls: Any, calls: Iterable[dict[str, Any]], client: dict[str, Any]) -> list[Any]:
    """What a client sends for some calls, each of them made twice and followed by a plain one."""
    wire = Wire(kind)
    http_client = wire.http_client(**client.get("http", {}))
    arguments = {name: value for name, value in client.items() if name != "http"}
    asking = cls(base_url=URL, api_key="k", http_client=http_client, **arguments)
    await ask(asking)
    for call in calls:
        await ask(asking, **call)
        await ask(asking, 1)
    return [shown(request) for request in wire.requests]


CALLS = {
    "nothing": {},
    "new header": {"extra_headers": {"X-Tenant": "a"}},
    "several new headers": {"extra_headers": {"X-Tenant": "a", "traceparent": "00-1-2-01", "X-B": ""}},
    "header in place of a default": {"extra_headers": {"Accept": "text/plain"}},
    "the same, spelt otherwise": {"extra_headers": {"aCCept": "text/plain"}},
    "default header of the client": {"extra_headers": {"X-Everywhere": "not here"}},
    "header removed": {"extra_headers": {"Accept": omit}},
    "header removed, another one added": {"extra_headers": {"X-Everywhere": omit, "X-Tenant": "a"}},
    "retry count": {"extra_headers": {"X-Stainless-Retry-Count": "7"}},
    "no read timeout": {"extra_headers": {"x-stainless-read-timeout": omit}},
    "host": {"extra_headers": {"Host": "other"}},
    "cookie": {"extra_headers": {"Cookie": "a=b"}},
    "content type": {"extra_headers": {"Content-Type": "application/json; charset=utf-8"}},
    "query": {"extra_query": {"a": "1", "b": ["x", "y"], "c": {"d": True}}},
    "query in place of a default": {"extra_query": {"everywhere": "2"}},
    "body": {"extra_body": {"top_k": 5}},
    "timeout": {"timeout": 5},
    "no timeout": {"timeout": None},
    "timeouts": {"timeout": httpx.Timeout(3, read=4.5)},
    "all of it": {
        "extra_headers": {"X-Tenant": "a"}, "extra_query": {"q": "1"}, "extra_body": {"a": 1}, "timeout": 2,
    },
}  # fmt: skip
CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "headers": {"default_headers": {"X-Everywhere": "here", "Accept": "application/json;q=1"}},
    "query": {"default_query": {"everywhere": "1"}},
    "timeout": {"timeout": 7},
    "http client": {
        "http": {
            "headers": {"X-Http": "1", "X-Everywhere": "http"},
            "cookies": {"c": "1"},
            "params": {"p": "1"},
        }
    },
    "http client with a timeout and a base URL": {"http": {"timeout": 3, "base_url": "http://elsewhere/"}},
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
async def test_sends_what_the_stock_client_sends(kind: str, client: dict[str, Any]) -> None:
    names = ["nothing", *(name for name in CALLS for _ in range(3))]
    theirs = await exchange(kind, stock_class(kind), CALLS.values(), client)
    ours = await exchange(kind, our_class(kind), CALLS.values(), client)
    assert len(ours) == len(theirs) == 2 + 3 * len(CALLS)
    for name, sent, due in zip(["nothing", *names], ours, theirs, strict=True):
        assert sent == due, name


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_is_as_strict_with_headers_as_the_stock_client(kind: str) -> None:
    for cls in (stock_class(kind), our_class(kind)):
        client = cls(base_url=URL, api_key="k", http_client=Wire(kind).http_client())
        await ask(client)
        for headers, error in [({"X-A": "é"}, UnicodeEncodeError), ({"X-A": 1}, TypeError)]:
            with pytest.raises(error):
                await ask(client, extra_headers=headers)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_subclass_decides_on_headers(kind: str) -> None:
    def derived(cls: Any) -> Any:
        class Derived(cls):  # type: ignore[misc]  # of whatever class
            count = 0

            @property
            def default_headers(self) -> Any:
                self.count += 1
                return {**super().default_headers, "X-Count": str(self.count)}

            def _build_headers(self, options: Any, *, retries_taken: int = 0) -> Any:
                headers = super()._build_headers(options, retries_taken=retries_taken)
                headers["X-Built"] = str(self.count)
                return headers

        return Derived

    sent = await exchange(kind, derived(our_class(kind)), [{}], {})
    counts = [dict(request["headers"])["x-built"] for request in sent]
    assert len(set(counts)) == len(sent) == 5


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("where", ["headers of every call", "timeout", "http client's headers", "cookies"])
async def test_what_changes_on_a_client_changes_its_requests(kind: str, where: str) -> None:
    sent = []
    for cls in (stock_class(kind), our_class(kind)):
        wire = Wire(kind)
        client = cls(base_url=URL, api_key="k", http_client=wire.http_client())
        await ask(client)
        if where == "headers of every call":
            client._custom_headers = {"X-New": "1"}
        elif where == "timeout":
            client.timeout = 3
        elif where == "cookies":
            client._client.cookies.set("session", "1")
        else:
            client._client.headers["X-New"] = "1"
        await ask(client)
        sent.append([shown(request) for request in wire.requests])
    assert sent[0] == sent[1]
    assert sent[1][1] != sent[1][2]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_cookie_of_the_server_goes_back(kind: str) -> None:
    wire = Wire(kind, answer={"set-cookie": "replica=2; path=/"})
    client = our_class(kind)(URL, http_client=wire.http_client())
    await ask(client)
    assert [request.headers.get("cookie") for request in wire.requests] == [None, "replica=2"]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (BaseClient, "_build_request"),
        (BaseClient, "_build_headers"),
        (httpx.Client, "build_request"),
        (httpx.AsyncClient, "build_request"),
    ],
)
async def test_who_replaces_a_method_is_asked_for_every_request(
    kind: str, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if owner.__name__ == ("AsyncClient" if kind == "sync" else "Client"):
        owner = httpx.Client if kind == "sync" else httpx.AsyncClient
    wire = Wire(kind)
    client = our_class(kind)(URL, http_client=wire.http_client())
    await ask(client)
    original, calls = getattr(owner, name), []

    def traced(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, traced)
    await ask(client, 3)
    assert len(calls) >= 3
    assert len(wire.requests) == 5


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_event_hooks_and_auth_change_one_request_only(kind: str) -> None:
    def mark(request: Any) -> None:
        request.headers["X-Seen"] = request.headers.get("X-Seen", "") + "1"
        request.extensions["timeout"]["read"] = 99

    async def async_mark(request: Any) -> None:
        mark(request)

    wire = Wire(kind)
    http_client = wire.http_client(
        event_hooks={"request": [mark if kind == "sync" else async_mark]}, auth=("user", "secret")
    )
    client = our_class(kind)(URL, timeout=5, http_client=http_client)
    await ask(client, 3)
    assert [request.headers["x-seen"] for request in wire.requests] == ["1", "1", "1"]
    assert all(request.headers["authorization"].startswith("Basic ") for request in wire.requests)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_each_server_gets_its_own_credentials(kind: str) -> None:
    keys = [
        Key(name="a", url="http://a:1", api_key="secret-a", models=["a"]),
        Key(name="b", url="http://b:1", api_key="secret-b", models=["b"]),
        Key(name="c", url="http://c:1", models=["c"]),
    ]
    wire = Wire(kind)
    client = our_class(kind)(keys=keys, http_client=wire.http_client())
    for model in "abcabc":
        asked = client.chat.completions.create(model=model, messages=MESSAGES)
        if kind == "async":
            await asked
    sent = [(request.url.host, request.headers.get("authorization")) for request in wire.requests]
    assert sent == [("a", "Bearer secret-a"), ("b", "Bearer secret-b"), ("c", None)] * 2


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_http_client_of_another_kind_builds_its_own_requests(kind: str) -> None:
    wire = Wire(kind)
    stock = httpx.Client if kind == "sync" else httpx.AsyncClient

    class Signing(stock):  # type: ignore[misc, valid-type]  # of whatever class
        def build_request(self, *args: Any, **kwargs: Any) -> Any:
            request = super().build_request(*args, **kwargs)
            request.headers["X-Signature"] = str(len(wire.requests))
            return request

    client = our_class(kind)(URL, http_client=Signing(transport=httpx.MockTransport(wire)))
    await ask(client, 3)
    assert [request.headers["x-signature"] for request in wire.requests] == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_retry_is_counted(kind: str) -> None:
    wire = Wire(kind)
    replies = iter([200, 503, 503, 200, 200])

    def answer(request: Any) -> Any:
        wire.requests.append(request)
        return httpx.Response(next(replies), json=ANSWER, headers={"retry-after-ms": "1"})

    cls = httpx.Client if kind == "sync" else httpx.AsyncClient
    client = our_class(kind)(URL, http_client=cls(transport=httpx.MockTransport(answer)))
    await ask(client, 3)
    counts = [request.headers["x-stainless-retry-count"] for request in wire.requests]
    assert counts == ["0", "0", "1", "2", "0"]


def test_ordinary_requests_are_built_by_the_sdk_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire("sync")
    client = VLLM(URL, http_client=wire.http_client())
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code) if event == "call" else None)
    try:
        for tenant in "abc":
            client.chat.completions.create(model="m", messages=MESSAGES, extra_headers={"X-Tenant": tenant})
    finally:
        sys.setprofile(None)
    assert calls.count(BaseClient._build_request.__code__) == 1
    assert [request.headers["x-tenant"] for request in wire.requests] == ["a", "b", "c"]
