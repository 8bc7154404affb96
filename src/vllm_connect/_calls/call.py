"""A call of one operation: what to ask of a server, and how to read the answer.

A `Call` knows no server and never changes, so it can be made anywhere and performed more than once; how it
goes is an `Attempt`'s to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, cast

from .._wire.body import encode
from .._wire.decoding import JsonObject
from .._wire.payloads import ErrorPayload
from .affinity import NAMES_OF_HOME, affinity

if TYPE_CHECKING:
    from .._transport._httpx import httpx

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Variant(NamedTuple):
    """One way to ask for the same thing; servers differ in which they understand.

    Attributes:
        path: from the server's root, e.g. ``"/v1/rerank"``.
        body: a JSON object without its `model`, or what makes one that is seldom needed; None for a GET or a
            form.
        kind: what sets it apart where the path does not, e.g. an encoding format.
    """

    path: str
    body: bytes | Callable[[], bytes] | None = None
    kind: str = ""


class Conversion(Protocol[T]):
    """Turns the items of one stream into those of another."""

    def feed(self, item: Any, /) -> list[T]:
        """Take an item."""

    def finish(self) -> list[T]:
        """Take the good end of the stream."""

    def fail(self, error: Exception, /) -> list[T]:
        """Take its failure, which is raised after what this returns."""


def _never(variant: Variant, status: int, error: ErrorPayload) -> bool:
    return False


@dataclass(frozen=True, eq=False)
class Call(Generic[T_co]):
    """One call, whose answer is a T or a stream of them.

    Attributes:
        operation: what is asked, for errors and for what a server is known to understand.
        variants: ways to ask, best first.
        model: the requested model, None for the server's default and for calls that need none.
        read: makes the result of the body of a whole reply; None for a stream.
        read_reply: makes it of body and headers, where those tell how the body is to be read.
        read_event: makes an item of the data of one event; None for a whole reply.
        conversion: makes what turns those items into the stream's.
        options: request options under the SDK's names: headers, params, timeout, max_retries.
        method: HTTP method.
        form: fields of a multipart form, instead of a body.
        files: the files of that form.
        falls_back: whether an error reply (its HTTP status and payload) to a variant means that the server
            does not understand that variant.
        doubtful: statuses that mean the same of a variant that the server never understood before: they may
            come from a proxy. Where there are any, so does an answer that cannot be read.
        json_reply: whether a success must be JSON; else any body is one.
        generates: whether the server works on it for long: then a timeout is not retried, since it may
            still be working.
        key_name: the only key that may serve it, None for any.
        session: the conversation that it belongs to, None if nobody said.
        begins: names the conversation that a result begins: what follows goes to the server that made it.
        conversation: its messages or prompt, for want of that; read where a conversation stays on its server.
        is_explained: whether an error that it ends in is worth a question to the server; not if it is caught.
        is_shown: whether it came by whoever replaced a method of the SDK's, and tells of it.
    """

    operation: str
    variants: tuple[Variant, ...]
    model: str | None = None
    read: Callable[[bytes], T_co] | None = None
    read_reply: Callable[[httpx.Response], T_co] | None = None
    read_event: Callable[[bytes], T_co] | None = None
    conversion: Callable[[], Conversion[Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str = "post"
    form: Mapping[str, object] | None = None
    files: Any = None
    falls_back: Callable[[Variant, int, ErrorPayload], bool] = _never
    doubtful: frozenset[int] = frozenset()
    json_reply: bool = True
    generates: bool = True
    key_name: str | None = None
    session: str | None = None
    conversation: object = None
    is_explained: bool = True
    is_shown: bool = False
    begins: Callable[[Any], str | None] | None = None


def json_call(
    operation: str,
    paths: tuple[str, ...],
    body: JsonObject,
    options: Mapping[str, object],
    read: Callable[[bytes], T],
    *,
    falls_back: Callable[[Variant, int, ErrorPayload], bool] = _never,
    generates: bool = True,
) -> Call[T]:
    """Build a call that sends one JSON object and gets one back.

    Args:
        operation: what is asked.
        paths: where it may be asked, best first.
        body: the parameters; `model` is taken out of them.
        options: request request options.
        read: makes the result of the reply's body.
        falls_back: see `Call`.
        generates: see `Call`.
    """
    session, options = at_home(operation, body, options)
    conversation = _conversation(body)
    model = body.pop("model", None)
    content = encode(body, operation=operation)
    return Call(
        operation,
        tuple(map(Variant, paths, repeat(content))),
        model,
        read=read,
        options=options,
        falls_back=falls_back,
        generates=generates,
        session=session,
        conversation=conversation,
    )


def stream_call(
    operation: str,
    path: str,
    body: JsonObject,
    options: Mapping[str, object],
    read_event: Callable[[bytes], T],
) -> Call[T]:
    """Build a call that sends one JSON object and gets a stream of events back.

    Args:
        operation: what is asked.
        path: where it is asked.
        body: the parameters; `model` is taken out of them, and `stream` is added.
        options: request request options.
        read_event: makes an item of the data of one event.
    """
    session, options = at_home(operation, body, options)
    conversation = _conversation(body)
    model = body.pop("model", None)
    content = encode({**body, "stream": True}, operation=operation)
    return Call(
        operation,
        (Variant(path, content),),
        model,
        read_event=read_event,
        options=options,
        session=session,
        conversation=conversation,
    )


def converted(call: Call[object], conversion: Callable[[], Conversion[T]]) -> Call[T]:
    """The call whose stream is made of another call's.

    Args:
        call: a call that streams.
        conversion: makes what turns its items into those of the result.
    """
    return replace(cast("Call[T]", call), conversion=conversion)


def at_home(
    operation: str, body: JsonObject, options: Mapping[str, object]
) -> tuple[str | None, Mapping[str, object]]:
    """The session of a request and its options, see `affinity`; most have nothing to say of it."""
    if options or not NAMES_OF_HOME.isdisjoint(body):
        return affinity(operation, body, options)
    return None, options


def _conversation(body: JsonObject) -> object:
    """Messages, or one prompt: a list of prompts is no conversation."""
    if "messages" in body:
        return body["messages"]
    prompt = body.get("prompt")
    return prompt if isinstance(prompt, str) else None
