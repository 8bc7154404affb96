"""Operations that go through the client's own methods, and whose results are written as JSON.

So they have all that the methods do: other paths and formats where a server lacks the first, results in the
order of the inputs, checks of indices and numbers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from openai import BaseModel

from ..._calls.call import Call, json_call
from ..._client import AsyncVLLM
from ..._transport._httpx import httpx
from ..._wire.body import RequestOptions, names
from ..._wire.decoding import JsonObject
from ..._wire.inputs import count_of
from ..._wire.objects import NotAReply, in_order, read_object
from ...resources.responses import ResponseParams
from ...types import EmbeddingResponse, RerankResponse
from ..http.errors import Refusal
from ..http.exchange import Exchange
from ..streams.sending import DONE, send_stream
from .bodies import Upload, take_stream
from .headers import passed_on
from .passing import key_of, reply_headers

_RESPONSE_FIELDS = names(ResponseParams) - names(RequestOptions)
_AS_IT_IS = ("base64", "bytes", "bytes_only")


@dataclass(frozen=True)
class Typed:
    """An operation of the client whose parameters are a JSON object.

    Attributes:
        operation: its name in the client.
        method: gives the method of a client that returns a raw response.
        arguments: makes its keyword arguments of the body.
        write: makes the reply's body of the result.
    """

    operation: str
    method: Callable[[Any], Callable[..., Awaitable[Any]]]
    arguments: Callable[[JsonObject], JsonObject]
    write: Callable[[Any], bytes]

    async def __call__(self, client: AsyncVLLM, exchange: Exchange, body: JsonObject) -> None:
        """Answer a request."""
        arguments = self.arguments(body)
        raw = await self.method(client)(extra_headers=passed_on(exchange), **arguments)
        await _answer(exchange, raw.http_response, raw.parse(), self.write)


async def _answer(
    exchange: Exchange, response: httpx.Response, result: object, write: Callable[[Any], bytes]
) -> None:
    exchange.key_name = key_of(response)
    exchange.usage = getattr(result, "usage", None)
    await exchange.reply(200, write(result), headers=reply_headers(response))


def as_json(result: BaseModel) -> bytes:
    """Return a server's answer as the client has read it."""
    return result.to_json(indent=None, warnings=False).encode()


def _whole(body: JsonObject) -> JsonObject:
    return {"extra_body": body}  # where the client leaves names alone that it does not know


def _rerank_arguments(body: JsonObject) -> JsonObject:
    nested = body.pop("params", None) or {}  # Bifrost's form
    if not isinstance(nested, Mapping):
        raise Refusal(400, "rerank: params must be an object", param="params")
    body = {**nested, **body}
    return {"query": body.pop("query", None), "documents": body.pop("documents", None), "extra_body": body}


def _write_rerank(result: RerankResponse) -> bytes:
    for item in result.results:
        if isinstance(item.document, str):
            item.document = {"text": item.document}
    return result.to_json(indent=None, exclude_none=True, warnings=False).encode()


RERANK = Typed(
    "rerank.create", lambda client: client.rerank.with_raw_response.create, _rerank_arguments, _write_rerank
)
SCORE = Typed("score.create", lambda client: client.score.with_raw_response.create, _whole, as_json)
CLASSIFY = Typed("classify.create", lambda client: client.classify.with_raw_response.create, _whole, as_json)
POOLING = Typed("pooling.create", lambda client: client.pooling.with_raw_response.create, _whole, as_json)


def _write_embeddings(result: EmbeddingResponse) -> bytes:
    data = [
        {"object": "embedding", "index": number, "embedding": item.embedding}
        for number, item in enumerate(result.data)
    ]
    reply: JsonObject = {"object": "list", "data": data, "model": result.model}
    if result.usage is not None:
        reply["usage"] = result.usage.to_dict(warnings=False)
    return orjson.dumps({"id": identifier, **reply} if (identifier := getattr(result, "id", None)) else reply)


_EMBEDDINGS = Typed(
    "embeddings.create", lambda client: client.embeddings.with_raw_response.create, _whole, _write_embeddings
)


