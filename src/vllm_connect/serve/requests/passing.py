"""Operations whose bodies pass through: a request but for its model's name, a reply as it is.

Both are looked at: an error in a success, a reply that is none, a stream that ends too soon are errors here
as they are in the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

from ..._calls.attempt import attempt_of, call_options
from ..._calls.call import Call, json_call, stream_call
from ..._client import AsyncVLLM
from ..._transport._httpx import httpx
from ..._wire.decoding import JsonObject
from ..._wire.objects import NotAReply, read_object
from ...resources.messages import message_call, message_count_call, message_stream_call
from ...resources.tokens import detokenize_call, tokenize_call
from ..http.exchange import Exchange
from ..streams.passed import PassedStream
from ..streams.reading import Noted, read_chunk, read_message_event
from ..streams.sending import DONE, send_stream
from .bodies import take_stream
from .headers import passed_on

KEY_HEADER = b"x-vllm-connect-key"
_ECHOED = ("x-request-id", "x-session-token")


class Reply(NamedTuple):
    """A whole reply.

    Attributes:
        response: as it came.
        usage: tokens, if it counts them.
    """

    response: httpx.Response
    usage: object


MakeCall = Callable[[JsonObject, Mapping[str, str]], Call[Any]]
"""Makes a call of the body and the headers of a request; its `read` raises for what is no answer."""


@dataclass(frozen=True)
class Passing:
    """An operation.

    Attributes:
        operation: its name in the client.
        whole: makes the call whose answer is one object.
        streamed: makes the call whose answer is a stream of `Noted`; None where there is nothing to stream.
        typed: whether errors are in Anthropic's form, and streams without [DONE].
    """

    operation: str
    whole: MakeCall
    streamed: MakeCall | None = None
    typed: bool = False

    async def __call__(self, client: AsyncVLLM, exchange: Exchange, body: JsonObject) -> None:
        """Answer a request.

        Args:
            client: asks the servers.
            exchange: the request.
            body: its body; nothing of it is needed afterwards.
        """
        headers = passed_on(exchange)
        if self.streamed is not None and take_stream(body):
            stream: PassedStream[object] = await client.request(
                bytes,
                call_options(self.streamed(body, headers), client._capabilities),
                stream=True,
                stream_cls=PassedStream[object],
            )
            exchange.key_name = stream.key_name
            batches = stream.batches(exchange.writer)
            try:
                await send_stream(
                    exchange,
                    batches,
                    end=b"" if self.typed else DONE,
                    typed=self.typed,
                    headers=reply_headers(stream.response),
                )
            finally:
                exchange.usage = stream.usage
                await batches.aclose()  # type: ignore[attr-defined]  # of a generator, which this is
            return
        call = self.whole(body, headers)
        assert call.read is not None, "the call is not one whose answer is one object"
        read = partial(_read, call.read)
        reply: Reply = await client._perform(replace(call, read=None, read_reply=read))
        response = reply.response
        exchange.key_name, exchange.usage = key_of(response), reply.usage
        content_type = response.headers.get("content-type", "application/json").encode("latin-1")
        await exchange.reply(200, response.content, content_type, reply_headers(response))


def _read(read: Callable[[bytes], object], response: httpx.Response) -> Reply:
    result = read(response.content)
    usage = result.get("usage") if isinstance(result, dict) else getattr(result, "usage", None)
    return Reply(response, usage)


def key_of(response: httpx.Response) -> str | None:
    """The name of the key whose server sent a response."""
    return attempt_of(response.request).where.key_name


def reply_headers(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The headers of a server's response that go on to the gateway's client."""
    headers = [
        (name.encode(), response.headers[name].encode("latin-1"))
        for name in _ECHOED
        if name in response.headers
    ]
    key_name = key_of(response)
    if key_name is not None:
        headers.append((KEY_HEADER, header_value(key_name)))
    return headers


def header_value(text: str) -> bytes:
    """A text as a header can carry it."""
    return text.encode("ascii", "backslashreplace").replace(b"\n", b" ").replace(b"\r", b" ")


def _read_completion(data: bytes) -> JsonObject:
    payload = read_object(data)
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotAReply("no 'choices' in the reply")
    for choice in choices:
        if not isinstance(choice, dict) or (choice.get("message") is None and choice.get("text") is None):
            raise NotAReply("a choice has neither message nor text")
    return payload


def _generating(operation: str, path: str) -> Passing:
    """An operation that the client leaves to the SDK, which makes its request of typed parameters alone."""
    return Passing(
        operation,
        lambda body, headers: json_call(operation, (path,), body, {"headers": headers}, _read_completion),
        lambda body, headers: stream_call(operation, path, body, {"headers": headers}, read_chunk),
    )


def _own(make: Callable[[Mapping[str, object]], Call[Any]]) -> MakeCall:
    """Make the client's own call, with all that a newer server may understand."""

    def make_from_body(body: JsonObject, headers: Mapping[str, str]) -> Call[Any]:
        named = {name: body.pop(name) for name in _NAMED if name in body}
        return make({**named, "extra_body": body, "extra_headers": headers})

    return make_from_body


def _message_stream(params: Mapping[str, object]) -> Call[Noted]:
    # The client's call but for its events: made into objects and written again they would lose what no type
    # knows, and cost many times what it takes to pass them on.
    return replace(cast("Call[Any]", message_stream_call(params)), read_event=read_message_event)


_NAMED = ("messages", "prompt", "tokens")
"""What a call of the client looks for by its name."""

CHAT = _generating("chat.completions.create", "/v1/chat/completions")
COMPLETIONS = _generating("completions.create", "/v1/completions")
MESSAGES = Passing("messages.create", _own(message_call), _own(_message_stream), typed=True)
COUNT_TOKENS = Passing("messages.count_tokens", _own(message_count_call), typed=True)
TOKENIZE = Passing("tokenize", _own(tokenize_call))
DETOKENIZE = Passing("detokenize", _own(detokenize_call))
