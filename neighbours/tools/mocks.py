"""Mocks: `unittest.mock` on the SDK's methods, on a client, and `httpx` transports put in by hand."""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import AsyncMock, patch

import openai
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from neighbours.scenario import HELLO, MODEL, Subject, scenario

CLASSES = openai.DefaultHttpxClient.__mro__
httpx: Any = sys.modules[next(n for n in (c.__module__.partition(".")[0] for c in CLASSES) if n != "openai")]

REPLY: dict[str, Any] = {
    "id": "mock",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "mock"}}],
}


def ask(subject: Subject, **client: Any) -> Any:
    reply = subject.client(**client).chat.completions.create(model=MODEL, messages=HELLO)
    return reply.choices[0].message.content, len(subject.sim.requests)


async def ask_async(subject: Subject) -> Any:
    reply = await subject.async_client().chat.completions.create(model=MODEL, messages=HELLO)
    return reply.choices[0].message.content, len(subject.sim.requests)


@scenario("chat")
def create(subject: Subject) -> Any:
    target = "openai.resources.chat.completions.Completions.create"
    with patch(target, return_value=ChatCompletion(**REPLY)) as mock:
        return ask(subject), mock.call_count, mock.call_args and sorted(mock.call_args.kwargs)


@scenario("chat")
async def create_async(subject: Subject) -> Any:
    reply = AsyncMock(return_value=ChatCompletion(**REPLY))
    with patch("openai.resources.chat.completions.AsyncCompletions.create", reply):
        return await ask_async(subject)


@scenario("chat")
def create_with_self(subject: Subject) -> Any:
    target = "openai.resources.chat.completions.Completions.create"
    with patch(target, autospec=True, return_value=ChatCompletion(**REPLY)):
        return ask(subject)


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    vector = {"object": "embedding", "index": 0, "embedding": [1.0]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    reply = CreateEmbeddingResponse.model_validate(
        {"object": "list", "model": "mock", "data": [vector], "usage": usage}
    )
    with patch("openai.resources.embeddings.Embeddings.create", return_value=reply):
        vectors = subject.client().embeddings.create(model=MODEL, input="a").data
        return vectors[0].embedding[:3], len(subject.sim.requests)


@scenario("responses")
def responses(subject: Subject) -> Any:
    with patch("openai.resources.responses.Responses.create", return_value="mock"):
        return subject.client().responses.create(model=MODEL, input="Say: hi"), len(subject.sim.requests)


@scenario("chat")
def post(subject: Subject) -> Any:
    with patch("openai._base_client.SyncAPIClient.post", return_value=ChatCompletion(**REPLY)):
        return ask(subject)


@scenario("chat")
def request(subject: Subject) -> Any:
    with patch("openai.OpenAI.request", return_value=ChatCompletion(**REPLY)):
        return ask(subject)


@scenario("chat")
def on_the_client(subject: Subject) -> Any:
    client = subject.client()
    with patch.object(client.chat.completions, "create", return_value=ChatCompletion(**REPLY)):
        return client.chat.completions.create(model=MODEL, messages=HELLO).choices[0].message.content


@scenario("own")
def httpx_send(subject: Subject) -> Any:
    def send(self: Any, request: Any, **_: Any) -> Any:
        return httpx.Response(200, json=REPLY, request=request)

    with patch.object(httpx.Client, "send", send):
        return ask(subject)


@scenario("own")
def mock_transport(subject: Subject) -> Any:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=REPLY))
    return ask(subject, http_client=httpx.Client(transport=transport))


@scenario("own")
def httpx_transport(subject: Subject) -> Any:
    """What recorders and mocks of httpx replace."""

    def handle(self: Any, request: Any) -> Any:
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(REPLY).encode()))

    with patch.object(httpx.HTTPTransport, "handle_request", handle):
        return ask(subject)