async def embeddings(client: AsyncVLLM, exchange: Exchange, body: JsonObject) -> None:
    """Answer a request for embeddings.

    Those in a binary format pass through, in their order; JSON numbers are made here, so that they need not
    travel between the server and the gateway.
    """
    encoding = body.get("encoding_format", "float")
    if encoding not in _AS_IT_IS and "embed_dtype" not in body and "endianness" not in body:
        body.pop("encoding_format", None)
        await _EMBEDDINGS(client, exchange, body)
        return
    count = count_of(body, "input", "embeddings.create") if "input" in body else 1
    usage: object = None

    def read(response: httpx.Response) -> tuple[httpx.Response, bytes]:
        nonlocal usage
        if "octet-stream" in response.headers.get("content-type", ""):
            return response, response.content
        payload = read_object(response.content)
        data, usage = payload.get("data"), payload.get("usage")
        if not isinstance(data, list) or (count is not None and len(data) != count):
            raise NotAReply(f"{len(data) if isinstance(data, list) else 'no'} embeddings for {count} inputs")
        ordered = in_order(data, lambda item: item.get("index") if isinstance(item, Mapping) else None)
        return response, response.content if ordered is data else orjson.dumps({**payload, "data": ordered})

    call: Call[Any] = json_call(
        "embeddings.create", ("/v1/embeddings",), body, {"headers": passed_on(exchange)}, bytes
    )
    response, content = await client._perform(replace(call, read=None, read_reply=read, json_reply=False))
    exchange.key_name, exchange.usage = key_of(response), usage
    headers = reply_headers(response)
    if metadata := response.headers.get("metadata"):  # of the `bytes` format: where each vector is
        headers.append((b"metadata", metadata.encode("latin-1")))
    content_type = response.headers.get("content-type", "application/json").encode("latin-1")
    await exchange.reply(200, content, content_type, headers)


async def responses(client: AsyncVLLM, exchange: Exchange, body: JsonObject) -> None:
    """Answer a request of the Responses API."""
    streams = take_stream(body)
    params = {name: value for name, value in body.items() if name in _RESPONSE_FIELDS}
    rest = {name: value for name, value in body.items() if name not in _RESPONSE_FIELDS}
    options: JsonObject = {"extra_headers": passed_on(exchange), "extra_body": rest or None}
    if not streams:
        raw = await client.responses.with_raw_response.create(**params, **options)
        await _answer(exchange, raw.http_response, raw.parse(), as_json)
        return
    stream = await client.responses.create(stream=True, **params, **options)
    exchange.key_name = key_of(stream.response)

    async def events() -> AsyncIterator[bytes]:
        async for event in stream:
            if (response := getattr(event, "response", None)) is not None:
                exchange.usage = getattr(response, "usage", None)
            yield b"event: %b\ndata: %b\n\n" % (event.type.encode(), as_json(event))

    try:
        await send_stream(exchange, events(), end=b"", typed=True, headers=reply_headers(stream.response))
    finally:
        await stream.close()


async def stored_response(client: AsyncVLLM, exchange: Exchange, rest: str) -> None:
    """Answer a request about a response that a server keeps; it goes to the one that made it.

    Args:
        client: asks the servers.
        exchange: the request.
        rest: its path behind that of the responses: an id, or an id and what to do.
    """
    identifier, _, action = rest.partition("/")
    methods: Any = client.responses.with_raw_response  # of methods that the SDK types otherwise
    method = {("GET", ""): methods.retrieve, ("POST", "cancel"): methods.cancel}.get(
        (exchange.method, action)
    )
    exchange.operation = "responses.cancel" if action == "cancel" else "responses.retrieve"
    if method is None or not identifier or exchange.query("stream") in ("true", "True", "1"):
        what = f"{exchange.method} {exchange.path}{' as a stream' if exchange.query('stream') else ''}"
        raise Refusal(501, f"{what} is not supported by vllm", code="unsupported_operation")
    raw = await method(identifier, extra_headers=passed_on(exchange))
    await _answer(exchange, raw.http_response, raw.parse(), as_json)


async def speech_to_text(
    kind: str, client: AsyncVLLM, exchange: Exchange, fields: JsonObject, files: Mapping[str, Upload]
) -> None:
    """Answer a request for a transcription or a translation.

    Args:
        kind: ``"transcriptions"`` or ``"translations"``.
        client: asks the servers.
        exchange: the request.
        fields: of its form.
        files: of its form.
    """
    if "file" not in files:
        raise Refusal(400, f"audio.{kind}.create: the form has no file named 'file'", param="file")
    streams = fields.pop("stream", "false") in ("true", "True", "1")
    method = getattr(client.audio, kind)
    arguments = {
        "file": files["file"],
        "extra_headers": passed_on(exchange),
        "extra_body": fields,
    }
    if not streams:
        raw = await method.with_raw_response.create(**arguments)
        result, response = raw.parse(), raw.http_response
        if isinstance(result, str):
            exchange.key_name = key_of(response)
            await exchange.reply(200, result.encode(), b"text/plain; charset=utf-8", reply_headers(response))
        else:
            await _answer(exchange, response, result, as_json)
        return
    stream = await method.create(stream=True, **arguments)
    exchange.key_name = key_of(stream.response)

    async def events() -> AsyncIterator[bytes]:
        async for event in stream:
            exchange.usage = getattr(event, "usage", None)
            yield b"data: %b\n\n" % as_json(event)

    try:
        await send_stream(exchange, events(), end=DONE, headers=reply_headers(stream.response))
    finally:
        await stream.close()
