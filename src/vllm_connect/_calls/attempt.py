"""An attempt at a call: which server, which variant, how it went, and whether another is worth it.

The SDK's loop makes the attempts: it asks for a route before each, hands over each reply, and repeats when
`is_worth_another` or a connection error says so. Here is what our side of that loop remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
from openai import NotGiven
from openai._models import FinalRequestOptions
from pydantic import Field

from .._keys.key import Server, wire_model
from .._wire.objects import ErrorInReply, NotAReply
from .._wire.payloads import ErrorPayload, read_error
from .call import Call, Variant
from .failures import Where, invalid_response, status_error, timeout_error

if TYPE_CHECKING:
    from openai import APIStatusError

    from .._transport._httpx import httpx

T_co = TypeVar("T_co", covariant=True)

Understood = dict[tuple[str, str], tuple[str, str]]
"""The variant that a server understands, by the server's root and the operation."""

# 409 and 500 are not worth another attempt (vLLM's 500 is a dead engine or a bug), nor is 501.
_WORTH_ANOTHER = frozenset({408, 429, 502, 503, 504})
_NOTHING_SENT = frozenset({"ConnectTimeout", "PoolTimeout"})

ATTEMPT = "vllm_connect.attempt"
"""The extension of an HTTP request that holds the attempt it belongs to."""
_ERROR = "vllm_connect.error"
_HTTP_STATUS = "vllm_connect.http_status"


