"""One attempt over HTTP: send, look whether the success is one, fall back to another variant or server.

Written once for both clients, as coroutines over an `Http`; see `vllm_connect._transport.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from openai._constants import RAW_RESPONSE_HEADER

from .._transport._httpx import request_exceptions
from .._wire.payloads import ErrorPayload
from ..errors import InvalidResponseError
from .attempt import ATTEMPT, EXPLANATION, STREAM_IDLE_TIMEOUT, Attempt
from .inspection import (
    Beginning,
    can_be_looked_at,
    error_in_first_event,
    error_in_success,
    holds_events,
    is_event_stream,
    is_opaque_stream,
)
from .redirects import redirected, refused_redirect
from .replay import async_rewind, rewind

if TYPE_CHECKING:
    from openai._models import FinalRequestOptions

    from .._transport._httpx import httpx

BEGINNING = "vllm_connect.beginning"
"""The extension of a response that holds the `Beginning` of its body, whose rest is still to be read."""


Build = Callable[["FinalRequestOptions"], "httpx.Request"]
"""Makes the request of the SDK's options."""


class Http(Protocol):
    """An http client, awaited in both worlds."""

    async def send(self, request: httpx.Request, stream: bool, **options: Any) -> httpx.Response:
        """Send a request; the response's body is not read if it is to be streamed."""

    async def read(self, response: httpx.Response) -> None:
        """Read the whole body."""

    async def close(self, response: httpx.Response) -> None:
        """Close the response."""

    async def begin(self, response: httpx.Response, *, replay: bool) -> Beginning:
        """Read the body until its first event is complete; with `replay` it can still be read as a whole."""


class BlockingHttp:
    """A sync http client."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    async def send(self, request: httpx.Request, stream: bool, **options: Any) -> httpx.Response:
        """See `Http`."""
        return self._client.send(request, stream=stream, **options)

    async def read(self, response: httpx.Response) -> None:
        """See `Http`."""
        response.read()

    async def close(self, response: httpx.Response) -> None:
        """See `Http`."""
        response.close()

    async def begin(self, response: httpx.Response, *, replay: bool) -> Beginning:
        """See `Http`."""
        beginning = Beginning(rest := iter(response.stream), claimed=is_event_stream(response))  # type: ignore[arg-type]  # of a sync client
        for data in rest:
            if beginning.feed(data):
                break
        if replay or not beginning.finish():
            rewind(response, beginning)
        return beginning


class LoopHttp:
    """An async http client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, request: httpx.Request, stream: bool, **options: Any) -> httpx.Response:
        """See `Http`."""
        return await self._client.send(request, stream=stream, **options)

    async def read(self, response: httpx.Response) -> None:
        """See `Http`."""
        await response.aread()

    async def close(self, response: httpx.Response) -> None:
        """See `Http`."""
        await response.aclose()

    async def begin(self, response: httpx.Response, *, replay: bool) -> Beginning:
        """See `Http`."""
        beginning = Beginning(rest := aiter(response.stream), claimed=is_event_stream(response))  # type: ignore[arg-type]  # of an async client
        async for data in rest:
            if beginning.feed(data):
                break
        if replay or not beginning.finish():
            async_rewind(response, beginning)
        return beginning


async def send_and_explain(
    http: Http, request: httpx.Request, build: Build, *, stream: bool, **options: Any
) -> httpx.Response:
    """Make an attempt as `send` does, and find out what explains the error that it may end in."""
    response = await send(http, request, build, stream=stream, **options)
    attempt: Attempt[object] = request.extensions[ATTEMPT]
    if response.is_error and attempt.call.is_explained:
        response.extensions[EXPLANATION] = await attempt.explanation(http, response)
    return response


async def send(
    http: Http, request: httpx.Request, build: Build, *, stream: bool, **options: Any
) -> httpx.Response:
    """Make an attempt: one round over the servers that may be asked.

    Args:
        http: the client to send with.
        request: the request, which knows its attempt.
        build: makes the request for another server, after one showed that it cannot answer.
        stream: whether the body is to be left unread.
        options: of the http client's `send`.

    Returns:
        The reply to go on with. An error inside of a success has the status that it names.
    """
    attempt: Attempt[object] = request.extensions[ATTEMPT]
    options["follow_redirects"] = False  # the http client would, to wherever they lead
    try:
        while True:
            try:
                response = await http.send(request, stream, **options)
                if 300 <= response.status_code < 400 and (redirection := redirected(response)) is not None:
                    await http.close(response)
                    request = redirection
                    continue
                error = await _look(http, attempt, response, stream)
            except InvalidResponseError:
                if not attempt.refuse_unreadable():
                    raise
                request = attempt.next_request(request)
                continue
            except request_exceptions() as cause:
                rerouted = attempt.reroute(attempt.broken(cause, request), request)
                if rerouted is None:
                    raise
                request = build(rerouted)
                continue
            if error is not None:
                attempt.mark(response, error)
                await http.close(response)
            elif response.is_error:
                await http.read(response)
            if not response.is_error:
                if attempt.accept(response):
                    return response
                request = attempt.next_request(request)
                continue
            if attempt.refuse(response):
                request = attempt.next_request(request)
                continue
            response = attempt.best_refusal(response)
            rerouted = attempt.reroute(attempt.failed(response), request)
            if rerouted is None:
                return attempt.final(response)
            request = build(rerouted)
    except BaseException:
        attempt.end()
        raise


def _limit_idleness(response: httpx.Response) -> None:
    """Give each part of a stream the time that its client has for that.

    Before the body is begun: httpx's transports look at the timeouts once for all of it.
    """
    extensions = response.request.extensions
    idle = extensions.get(STREAM_IDLE_TIMEOUT)
    if idle is not None and "timeout" in extensions:
        extensions["timeout"]["read"] = idle


async def _look(
    http: Http, attempt: Attempt[object], response: httpx.Response, stream: bool
) -> ErrorPayload | None:
    if not response.is_success:
        return refused_redirect(response)
    try:
        if stream:
            _limit_idleness(response)
        is_typed = attempt.call.read_event is not None
        if stream and is_typed and response.is_stream_consumed:  # by a mock, or by the caller's event hook
            if holds_events(response):
                return error_in_first_event(response.content)
            return error_in_success(attempt, response)
        # Some proxies stream under another type: who asked for events looks at the bytes.
        if stream and can_be_looked_at(response) and (is_typed or is_event_stream(response)):
            # What reads a raw stream knows nothing of its beginning.
            is_raw = not is_typed or RAW_RESPONSE_HEADER in response.request.headers
            beginning = await http.begin(response, replay=is_raw)
            if beginning.finish() or is_raw:
                if not is_raw:
                    response.extensions[BEGINNING] = beginning
                return beginning.error
        if stream and is_opaque_stream(attempt.call, response):
            return None
        await http.read(response)
        return error_in_success(attempt, response)
    except BaseException:
        await http.close(response)
        raise
