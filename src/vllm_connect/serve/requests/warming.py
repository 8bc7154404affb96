"""Each operation once, on a server that is none, before the gateway listens.

The SDK imports its modules, and pydantic builds the validators of its types, when they are first needed.
That takes up to some hundred milliseconds, in which a gateway would answer nobody; so it is done before.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import orjson

from ..._client import AsyncVLLM, ResponsesAPI
from ..._telemetry.watch import SUPPRESSED
from ..._transport._httpx import httpx
from ..._wire.decoding import JsonObject
from ..http.exchange import Exchange, Message
from .listing import models
from .routes import JSON_ROUTES
from .typed import speech_to_text

_LOGGER = logging.getLogger("vllm_connect.serve")

_MODEL = "m"
_USAGE: JsonObject = {
    "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip
_TOKENS: JsonObject = {"input_tokens": 1, "output_tokens": 1}
_MESSAGES = [{"role": "user", "content": "a"}]
_ABOUT: JsonObject = {"id": "0", "created": 1, "model": _MODEL}
_CALL: JsonObject = {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}}

_ASKED: dict[str, JsonObject] = {
    "/v1/chat/completions": {"messages": _MESSAGES},
    "/v1/completions": {"prompt": "a"},
    "/v1/responses": {"input": "a"},
    "/v1/messages": {"messages": _MESSAGES, "max_tokens": 1},
    "/v1/messages/count_tokens": {"messages": _MESSAGES},
    "/v1/embeddings": {"input": ["a"]},
    "/v1/rerank": {"query": "a", "documents": ["b"]},
    "/v1/score": {"text_1": "a", "text_2": ["b"]},
    "/v1/classify": {"input": ["a"]},
    "/v1/pooling": {"input": ["a"]},
    "/v1/tokenize": {"prompt": "a"},
    "/v1/detokenize": {"tokens": [1]},
}
_STREAMED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")

_ITEM: JsonObject = {
    "id": "1", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "a", "annotations": []}],
}  # fmt: skip
_RESPONSE: JsonObject = {
    "id": "0", "object": "response", "created_at": 1, "model": _MODEL, "status": "completed",
    "output": [_ITEM], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "usage": {
        **_TOKENS, "total_tokens": 2, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}  # fmt: skip
_MESSAGE: JsonObject = {
    "id": "0", "type": "message", "role": "assistant", "model": _MODEL, "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "a"}], "usage": _TOKENS,
}  # fmt: skip

_WHOLE: dict[str, JsonObject] = {
    "/v1/models": {
        "object": "list", "data": [{"id": _MODEL, "object": "model", "created": 1, "owned_by": "vllm"}],
    },
    "/v1/chat/completions": {
        **_ABOUT, "object": "chat.completion", "usage": _USAGE,
        "choices": [
            {
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "a", "reasoning": "b", "tool_calls": [_CALL]},
            },
        ],
    },
    "/v1/completions": {
        **_ABOUT, "object": "text_completion", "usage": _USAGE,
        "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}],
    },
    "/v1/responses": _RESPONSE,
    "/v1/messages": _MESSAGE,
    "/v1/messages/count_tokens": {"input_tokens": 1, "context_management": {"original_input_tokens": 1}},
    "/v1/embeddings": {
        "object": "list", "model": _MODEL, "usage": _USAGE,
        "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
    },
    "/v1/rerank": {
        "id": "0", "model": _MODEL, "usage": {"total_tokens": 1},
        "results": [{"index": 0, "document": {"text": "b"}, "relevance_score": 0.5}],
    },
    "/score": {
        **_ABOUT, "object": "list", "usage": _USAGE, "data": [{"object": "score", "index": 0, "score": 0.5}],
    },
    "/classify": {
        **_ABOUT, "object": "list", "usage": _USAGE,
        "data": [{"index": 0, "label": "a", "probs": [1.0], "num_classes": 1}],
    },
    "/pooling": {
        **_ABOUT, "object": "list", "usage": _USAGE,
        "data": [{"object": "pooling", "index": 0, "data": "AACAPw=="}],
    },
    "/tokenize": {"count": 1, "max_model_len": 1, "tokens": [1]},
    "/detokenize": {"prompt": "a"},
    "/v1/audio/transcriptions": {"text": "a"},
    "/v1/audio/translations": {"text": "a"},
}  # fmt: skip
_PLACE: JsonObject = {"item_id": "1", "output_index": 0, "content_index": 0, "sequence_number": 0}
_EVENTS: dict[str, list[JsonObject]] = {
    "/v1/chat/completions": [
        {
            **_ABOUT, "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}],
        }
        for delta in ({"reasoning": "b"}, {"content": "a"}, {"tool_calls": [{"index": 0, **_CALL}]})
    ] + [
        {
            **_ABOUT, "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        },
        {**_ABOUT, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE},
    ],
    "/v1/completions": [
        {
            **_ABOUT, "object": "text_completion",
            "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}],
        },
    ],
    "/v1/responses": [
        {"type": "response.created", "sequence_number": 0, "response": {**_RESPONSE, "output": []}},
        {"type": "response.output_item.added", "sequence_number": 0, "output_index": 0, "item": _ITEM},
        {"type": "response.output_text.delta", **_PLACE, "delta": "a", "logprobs": []},
        {"type": "response.output_text.done", **_PLACE, "text": "a", "logprobs": []},
        {"type": "response.output_item.done", "sequence_number": 0, "output_index": 0, "item": _ITEM},
        {"type": "response.completed", "sequence_number": 0, "response": _RESPONSE},
    ],
    "/v1/messages": [
        {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
}  # fmt: skip


async def warm_up(responses_api: ResponsesAPI) -> None:
    """Perform each operation once.

    Args:
        responses_api: as the gateway's client has it.
    """
    with _untold():
        async with AsyncVLLM(
            "http://localhost",
            api_key="",
            max_retries=0,
            responses_api=responses_api,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(_reply), trust_env=False),
        ) as client:
            await _perform("GET", "/v1/models", lambda exchange: models(client, exchange))
            for path, asked in _ASKED.items():
                for stream in (False, True) if path in _STREAMED else (False,):
                    body = {**asked, "model": _MODEL, **({"stream": True} if stream else {})}
                    await _perform("POST", path, _answering(path, client, body))
                    if path == "/v1/responses" and responses_api == "auto":  # what goes to that route itself
                        await _perform("POST", path, _answering(path, client, {**body, "store": True}))
            for kind in ("transcriptions", "translations"):
                await _perform("POST", f"/v1/audio/{kind}", _hearing(kind, client))


def _answering(path: str, client: AsyncVLLM, body: JsonObject) -> Callable[[Exchange], Awaitable[None]]:
    return lambda exchange: JSON_ROUTES[path].answer(client, exchange, body)


def _hearing(kind: str, client: AsyncVLLM) -> Callable[[Exchange], Awaitable[None]]:
    files = {"file": ("a.wav", b"RIFF", "audio/wav")}
    return lambda exchange: speech_to_text(kind, client, exchange, {"model": _MODEL}, files)


async def _perform(method: str, path: str, answer: Callable[[Exchange], Awaitable[None]]) -> None:
    scope = {"method": method, "path": path, "headers": [], "query_string": b""}
    try:
        await answer(Exchange(scope, _receive, _send))
    except Exception:  # the operation may work on a real server, and does without this
        _LOGGER.warning("%s %s could not be tried before the start", method, path, exc_info=True)


@contextmanager
def _untold() -> Iterator[None]:
    """Keep it out of traces and metrics, where there are any."""
    if "opentelemetry.trace" not in sys.modules:
        yield
        return
    from opentelemetry import context

    token = context.attach(context.set_value(SUPPRESSED, True))
    try:
        yield
    finally:
        context.detach(token)


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def _send(_: Message) -> None:
    """Nobody is there."""


def _reply(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if path in _EVENTS and orjson.loads(request.content).get("stream"):
        events = [
            b"event: %b\ndata: %b\n\n" % (str(event.get("type", "message")).encode(), orjson.dumps(event))
            for event in _EVENTS[path]
        ]
        end = b"" if "type" in _EVENTS[path][0] else b"data: [DONE]\n\n"
        stream = httpx.ByteStream(b"".join(events) + end)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)
    if path not in _WHOLE:
        return httpx.Response(
            404, json={"error": {"message": "Not Found", "type": "NotFoundError", "code": 404}}
        )
    return httpx.Response(200, json=_WHOLE[path])