class Attempt(Generic[T_co]):
    """How a call is going: the attempt in hand, and where it went before.

    Attributes:
        call: the call.
        server: the server that is asked; None until one is chosen.
        wire_model: the model's name on that server.
        tried: names of the keys that attempts went to, in order.
        refusals: how much they say, and the replies to the variants that this server did not understand.
        response: the last reply.
    """

    def __init__(self, call: Call[T_co], understood: Understood) -> None:
        self.call = call
        self.server: Server | None = None
        self.tried: list[str] = []
        self.wire_model = call.model
        self.refusals: list[tuple[int, httpx.Response]] = []
        self.response: httpx.Response | None = None
        self._understood = understood
        self._untried: list[int] = []  # numbers of the variants left for this server; the first is in use

    # What goes out

    def begin(self, server: Server) -> None:
        """Begin an attempt at a server."""
        self.server = server
        self.tried.append(server.key.name)
        self.refusals = []
        variants = self.call.variants
        self._untried = list(range(len(variants)))
        understood = self._understood.get((server.root, self.call.operation))
        if understood is not None:  # first, and the others in their order
            self._untried.sort(key=lambda number: variants[number].what != understood)
        if self.call.model is not None:
            self.wire_model = wire_model(server.key, self.call.model)

    @property
    def variant(self) -> Variant:
        """The variant in use."""
        return self.call.variants[self._untried[0]]

    @property
    def content(self) -> bytes | None:
        """The body of the variant in use, with the model's name on this server put in front."""
        body = self.variant.body
        if body is None or self.call.model is None:
            return body
        model = orjson.dumps(self.wire_model)
        return b'{"model":' + model + (b"}" if body == b"{}" else b"," + body[1:])

    def route(self, options: FinalRequestOptions) -> FinalRequestOptions:
        """Point the SDK's options of this attempt at the server in use."""
        call, server = self.call, self._server
        authorization = server.authorization
        if call.variants:
            options.url = server.url(self.variant.path)
            if call.form is not None:
                options.json_data = {**call.form, "model": self.wire_model} if call.model else call.form
            else:
                options.content = self.content
        else:
            if "://" not in options.url:
                options.url = server.url("/v1/" + options.url.lstrip("/"))
            if isinstance(options.json_data, dict) and call.model is not None:
                options.json_data = {**options.json_data, "model": self.wire_model}
        # The slash matters: http://gpu1 must not lend its key to http://gpu1.elsewhere.
        if authorization is not None and options.url.startswith(server.root + "/"):
            headers = {} if isinstance(options.headers, NotGiven) else options.headers
            options.headers = {**headers, "Authorization": authorization}
        return options

    def next_request(self, request: httpx.Request) -> httpx.Request:
        """The request of the variant in use, after the server refused this one."""
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        url = self._server.url(self.variant.path)
        extensions = request.extensions
        return type(request)(
            request.method, url, headers=headers, content=self.content, extensions=extensions
        )

    # What comes back

    def refuse(self, response: httpx.Response) -> bool:
        """Take an error reply; tell whether the next variant is to be tried."""
        error = read_error(response.content)
        if not self.call.falls_back(self.variant, response.status_code, error):
            self.refusals = []
            return False
        self.refusals.append((error.weight, response))
        if len(self._untried) == 1:
            return False
        del self._untried[0]
        return True

    def mark(self, response: httpx.Response, error: ErrorPayload) -> None:
        """Give a reply the status that the error in it names (500 if it names none)."""
        self.refusals = []  # it answers the variant that was understood
        response.extensions[_ERROR] = error
        response.extensions[_HTTP_STATUS] = response.status_code
        response.status_code = error.status or 500

    def settle(self, response: httpx.Response) -> httpx.Response:
        """Choose the reply to go on with, after the last variant was tried."""
        if self.refusals and response.is_error:  # none was understood: the first that says most
            response = max(self.refusals, key=lambda refusal: refusal[0])[1]
        elif len(self.call.variants) > 1 and response.is_success:
            self._understood[self._server.root, self.call.operation] = self.variant.what
        self.response = response
        return response

    def read(self, reply: object) -> object:
        """Make the result of a whole reply, once it was found to be no error.

        Args:
            reply: the reply, or its body; what a caller of ``with_raw_response….parse(to=…)`` chose instead
                is returned as it is.
        """
        content = reply if isinstance(reply, bytes) else getattr(reply, "content", None)
        response = self.response
        if not isinstance(content, bytes) or response is None or self.call.read is None:
            return reply
        try:
            return self.call.read(response)
        except ErrorInReply as found:
            raise status_error(found.error, response, self.where) from None
        except NotAReply as problem:
            raise invalid_response(response, self.where, str(problem)) from None

    # Failures

    @property
    def where(self) -> Where:
        """Operation, key and server, as errors tell them."""
        server, operation = self.server, self.call.operation
        return Where(operation, server.key.name, server.root) if server else Where(operation)

    def raise_if_sent(self, cause: Exception, request: httpx.Request) -> None:
        """Raise the timeout of a generation as our own error, which the SDK does not retry."""
        if self.call.generates and type(cause).__name__ not in _NOTHING_SENT:
            raise timeout_error(request, self.where, cause) from cause

    @property
    def _server(self) -> Server:
        assert self.server is not None, "no server was chosen yet"
        return self.server


def is_worth_another(response: httpx.Response) -> bool:
    """Whether an error reply is worth another attempt, unless its headers say something else."""
    return response.status_code in _WORTH_ANOTHER


def error_of(response: httpx.Response) -> APIStatusError:
    """The exception for an error reply that is not worth another attempt."""
    error = response.extensions.get(_ERROR)
    if error is None:
        if response.is_closed and not response.is_stream_consumed:  # by the caller's own event hook
            error = ErrorPayload("the reply was closed before it was read", None, None, "text")
        else:
            error = read_error(response.content)
    status = response.status_code
    http_status = response.extensions.get(_HTTP_STATUS, status)
    where = attempt_of(response.request).where
    return status_error(error, response, where, status=status, http_status=http_status)


class CallOptions(FinalRequestOptions):  # type: ignore[misc]  # final for type checkers only
    """The SDK's options of one request, which it copies for every attempt, with our attempt on them."""

    attempt: Any = Field(None, exclude=True, repr=False)  # openai 2.x logs a dump of the options


def attempt_of(request: httpx.Request) -> Attempt[object]:
    """The attempt that an HTTP request belongs to."""
    attempt: Attempt[object] = request.extensions[ATTEMPT]
    return attempt
