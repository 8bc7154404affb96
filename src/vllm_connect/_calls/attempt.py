"""An attempt at a call: which server, which variant, how it went, and whether another is worth it.

The SDK's loop makes the attempts: it asks for a route before each, hands over each reply, and repeats when
`is_worth_another` or a connection error says so. Here is what our side of that loop remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import orjson
from openai import NotGiven
from openai._models import FinalRequestOptions
from openai._utils import strip_not_given
from pydantic import Field
from typing_extensions import Self

from .._keys.fleet import Fleet, Placement
from .._keys.health import Admission
from .._keys.key import Server
from .._transport._httpx import timeout_exceptions
from .._transport.exchange import is_repeatable
from .._wire.objects import ErrorInReply, NotAReply
from .._wire.payloads import ErrorPayload, read_error
from ..errors import UnsupportedOperationError
from .affinity import ECHOED_HEADER, session_of
from .call import Call, Variant
from .capabilities import NOTHING as NOTHING_KNOWN
from .capabilities import Capabilities, CapabilityTable, What, explanation
from .failures import Where, bad_redirect, invalid_response, status_error, timeout_error
from .outcomes import Outcome, outcome_of_exception, outcome_of_reply
from .redirects import is_bad_location
from .watched import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai import APIStatusError

    from .._telemetry.watch import Watch
    from .._transport._httpx import httpx
    from .capabilities import Http

T_co = TypeVar("T_co", covariant=True)

# 409 and 500 are not worth another attempt (vLLM's 500 is a dead engine or a bug), nor is 501.
_WORTH_ANOTHER = frozenset({408, 429, 502, 503, 504})
_NOTHING_SENT = frozenset({"ConnectTimeout", "PoolTimeout"})

ATTEMPT = "vllm_connect.attempt"
"""The extension of an HTTP request that holds the attempt it belongs to."""
STREAM_IDLE_TIMEOUT = "vllm_connect.stream_idle_timeout"
"""The extension of an HTTP request that holds the seconds for each part of a stream."""
_ERROR = "vllm_connect.error"
_HTTP_STATUS = "vllm_connect.http_status"
EXPLANATION = "vllm_connect.explanation"
"""The extension of an error reply that holds what explains it."""


class Attempt(Generic[T_co]):
    """The progress of a call: the attempt in hand, and where it went before.

    Attributes:
        call: the call.
        server: the server that is asked; None until one is chosen.
        wire_model: the model's name on that server.
        tried: names of the keys that were asked in this round; when all were, another round begins.
        places: how many requests were made of it: one for each server, in each round.
        refusals: how much they say, and the replies to the variants that this server did not understand.
        response: the last reply, until it is read.
        seen: what somebody who replaced a method of the client was shown; None if nobody did.
        watch: what telemetry tells of it; None if nobody wants any, or when all is told.
        capabilities: what the servers were found to have.
    """

    def __init__(self, call: Call[T_co], capabilities: CapabilityTable) -> None:
        self.call = call
        self.server: Server | None = None
        self.tried: list[str] = []
        self.wire_model = call.model
        self.refusals: list[tuple[int, httpx.Response]] = []
        self.response: httpx.Response | None = None
        self.snapshot: Snapshot | None = None
        self.watch: Watch | None = None
        self.places = 0
        self._fleet: Fleet | None = None
        self._home: str | None = None  # the conversation that it belongs to
        self._options: FinalRequestOptions | None = None
        self._unrouted: tuple[Any, Any, Any] = (None, None, None)  # what routing changes of them
        self.capabilities = capabilities
        self._untried: list[int] = []  # numbers of the variants left for this server; the first is in use
        self._refused: list[What] = []  # those that it did not understand in this attempt
        self._doubted: set[str] = set()  # roots of servers that failed in every variant
        self._result: tuple[httpx.Response, T_co] | None = None  # what was read already
        self._admission: Admission | None = None
        self._killed_engines = 0
        self._passing: httpx.Response | Exception | None = None  # what may yet pass, of this round's outcomes

    # What goes out

    def route(self, options: FinalRequestOptions, fleet: Fleet) -> FinalRequestOptions:
        """Begin an attempt of the SDK's loop: a round over the servers, or what is left of one.

        Args:
            options: the SDK's, which are pointed at the server that was chosen.
            fleet: the servers.
        """
        if self.snapshot is not None:
            self._take_back(options, self.snapshot)
        self._fleet = fleet
        self._options, self._unrouted = options, (options.url, options.headers, options.json_data)
        placement = self._elsewhere() if self.tried else None
        if placement is None:
            self.tried.clear()
            self._passing = None
            call = self.call
            self._home = session = call.session if fleet.balance != "sticky" else self._session
            placement = fleet.place(call.model, key_name=call.key_name, session=session)
        return self._begin(placement, options)

    def _take_back(self, options: FinalRequestOptions, snapshot: Snapshot) -> None:
        """Take the request back from whoever was shown it, with what they changed."""
        if snapshot.is_changed(options):
            self.call = cast("Call[T_co]", snapshot.stand_in.call_of(options))
        options.json_data = options.extra_json = None

    def reroute(self, outcome: Outcome, request: httpx.Request) -> FinalRequestOptions | None:
        """Point the same options at another server; None if there is none that may be asked at once.

        Args:
            outcome: what this one showed.
            request: what it was sent.
        """
        if not self._may_go_elsewhere(outcome) or not is_repeatable(request):
            return None
        placement = self._elsewhere()
        if placement is None:
            return None
        options = self._options
        assert options is not None, "no options were routed yet"
        options.url, options.headers, options.json_data = self._unrouted
        return self._begin(placement, options)

    def _elsewhere(self) -> Placement | None:
        assert self._fleet is not None, "no server was chosen yet"
        return self._fleet.elsewhere(self.call.model, self.tried, session=self._session)

    @property
    def _session(self) -> str | None:
        call = self.call
        if call.session is not None or self._fleet is None or self._fleet.balance != "sticky":
            return call.session
        return session_of(call.conversation)

    def _begin(self, placement: Placement, options: FinalRequestOptions) -> FinalRequestOptions:
        """Begin an attempt at a server, and point the options at it."""
        self.end()
        server, self._admission, self.wire_model = placement
        self.server = server
        self.places += 1
        self.tried.append(server.key.name)
        self.refusals = []
        self._refused = []
        call = self.call
        variants = call.variants
        self._untried = list(range(len(variants)))
        if len(variants) > 1 and call.operation in self._server_capabilities.refused:
            # What it does not understand comes last.
            refuses = self.capabilities.refuses
            self._untried.sort(
                key=lambda number: refuses(server.root, call.operation, _what(variants[number]))
            )
        fields = vars(options)  # pydantic looks up how to set an attribute
        if variants:
            fields["url"] = server.root + self.variant.path
            if call.form is None:
                fields["content"] = self._content()
            else:
                fields["json_data"] = {**call.form, "model": self.wire_model} if call.model else call.form
        else:
            if "://" not in options.url:
                fields["url"] = server.url("/v1/" + options.url.lstrip("/"))
            if isinstance(options.json_data, dict) and call.model is not None:
                fields["json_data"] = {**options.json_data, "model": self.wire_model}
        authorization = server.authorization
        # The slash matters: http://gpu1 must not lend its key to http://gpu1.elsewhere.
        if authorization is not None and options.url.startswith(server.root + "/"):
            headers = {} if isinstance(options.headers, NotGiven) else options.headers
            fields["headers"] = {**headers, "Authorization": authorization}
        if self._home is not None and self._fleet is not None:
            token = self._fleet.sessions.token(self._home, server.key.name)
            if token is not None:
                headers = {} if isinstance(options.headers, NotGiven) else options.headers
                fields["headers"] = {ECHOED_HEADER: token, **headers}
        return options

    @property
    def variant(self) -> Variant:
        """The variant in use."""
        return self.call.variants[self._untried[0]]

    def _content(self) -> bytes | None:
        """The body of the variant in use, with the model's name on this server put in front.

        Raises:
            UnsupportedOperationError: the variant is a refusal, for want of those before it.
        """
        body = self.variant.body
        if callable(body):
            body = self._make_body(body)
        if body is None or self.call.model is None:
            return body
        model = orjson.dumps(self.wire_model)
        return b'{"model":' + model + (b"}" if body == b"{}" else b"," + body[1:])

    def _make_body(self, body: Callable[[], bytes]) -> bytes:
        """A body that is made when it is needed."""
        try:
            return body()
        except UnsupportedOperationError:
            self.capabilities.keep(self._server.root, self.call.operation, self._refused, None)
            self.end()
            raise

    def next_request(self, request: httpx.Request) -> httpx.Request:
        """The request of the variant in use, after the server refused this one."""
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        url = self._server.url(self.variant.path)
        extensions = request.extensions
        return type(request)(
            request.method, url, headers=headers, content=self._content(), extensions=extensions
        )

    # What comes back

    def refuse(self, response: httpx.Response) -> bool:
        """Take an error reply; tell whether the next variant is to be tried."""
        if len(self.call.variants) < 2:
            return False
        error, status = payload_of(response), response.status_code
        # An error inside of a success comes from who understood the path, but perhaps not the format.
        refused = _ERROR not in response.extensions and self.call.falls_back(self.variant, status, error)
        doubted = status in self.call.doubtful and self._is_doubtful
        if not refused and (not doubted or outcome_of_reply(response, error).is_fatal):
            self.refusals = []
            return False
        self.refusals.append((error.weight, response))
        return self._next_variant()

    def best_refusal(self, response: httpx.Response) -> httpx.Response:
        """The error reply to go on with, after the last variant was tried: the first that says most."""
        if self.refusals:
            response = max(self.refusals, key=lambda refusal: refusal[0])[1]
        self.response = response
        return response

    def refuse_unreadable(self) -> bool:
        """Take a success that cannot be read; tell whether the next variant is to be tried."""
        return bool(self.call.doubtful) and self._is_doubtful and self._next_variant()

    def accept(self, response: httpx.Response) -> bool:
        """Take a success; tell whether it is one, or the next variant is to be tried."""
        if len(self.call.variants) > 1 and not self._accept_variant(response):
            return False
        self._options = None  # which lead back here: what is dropped in a circle is freed late
        if self.call.read_event is None:
            self.response = response
        if self._home is not None:
            self._keep_token(self._home, response)
        if self._admission is not None:
            self._admission.succeeded()
            if response.is_closed:  # else the stream is read yet
                self._admission.end()
        return True

    def _keep_token(self, session: str, response: httpx.Response) -> None:
        """Remember what a router calls the conversation."""
        token = response.headers.get(ECHOED_HEADER)
        if token is not None and self._fleet is not None:
            self._fleet.sessions.keep_token(session, self._server.key.name, token)

    def _accept_variant(self, response: httpx.Response) -> bool:
        """Read a success if it may be none, and remember which variants were understood."""
        call = self.call
        if not response.is_success:
            return True
        if call.doubtful and response.is_closed and self._is_doubtful:
            try:
                self._result = response, self._read(response)
            except (ErrorInReply, NotAReply):
                if self._next_variant():
                    return False
        what = _what(self.variant)
        if what not in self._refused and (self._refused or not self._is_understood):
            self.capabilities.keep(self._server.root, call.operation, self._refused, what)
        return True

    @property
    def _is_doubtful(self) -> bool:
        """Tell whether a failure may be the variant's: it was never understood, nor did all others fail."""
        return (
            len(self.call.variants) > 1 and self._server.root not in self._doubted and not self._is_understood
        )

    @property
    def _server_capabilities(self) -> Capabilities:
        return self.capabilities.servers.get(self._server.root, NOTHING_KNOWN)

    @property
    def _is_understood(self) -> bool:
        """Tell whether the server understood the variant in use before."""
        return _what(self.variant) in self._server_capabilities.understood.get(self.call.operation, ())

    def _next_variant(self) -> bool:
        self._refused.append(_what(self.variant))
        if len(self._untried) == 1:
            self._doubted.add(self._server.root)
            self.capabilities.keep_lack(self._server.root, self.call.operation, self.wire_model)
            return False
        del self._untried[0]
        return True

    def mark(self, response: httpx.Response, error: ErrorPayload) -> None:
        """Give a reply the status that the error in it names (500 if it names none)."""
        self.refusals = []  # it answers the variant that was understood
        response.extensions[_ERROR] = error
        response.extensions[_HTTP_STATUS] = response.status_code
        response.status_code = error.status or 500

    def read(self, reply: object) -> object:
        """Make the result of a whole reply, once it was found to be no error.

        Args:
            reply: the reply, or its body; what a caller of ``with_raw_response….parse(to=…)`` chose instead
                is returned as it is.
        """
        content = reply if isinstance(reply, bytes) else getattr(reply, "content", None)
        response = self.response
        if not isinstance(content, bytes) or response is None:
            return reply
        try:
            result = self._read(response)
        except ErrorInReply as found:
            raise status_error(found.error, response, self.where) from None
        except NotAReply as problem:
            raise invalid_response(response, self.where, str(problem)) from None
        self.began(result)
        if isinstance(reply, bytes):  # else it may be parsed again
            self.response = self._result = None  # which lead back here, too
        return result

    def _read(self, response: httpx.Response) -> T_co:
        call = self.call
        if self._result is not None and self._result[0] is response:
            return self._result[1]
        if call.read_reply is not None:
            return call.read_reply(response)
        assert call.read is not None, "the call is one whose answer is a stream"
        return call.read(response.content)

    def began(self, result: Any) -> None:
        """Remember where the conversation that a result, or the first event of one, begins is at home."""
        session = None if self.call.begins is None else self.call.begins(result)
        if session and self.server is not None and self._fleet is not None:
            self._fleet.sessions.settle(session, self.server.key.name)

    # What it shows of the server

    def failed(self, response: httpx.Response) -> Outcome:
        """Return what an error reply to the last variant shows."""
        outcome = outcome_of_reply(response, payload_of(response))
        if not outcome.is_lasting and outcome.elsewhere:
            self._passing = response
        return outcome

    def broken(self, cause: Exception, request: httpx.Request) -> Outcome:
        """Return what an exception shows.

        Raises:
            APITimeoutError: a generation timed out, and may still be running: it is not sent again.
            APIConnectionError: the server answered, with a redirect to what is no URL.
        """
        if is_bad_location(cause):
            raise bad_redirect(request, self.where, cause) from cause
        timed_out = isinstance(cause, timeout_exceptions()) and type(cause).__name__ not in _NOTHING_SENT
        if timed_out and self.call.generates:
            raise timeout_error(request, self.where, cause) from cause
        outcome = outcome_of_exception(cause)
        if outcome.elsewhere:
            self._passing = cause
        return outcome

    def _may_go_elsewhere(self, outcome: Outcome) -> bool:
        """Note what the attempt showed; return whether another server may be asked at once."""
        self.note(outcome)
        self._killed_engines += outcome.is_fatal
        return outcome.elsewhere and self._killed_engines < 2 and self.call.key_name is None

    def note(self, outcome: Outcome) -> None:
        """Tell the server's health what the attempt showed."""
        if self._admission is None:
            return
        if outcome.failure is not None:
            self._admission.failed(outcome.failure)
            if outcome.is_down:
                self.capabilities.forget(self._server.root)
        elif outcome.lacks_model and self.call.model is not None:
            self._admission.lacks(self.call.model)

    def final(self, response: httpx.Response) -> httpx.Response:
        """Return the error reply that the round ends with; what may pass is worth more than what lasts.

        Raises:
            Exception: that is a broken connection.
        """
        passing, self._passing = self._passing, None
        if isinstance(passing, Exception):
            raise passing
        self.response = passing or response
        self.end()
        return self.response

    def end(self) -> None:
        """Give the place on the server back: nothing of this attempt runs there any more."""
        if self._admission is not None:
            self._admission.end()

    # Failures

    async def explanation(self, http: Http, response: httpx.Response) -> str | None:
        """Find out what explains an error reply; see `capabilities.explanation`."""
        root, operation = self._server.root, self.call.operation
        error = payload_of(response)
        return await explanation(
            http, self.capabilities, root=root, operation=operation, response=response, error=error
        )

    @property
    def where(self) -> Where:
        """Operation, key and server, as errors tell them."""
        server, operation = self.server, self.call.operation
        return Where(operation, server.key.name, server.address) if server else Where(operation)

    @property
    def _server(self) -> Server:
        assert self.server is not None, "no server was chosen yet"
        return self.server


