"""HTTP requests made from templates: what is the same from call to call is built once.

For every request the SDK and httpx parse the URL three times and merge the headers four times, which takes
longer than all else that a client does. Here their own result is kept, and the next request to the same URL
is that one with another body. They remain the law:

* Whatever changes what they build (headers and query of all calls, timeout, headers of the http client) makes
  new templates; a call's own timeout, and the credentials of its server, have templates of their own.
* A call's own headers are added, unless they replace or remove others.
* Whatever else may decide (a query, a form, cookies, a method that somebody replaced), they build.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import NamedTuple, Protocol

from openai import AsyncOpenAI, NotGiven, OpenAI
from openai._models import FinalRequestOptions

from .._transport._httpx import httpx

_MOST = 256
_SDK_LOGGER = logging.getLogger("openai._base_client")
_METHODS = (
    "_build_headers",
    "_prepare_url",
    "_auth_headers",
    "_auth_query",
    "_validate_headers",
    "qs",
    "default_headers",
    "default_query",
    "user_agent",
)
_methods_of = attrgetter(*_METHODS)
_ON_THE_CLIENT = frozenset({"_build_request", *_METHODS})
_HTTPX_METHOD = httpx.Client.build_request  # as it was before any tracer came
_OF_THE_BODY = frozenset({"content-length", "transfer-encoding"})


class Client(Protocol):
    """The part of a client that decides on its requests."""

    timeout: float | httpx.Timeout | None
    _idempotency_header: str | None
    _custom_headers: Mapping[str, str]
    _custom_query: Mapping[str, object]

    @property
    def _client(self) -> httpx.Client | httpx.AsyncClient: ...


def building_methods(cls: type) -> tuple[object, ...]:
    """The methods of a client's class that build requests, to be compared with what they were at first."""
    sdk = AsyncOpenAI if issubclass(cls, AsyncOpenAI) else OpenAI
    return sdk._build_request, *_methods_of(cls)


class RequestTemplates:
    """The templates of one client.

    Args:
        methods: the building methods that its results are valid for.
    """

    def __init__(self, methods: tuple[object, ...]) -> None:
        self._methods = methods
        self._circumstances: tuple[object, ...] = ()
        self._templates: dict[Hashable, _Template] = {}

    def build(
        self,
        client: Client,
        options: FinalRequestOptions,
        retries_taken: int,
        build: Callable[[FinalRequestOptions], httpx.Request],
    ) -> httpx.Request:
        """Build a request.

        Args:
            client: the client.
            options: what to send.
            retries_taken: how often that was sent before.
            build: the SDK's own way to do it.
        """
        content, own_headers = options.content, _own_headers(options)
        if not isinstance(content, bytes) or own_headers is None or not self._may_serve(client, options):
            return build(options)
        authorization = own_headers.pop("Authorization", None)
        key = (options.method, options.url, retries_taken, authorization, _timeout_key(options))
        templates = self._current(client)
        template = templates.get(key)
        if template is None:
            headers = {} if authorization is None else {"Authorization": authorization}
            template = _template_of(build(options.model_copy(update={"headers": headers})))
            if len(templates) >= _MOST:  # callers may name any number of timeouts
                templates.clear()
            templates[key] = template
        if own_headers and not template.names.isdisjoint(map(str.lower, own_headers)):
            return build(options)
        return template.request(content, own_headers)

    def _may_serve(self, client: Client, options: FinalRequestOptions) -> bool:
        http_client = client._client
        return (
            options.json_data is None
            and options.extra_json is None
            and options.files is None
            and not options.params
            and options.method != "get"
            and client._idempotency_header is None
            and type(http_client).build_request is _HTTPX_METHOD
            and "build_request" not in vars(http_client)
            and not http_client.cookies
            and not http_client.params
            and building_methods(type(client)) == self._methods
            and _ON_THE_CLIENT.isdisjoint(vars(client))
            and not _SDK_LOGGER.isEnabledFor(logging.DEBUG)  # it says what it builds
        )

    def _current(self, client: Client) -> dict[Hashable, _Template]:
        """The templates, forgotten if they were made under other circumstances."""
        circumstances = (
            {**client._custom_headers},
            {**client._custom_query},
            client.timeout,
            client._client.headers.raw,
        )
        if circumstances != self._circumstances:
            self._circumstances = circumstances
            self._templates = {}
        return self._templates


class _Template(NamedTuple):
    """A request without its body.

    Attributes:
        method: in capitals.
        url: with its query.
        headers: all but those that depend on the body.
        names: theirs, and those, in small letters.
        timeout: as httpx's extension tells it.
    """

    method: str
    url: httpx.URL
    headers: httpx.Headers
    names: frozenset[str]
    timeout: Mapping[str, float | None]

    def request(self, content: bytes, own_headers: Mapping[str, str]) -> httpx.Request:
        """The request with a body and a call's own headers."""
        extensions = {"timeout": dict(self.timeout)}
        stream = httpx.ByteStream(content)
        # Given a stream, httpx looks at no header again.
        request = httpx.Request(
            self.method, self.url, headers=self.headers, stream=stream, extensions=extensions
        )
        request.read()  # which `content` is left without
        headers = request.headers
        headers.encoding = self.headers.encoding
        headers["Content-Length"] = str(len(content))
        for name, value in own_headers.items():
            headers[name] = value
        return request


def _template_of(request: httpx.Request) -> _Template:
    headers = httpx.Headers(request.headers)
    for name in _OF_THE_BODY & set(headers):
        del headers[name]
    names = frozenset(headers) | _OF_THE_BODY
    return _Template(request.method, request.url, headers, names, request.extensions["timeout"])


def _timeout_key(options: FinalRequestOptions) -> Hashable:
    timeout = options.timeout
    if isinstance(timeout, NotGiven):
        return "the client's"
    return tuple(timeout.as_dict().values()) if isinstance(timeout, httpx.Timeout) else timeout


def _own_headers(options: FinalRequestOptions) -> dict[str, str] | None:
    """The headers of a call; None if one is removed, or cannot be sent."""
    if isinstance(options.headers, NotGiven) or not options.headers:
        return {}
    own = {
        name: value
        for name, value in options.headers.items()
        if isinstance(value, str) and value.isascii() and name.isascii()
    }
    return own if len(own) == len(options.headers) else None
