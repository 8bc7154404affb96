"""Operations whose bodies pass through: a request but for its model's name, a reply as it is.

Both are looked at: an error in a success, a reply that is none, a stream that ends too soon are errors here
as they are in the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..._calls.attempt import attempt_of, call_options
from ..._calls.call import Call, json_call, stream_call
from ..._client import AsyncVLLM
from ..._transport._httpx import httpx
from ..._wire.decoding import JsonObject
from ..._wire.objects import NotAReply, read_object
from ..http.exchange import Exchange
from ..streams.passed import PassedStream
from ..streams.reading import ReadEvent, read_chunk, read_message_event
from ..streams.sending import DONE, send_stream
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


@dataclass(frozen=True)
class Passing:
    """An operation.

    Attributes:
        operation: its name in the client.
        path: where servers have it.
        check: raises for a payload that is no answer.
        read_event: notes an event; None where there is nothing to stream.
        typed: whether errors are in Anthropic's form, and streams without [DONE].
    """

    operation: str
    path: str
    check: Callable[[JsonObject], None]
    read_event: ReadEvent | None = None
    typed: bool = False

    async def __call__(self, client: AsyncVLLM, exchange: Exchange, body: JsonObject) -> None:
        """Answer a request.

        Args:
            client: asks the servers.
            exchange: the request.
            body: its body; nothing of it is needed afterwards.
        """
        options = {"headers": passed_on(exchange)}
        if self.read_event is not None and body.pop("stream", False):
            call = stream_call(self.operation, self.path, body, options, self.read_event)
            stream: PassedStream[object] = await client.request(
                bytes,
                call_options(call, client._understood),
                stream=True,
                stream_cls=PassedStream[object],
            )
            exchange.key_name = stream.key_name
            batches = stream.batches()
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
        whole: Call[Any] = json_call(self.operation, (self.path,), body, options, bytes)
        reply: Reply = await client._perform(replace(whole, read=None, read_reply=self._read))
        response = reply.response
        exchange.key_name, exchange.usage = key_of(response), reply.usage
        content_type = response.headers.get("content-type", "application/json").encode("latin-1")
        await exchange.reply(200, response.content, content_type, reply_headers(response))

    def _read(self, response: httpx.Response) -> Reply:
        payload = read_object(response.content)
        self.check(payload)
        return Reply(response, payload.get("usage"))


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


def _has_choices(payload: JsonObject) -> None:
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotAReply("no 'choices' in the reply")
    for choice in choices:
        if not isinstance(choice, dict) or (choice.get("message") is None and choice.get("text") is None):
            raise NotAReply("a choice has neither message nor text")


def _has(name: str, kind: type) -> Callable[[JsonObject], None]:
    def check(payload: JsonObject) -> None:
        if not isinstance(payload.get(name), kind):
            raise NotAReply(f"no {name!r} in the reply")

    return check


def has_list(name: str) -> Callable[[JsonObject], None]:
    """A check that a reply holds a list."""
    return _has(name, list)


def has_text(name: str) -> Callable[[JsonObject], None]:
    """A check that a reply holds a text."""
    return _has(name, str)


CHAT = Passing("chat.completions.create", "/v1/chat/completions", _has_choices, read_chunk)
COMPLETIONS = Passing("completions.create", "/v1/completions", _has_choices, read_chunk)
MESSAGES = Passing("messages.create", "/v1/messages", has_list("content"), read_message_event, typed=True)
COUNT_TOKENS = Passing(
    "messages.count_tokens", "/v1/messages/count_tokens", _has("input_tokens", int), typed=True
)