def _what(variant: Variant) -> What:
    """The part of a variant that a server is remembered to understand, or not to."""
    return variant.path, variant.kind


def is_worth_another(response: httpx.Response) -> bool:
    """Tell whether an error reply is worth another attempt, unless its headers say something else."""
    return response.status_code in _WORTH_ANOTHER


def is_marked(response: httpx.Response) -> bool:
    """Tell whether the reply was a success, but for the error in it."""
    return _ERROR in response.extensions


def payload_of(response: httpx.Response) -> ErrorPayload:
    """Read an error reply."""
    error: ErrorPayload | None = response.extensions.get(_ERROR)
    if error is not None:
        return error
    if response.is_closed and not response.is_stream_consumed:  # by the caller's own event hook
        return ErrorPayload("the reply was closed before it was read", None, None, "text")
    return read_error(response.content)


def error_of(response: httpx.Response) -> APIStatusError:
    """The exception for an error reply that is not worth another attempt."""
    error, status = payload_of(response), response.status_code
    http_status = response.extensions.get(_HTTP_STATUS, status)
    where = attempt_of(response.request).where
    explanation = response.extensions.get(EXPLANATION)
    return status_error(
        error, response, where, status=status, http_status=http_status, explanation=explanation
    )


class CallOptions(FinalRequestOptions):  # type: ignore[misc]  # final for type checkers only
    """The SDK's options of one request, which it copies for every attempt, with our attempt on them."""

    attempt: Any = Field(None, exclude=True, repr=False)  # openai 2.x logs a dump of the options

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Make a shallow copy in a third of pydantic's time; these have neither extra nor private fields."""
        if deep:
            return super().model_copy(update=update, deep=True)
        cls = type(self)
        copied = cls.__new__(cls)
        fields, names = dict(vars(self)), set(self.__pydantic_fields_set__)
        if update:
            fields.update(update)
            names.update(update)
        set_attribute = object.__setattr__
        set_attribute(copied, "__dict__", fields)
        set_attribute(copied, "__pydantic_fields_set__", names)
        set_attribute(copied, "__pydantic_extra__", None)
        set_attribute(copied, "__pydantic_private__", None)
        return copied


# No idempotency key is made where there is no header to send it in.
_BLANK = CallOptions(method="post", url="", attempt=None, idempotency_key="")


def call_options(
    call: Call[object], capabilities: CapabilityTable, parse_stream: Callable[[Any], object] | None = None
) -> CallOptions:
    """The SDK's options for a call of ours.

    Copied from blank ones: pydantic takes 50 us to make them anew.

    Args:
        call: the call.
        capabilities: what the client knows of its servers.
        parse_stream: makes the result of a stream; None for what the SDK makes of it.
    """
    attempt = Attempt(call, capabilities)
    fields: dict[str, object] = {
        "method": call.method,
        "url": call.variants[0].path,
        "params": {},
        "attempt": attempt,
        "files": call.files,
    }
    if call.read_event is None:
        fields["post_parser"] = attempt.read
    elif parse_stream is not None:
        fields["post_parser"] = parse_stream
    for name, value in call.options.items():
        fields[name] = strip_not_given(value)
    return _BLANK.model_copy(update=fields)


def attempt_of(request: httpx.Request) -> Attempt[object]:
    """The attempt that an HTTP request belongs to."""
    attempt: Attempt[object] = request.extensions[ATTEMPT]
    return attempt
