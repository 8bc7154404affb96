"""One call of one operation: what shall go on the wire, and how it is going."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from openai._models import FinalRequestOptions
from pydantic import Field

from .._keys.key import Server, wire_model
from .._wire.payloads import ErrorPayload, read_error
from .failures import Where


class Variant(NamedTuple):
    """One way to ask for the same thing; servers differ in which they understand.

    Attributes:
        path: from the server's root, e.g. ``"/v1/rerank"``.
        body: a JSON object without its `model`, None for a GET or a form.
        kind: what sets it apart where the path does not, e.g. an encoding format.
    """

    path: str
    body: bytes | None = None
    kind: str = ""

    @property
    def what(self) -> tuple[str, str]:
        """What a server is remembered to understand."""
        return self.path, self.kind


def _never(variant: Variant, status: int, error: ErrorPayload) -> bool:
    return False


@dataclass(eq=False)
class Call:
    """One call.

    Attributes:
        operation: what is asked, for errors and for what a server is known to understand.
        variants: ways to ask, best first.
        model: the requested model, None for the server's default and for calls that need none.
        method: HTTP method.
        form: fields of a multipart form, instead of a body.
        falls_back: whether an error reply (its HTTP status and payload) to a variant means that the server
            does not understand that variant.
        json_reply: whether a success must be JSON; else any body is one.
        streams: whether a success must be a stream of events.
        generates: whether the server works on it for long: then a timeout is not retried, since it may
            still be working.
        key_name: the only key that may serve it, None for any.

    And how it is going:
        tried: names of the keys that attempts went to, in order.
        server: the server of the running attempt.
        untried: numbers of the variants left for this attempt; the first is in use.
        refusals: replies to the variants that this server did not understand.
        response: the last reply.
    """

    operation: str
    variants: tuple[Variant, ...]
    model: str | None = None
    method: str = "post"
    form: dict[str, Any] | None = None
    falls_back: Callable[[Variant, int, ErrorPayload], bool] = _never
    json_reply: bool = True
    streams: bool = False
    generates: bool = True
    key_name: str | None = None
    tried: list[str] = field(default_factory=list)
    server: Server | None = None
    untried: list[int] = field(default_factory=list)
    refusals: list[tuple[int, Any]] = field(default_factory=list)
    response: Any = None

    def begin(self, server: Server, understood: tuple[str, str] | None) -> None:
        """Begin an attempt.

        Args:
            server: whom to ask.
            understood: path and kind of the variant that this server is known to understand.
        """
        self.server = server
        self.tried.append(server.key.name)
        self.refusals = []
        self.untried = list(range(len(self.variants)))
        if understood is not None:  # first, and the others in their order
            self.untried.sort(key=lambda number: self.variants[number].what != understood)

    @property
    def variant(self) -> Variant:
        """The variant in use."""
        return self.variants[self.untried[0]]

    @property
    def content(self) -> bytes | None:
        """The body of the variant in use, with the model's name on this server put in front."""
        body = self.variant.body
        if body is None or self.model is None:
            return body
        model = orjson.dumps(self.wire_model)
        return b'{"model":' + model + (b"}" if body == b"{}" else b"," + body[1:])

    @property
    def wire_model(self) -> str | None:
        """The model's name on the server in use."""
        if self.model is None or self.server is None:
            return self.model
        return wire_model(self.server.key, self.model)

    def refused(self, response: Any) -> bool:
        """Take an error reply; tell whether the next variant is to be tried."""
        error = read_error(response.content)
        if not self.falls_back(self.variant, response.status_code, error):
            self.refusals = []
            return False
        self.refusals.append((error.weight, response))
        if len(self.untried) == 1:
            return False
        del self.untried[0]
        return True

    def opaque_stream(self, response: Any) -> bool:
        """Whether a streamed reply is to be handed over unread: a compressed stream of events, or whatever
        the caller streams that is not JSON."""
        content_type = response.headers.get("content-type", "")
        return "event-stream" in content_type or not (self.streams or "json" in content_type)

    @property
    def where(self) -> Where:
        """Operation, key and server, as errors tell them."""
        server = self.server
        return Where(self.operation, server.key.name, server.root) if server else Where(self.operation)


class CallOptions(FinalRequestOptions):  # type: ignore[misc]  # final for type checkers only
    """The SDK's options of one request, which it copies for every attempt, with our call on them."""

    call: Any = Field(None, exclude=True, repr=False)  # openai 2.x logs a dump of the options


EXTENSION = "vllm_connect.call"


def call_of(request: Any) -> Call:
    """The call that an HTTP request belongs to."""
    call: Call = request.extensions[EXTENSION]
    return call
