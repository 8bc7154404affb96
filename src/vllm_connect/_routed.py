"""`RoutedTransport`: several servers, their health and true errors, beneath a client that is not ours.

What takes no `VLLM` takes an http client, and beneath that stands a transport. This one chooses a server by
the model in the body, goes to another where one fails, and gives an error inside of an HTTP 200 the status
that it names. A stream that ends too soon breaks off as a connection does. Retries and waiting are the
caller's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

from openai._models import FinalRequestOptions
from typing_extensions import Self

from ._calls.attempt import (
    ATTEMPT,
    STREAM_IDLE_TIMEOUT,
    Attempt,
    is_marked,
    is_worth_another,
    payload_of,
)
from ._calls.call import Call, Variant
from ._calls.capabilities import CapabilityTable
from ._calls.inspection import can_be_looked_at, is_event_stream
from ._calls.relay import Relay
from ._calls.sending import BlockingHttp, LoopHttp, send
from ._keys.balancing import Balance
from ._keys.fleet import Fleet
from ._keys.key import Key, read_keys
from ._keys.policy import DEFAULT, Policy
from ._transport._httpx import httpx, request_exceptions
from ._transport.clients import AsyncTransport, Transport
from ._transport.run import run
from ._wire.body import encode
from ._wire.decoding import loads
from .errors import APIConnectionError, APITimeoutError, ConfigError, NoKeyError
from .resources.rerank import PATHS as RERANK_PATHS
from .resources.rerank import path_is_missing
from .types import ServerStatus

# Of the connection to the caller's server, or of a body that is made anew.
_OWN_HEADERS = frozenset({"host", "authorization", "content-length", "transfer-encoding", "connection"})
_BODY_HEADERS = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})
# What stands under /v1, for callers whose base URL says nothing of it.
_UNDER_V1 = re.compile(r"/(?:chat/completions|completions|responses|embeddings|models|audio|messages)\b")
_MODEL_FIELD = re.compile(rb'(name="?model"?\r\n(?:[^\r\n]+\r\n)*\r\n)([^\r\n]*)(\r\n)')
# Streams whose end can be told from their middle.
_CHECKED = re.compile(r"/v1/(?:chat/completions|completions|responses|audio/\w+)$")


class _Router:
    """The base of both transports, without any I/O."""

    def __init__(
        self, keys: Sequence[Key | Mapping[str, object]], balance: Balance, policy: Policy | None
    ) -> None:
        self._fleet = Fleet(read_keys(keys), balance, policy or DEFAULT)
        self._capabilities = CapabilityTable()

    @property
    def keys(self) -> tuple[Key, ...]:
        """The servers; set them to change where the next request goes."""
        return self._fleet.keys

    @keys.setter
    def keys(self, keys: Sequence[Key | Mapping[str, object]]) -> None:
        self._fleet.keys = read_keys(keys)

    def servers(self) -> list[ServerStatus]:
        """Tell how each server is doing, as the requests through this transport have shown."""
        return self._fleet.statuses()

    def _begin(self, request: Any, body: bytes) -> _Passage:
        """Begin a request: choose its server.

        Args:
            request: the caller's, of either httpx.
            body: its whole body.

        Raises:
            ConfigError: no key can serve it.
        """
        idle = self._fleet.policy.stream_idle_timeout
        passage = _Passage(request, _read_question(request, body), self._capabilities, idle)
        passage.attempt.route(passage.options, self._fleet)
        return passage


class RoutedTransport(_Router, httpx.BaseTransport):
    """A transport for `httpx.Client` that sends each request to one of several vLLM servers.

        http_client = httpx.Client(transport=RoutedTransport(keys=[Key(name="a", url="http://gpu1:8000"), …]))
        client = openai.OpenAI(http_client=http_client, base_url="http://vllm/v1", api_key="unused")

    Of the caller's URL only the route counts; its `Authorization` header goes to nobody. httpx and httpx2
    may use it. Threads may share it.

    Args:
        keys: the servers, see `Key`.
        balance: which of those that are well gets a request, as in `VLLM`.
        policy: how long to wait for the parts of a stream, and for a server that failed; backoff is the
            caller's.
        transport: beneath this one, instead of the one that `VLLM` has; of the httpx that `openai` runs on.

    Raises:
        ConfigError: the keys cannot work.
    """

    def __init__(
        self,
        keys: Sequence[Key | Mapping[str, object]],
        *,
        balance: Balance = "weighted",
        policy: Policy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(keys, balance, policy)
        self._transport = transport or Transport()
        self._http = BlockingHttp(_Sender(self._transport))  # type: ignore[arg-type]  # as much of a client as it needs

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        try:
            passage = self._begin(request, request.read())
        except ConfigError as error:
            return _refusal(request, error)  # type: ignore[no-any-return]  # the caller's httpx
        try:
            response = run(send(self._http, passage.build(passage.options), passage.build, stream=True))
        except Exception as error:  # noqa: BLE001 which is raised again, as the caller's httpx has it
            passage.fail(error)
        return passage.response(response, _Body)  # type: ignore[no-any-return]  # the caller's httpx

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class AsyncRoutedTransport(_Router, httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`; several event loops may use it. See `RoutedTransport`."""

    def __init__(
        self,
        keys: Sequence[Key | Mapping[str, object]],
        *,
        balance: Balance = "weighted",
        policy: Policy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(keys, balance, policy)
        self._transport = transport or AsyncTransport()
        self._http = LoopHttp(_AsyncSender(self._transport))  # type: ignore[arg-type]  # as above

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        try:
            passage = self._begin(request, await request.aread())
        except ConfigError as error:
            return _refusal(request, error)  # type: ignore[no-any-return]  # the caller's httpx
        try:
            response = await send(self._http, passage.build(passage.options), passage.build, stream=True)
        except Exception as error:  # noqa: BLE001 as above
            passage.fail(error)
        return passage.response(response, _AsyncBody)  # type: ignore[no-any-return]  # as above

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class _Question(NamedTuple):
    """A request, read.

    Attributes:
        call: what is asked.
        form: the body, where it is a form and not JSON.
        checked: whether a stream in answer to it is to be watched.
    """

    call: Call[object]
    form: bytes | None
    checked: bool


def _read_question(request: Any, body: bytes) -> _Question:
    path = _route(request.url.path)
    query = request.url.query.decode("ascii", "replace")
    suffix = f"?{query}" if query else ""
    headers: Mapping[str, str] = request.headers
    payload: Any = None
    if "json" in headers.get("content-type", ""):
        try:
            payload = loads(body)
        except ValueError:
            payload = None  # the server says what is wrong with it
    form = body if "form-data" in headers.get("content-type", "") else None
    model, content = None, body or None
    if isinstance(payload, dict) and isinstance(payload.get("model"), str):
        model = payload.pop("model")
        content = encode(payload)
    elif form is not None:
        found = _MODEL_FIELD.search(form)
        model, content = (found[2].decode("utf-8", "replace") if found else None), None
    fields = payload if isinstance(payload, dict) else {}
    session = fields.get("session_id") or headers.get("x-session-id")
    is_rerank = path in RERANK_PATHS
    paths = dict.fromkeys((path, *RERANK_PATHS)) if is_rerank else (path,)
    call = Call[object](
        operation=f"{request.method} {path}",
        variants=tuple(Variant(each + suffix, content) for each in paths),
        model=model,
        json_reply=False,
        generates=request.method == "POST" and not is_rerank,
        session=session if isinstance(session, str) else None,
        conversation=fields.get("messages") or fields.get("prompt"),
        method=request.method.lower(),
    )
    if is_rerank:
        call = replace(call, falls_back=path_is_missing)
    return _Question(call, form, request.method == "POST" and bool(_CHECKED.search(path)))


def _route(path: str) -> str:
    """The route on a server, of a path that may begin with anything."""
    version = re.search(r"/v[12]/", path)
    if version is not None:
        return path[version.start() :]
    found = _UNDER_V1.search(path)
    return f"/v1{path[found.start() :]}" if found else path


class _Passage:
    """A request on its way, and its answer on the way back.

    Attributes:
        attempt: where it is.
        options: what `attempt` points at a server.
    """

    def __init__(
        self,
        request: Any,
        question: _Question,
        capabilities: CapabilityTable,
        idle: float | None,
    ) -> None:
        self._request = request
        self._extensions: dict[str, object] = {}
        if idle is not None:
            self._extensions[STREAM_IDLE_TIMEOUT] = idle
            # Of which reading the stream changes one.
            self._extensions["timeout"] = dict(request.extensions.get("timeout", {}))
        self._question = question
        self.options = FinalRequestOptions(method=question.call.method, url="")
        self.attempt = Attempt(question.call, capabilities)

    def build(self, options: FinalRequestOptions) -> httpx.Request:
        """The request for the server that the options point at."""
        request = self._request
        headers = [(name, value) for name, value in request.headers.multi_items() if name not in _OWN_HEADERS]
        if isinstance(options.headers, Mapping):
            headers += [(name, str(value)) for name, value in options.headers.items()]
        form, content = self._question.form, options.content
        if form is not None:
            content = form
            if (model := self.attempt.wire_model) is not None:
                content = _MODEL_FIELD.sub(lambda found: found[1] + model.encode() + found[3], form, count=1)
        return httpx.Request(
            request.method,
            options.url,
            headers=headers,
            content=content if isinstance(content, bytes) else None,
            extensions={**request.extensions, **self._extensions, ATTEMPT: self.attempt},
        )

    def response(self, response: httpx.Response, body: Callable[..., object]) -> Any:
        """The answer, of the caller's httpx.

        Args:
            response: the server's.
            body: makes a stream of its body.
        """
        headers = [(name, value) for name, value in response.headers.multi_items()]
        if response.is_error and response.status_code >= 500 and not is_worth_another(response):
            headers.append(("x-should-retry", "false"))  # the SDK would; a dead engine stays dead
        if response.is_closed:
            content = b"" if is_marked(response) else response.content
            if not content and response.is_error:  # in the words that every client reads
                error = payload_of(response)
                said = error.body if isinstance(error.body, dict) else {"message": error.message}
                content = encode({"error": said})
                headers = [(name, value) for name, value in headers if name != "content-type"]
                headers.append(("content-type", "application/json"))
            headers = [(name, value) for name, value in headers if name not in _BODY_HEADERS]
            return self._new_response(response, headers, content=content)
        checked = self._question.checked and is_event_stream(response) and can_be_looked_at(response)
        if checked:
            headers = [(name, value) for name, value in headers if name != "content-length"]
        return self._new_response(
            response, headers, stream=_of(self._library, body)(response, self, checked=checked)
        )

    def _new_response(self, response: httpx.Response, headers: list[tuple[str, str]], **body: object) -> Any:
        extensions = {
            name: response.extensions[name] for name in ("http_version",) if name in response.extensions
        }
        library: Any = self._library
        return library.Response(response.status_code, headers=headers, extensions=extensions, **body)

    def fail(self, error: Exception) -> NoReturn:
        """Raise what ended it, as the caller's httpx has it."""
        if isinstance(error, (APITimeoutError, APIConnectionError)) and error.__cause__ is not None:
            cause = error.__cause__
        else:
            cause = error
        if not isinstance(cause, request_exceptions()):
            raise error
        library: Any = self._library
        cls = getattr(library, type(cause).__name__, library.TransportError)
        raise cls(str(cause), request=self._request) from cause

    def broken_off(self, problem: str) -> Exception:
        """The error for a stream that ended too soon."""
        library: Any = self._library
        error: Exception = library.RemoteProtocolError(problem, request=self._request)
        return error

    @property
    def _library(self) -> object:
        """The httpx that the caller's request is of."""
        return sys.modules[type(self._request).__module__.partition(".")[0]]


class _Passed:
    """The body of an answer, a stream of events checked as it passes; read in either world.

    Args:
        response: the answer.
        parts: its body, as it comes.
        passage: where it belongs.
        checked: whether it is a stream of events to be watched.
    """

    def __init__(
        self, response: httpx.Response, parts: AsyncIterator[bytes], passage: _Passage, *, checked: bool
    ) -> None:
        self._parts, self._passage = parts, passage
        self._relay = Relay(response) if checked else None
        self._is_read = self._is_finished = False

    async def read(self) -> bytes:
        """The next bytes to hand over, none at the end.

        Raises:
            Exception: the connection broke, or the stream ended too soon, as the caller's httpx has it.
        """
        relay, passage = self._relay, self._passage
        while not self._is_read:
            try:
                data = await anext(self._parts, None)
            except request_exceptions() as error:
                if relay is not None:
                    relay.cut(error)
                passage.fail(error)
            if data is None:
                self._is_read = True
                continue
            passed = data if relay is None else relay.feed(data)
            self._is_read = relay is not None and relay.ended
            if passed:
                return passed
        if relay is None:
            return b""
        if not self._is_finished:
            self._is_finished = True
            if rest := relay.finish():
                return rest
        if relay.problem:
            raise passage.broken_off(relay.problem)
        return b""


class _BlockingParts:
    """A body that blocks, awaited; see `vllm_connect._transport.run`."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for part in self._parts:
            return part
        raise StopAsyncIteration


class _Body:
    """A body for a sync client."""

    def __init__(self, response: httpx.Response, passage: _Passage, *, checked: bool) -> None:
        self._response, self._passage, self._checked = response, passage, checked

    def __iter__(self) -> Iterator[bytes]:
        parts = _BlockingParts(self._response.stream)  # type: ignore[arg-type]  # of a sync transport
        passed = _Passed(self._response, parts, self._passage, checked=self._checked)
        while data := run(passed.read()):
            yield data

    def close(self) -> None:
        self._passage.attempt.end()
        self._response.close()


class _AsyncBody:
    """A body for an async client."""

    def __init__(self, response: httpx.Response, passage: _Passage, *, checked: bool) -> None:
        self._response, self._passage, self._checked = response, passage, checked

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._response.stream)  # type: ignore[arg-type]  # of an async transport
        passed = _Passed(self._response, parts, self._passage, checked=self._checked)
        while data := await passed.read():
            yield data

    async def aclose(self) -> None:
        self._passage.attempt.end()
        await self._response.aclose()


class _Sender:
    """A transport as that much of a client as sending needs."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: httpx.Request, **_options: object) -> httpx.Response:
        response = self._transport.handle_request(request)
        response.request = request
        return response


class _AsyncSender:
    """The same on an event loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, request: httpx.Request, **_options: object) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response


def _of(library: Any, body: Any) -> Any:
    """The same stream as one of a caller's httpx, which refuses any other."""
    base = library.SyncByteStream if body is _Body else library.AsyncByteStream
    return type(body.__name__, (body, base), {})


def _refusal(request: Any, error: ConfigError) -> Any:
    """The answer to a request that no key can serve: clients try nothing again that is a 4xx."""
    status, code = (
        (404, "model_not_found") if isinstance(error, NoKeyError) else (400, "invalid_configuration")
    )
    library: Any = sys.modules[type(request).__module__.partition(".")[0]]
    body = {"message": str(error), "type": type(error).__name__, "param": None, "code": code}
    return library.Response(status, json={"error": body})
