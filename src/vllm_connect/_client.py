"""`VLLM` and `AsyncVLLM`: which hook of the SDK does what.

    request                           knows which call is running, and says of connection errors where
    _prepare_options  (per attempt)   chooses the server, hence credentials and model name
    _build_request                    tells the HTTP request which attempt it belongs to
    _send_request     (per attempt)   looks whether a success is one; falls back to another variant
    _should_retry                     which statuses are worth another attempt
    _make_status_error_from_response  reads every shape of error payload

Retries, backoff, timeouts, `with_raw_response` and the rest stay the SDK's. What is remembered between the
hooks is an `Attempt`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import openai
from openai import AsyncOpenAI, AsyncStream, NotGiven, Omit, OpenAI, Stream, not_given
from openai._base_client import BaseClient
from openai._constants import RAW_RESPONSE_HEADER
from openai._models import FinalRequestOptions
from pydantic import BaseModel
from typing_extensions import Self, Unpack

from ._calls.affinity import affinity
from ._calls.attempt import (
    ATTEMPT,
    STREAM_IDLE_TIMEOUT,
    Attempt,
    CallOptions,
    call_options,
    error_of,
    is_worth_another,
)
from ._calls.call import Call
from ._calls.capabilities import CapabilityTable
from ._calls.failures import connection_error
from ._calls.sending import BlockingHttp, LoopHttp, send_and_explain
from ._calls.streams import (
    AsyncConvertedStream,
    AsyncVLLMStream,
    ConvertedStream,
    VLLMStream,
    shown_stream,
)
from ._calls.templates import RequestTemplates, building_methods
from ._calls.watched import RequestMethods, Snapshot, StandIn, given_options, show
from ._keys.balancing import Balance
from ._keys.fleet import Fleet
from ._keys.key import Key, check_keys, missing_server, resolve
from ._keys.policy import DEFAULT, Policy
from ._openai_arguments import OpenAIArguments, take_openai_arguments
from ._settings import client_of, settings_of
from ._telemetry.watch import watch
from ._transport._httpx import httpx
from ._transport.clients import default_async_http_client, default_http_client
from ._transport.run import run
from ._wire.arguments import check_options
from .errors import ConfigError, VLLMError
from .resources import AsyncResources, Resources
from .types import ServerStatus

T = TypeVar("T")
HttpClientT = TypeVar("HttpClientT", bound=httpx.Client | httpx.AsyncClient)
StreamT = TypeVar("StreamT", bound=Stream[Any] | AsyncStream[Any])

ResponsesAPI = Literal["auto", "chat", "native"]


class Streams(NamedTuple):
    """A client's types of streams: of chunks, and of what is made of another stream."""

    plain: Any
    converted: Any


_STREAMS = Streams(VLLMStream, ConvertedStream)
_ASYNC_STREAMS = Streams(AsyncVLLMStream, AsyncConvertedStream)

_NOWHERE = "http://server.invalid/v1/"  # of a client whose keys have no URL yet; never asked


class BaseVLLM(BaseClient[HttpClientT, StreamT]):
    """The base of both clients, without any I/O."""

    _request_methods: ClassVar[RequestMethods]
    _fleet: Fleet
    _ambient_key: Key | None = None  # that was made of the environment
    responses_api: ResponsesAPI
    organization: str | None
    project: str | None

    def _set_up(
        self,
        fleet: Fleet,
        responses_api: ResponsesAPI,
        headers: Mapping[str, str] | None,
        openai_arguments: OpenAIArguments,
    ) -> None:
        """Take over from the SDK's constructor, and forget what it read from the environment."""
        if responses_api not in ("auto", "chat", "native"):
            raise ConfigError(f"responses_api is 'auto', 'chat' or 'native', not {responses_api!r}")
        self._fleet = fleet
        self.responses_api = responses_api
        self._capabilities = CapabilityTable()
        self._templates = RequestTemplates(_BUILDING_METHODS[isinstance(self, AsyncVLLM)])
        take_openai_arguments(self, openai_arguments)
        self._custom_headers = headers or {}  # without OPENAI_CUSTOM_HEADERS
        self._ambient_authorizations: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys, hence the servers, of this client and its copies.

        Set them to change where the next request goes; what runs goes on.
        """
        return self._fleet.keys

    @keys.setter
    def keys(self, keys: Sequence[Key]) -> None:
        self._fleet.keys = check_keys(keys)

    def servers(self) -> list[ServerStatus]:
        """Tell how each server is doing, as the requests of this client and its copies have shown."""
        return self._fleet.statuses()

    def _all_lack(self, operation: str, model: str | None) -> bool:
        """Tell whether no server that may be asked for a model has a way to perform an operation with it."""
        places = self._fleet.places(model)
        return bool(places) and all(self._capabilities.lacks(url, operation, name) for url, name in places)

    @property
    def base_url(self) -> httpx.URL:
        """The first server's `/v1/` URL; setting it moves a client of one key to another server."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: httpx.URL | str) -> None:
        self._fleet = self._fleet.of_keys([replace(self._only_key("base_url"), url=str(url))])
        self._base_url = httpx.URL(resolve(self.keys[0]).url("/v1/"))

    @property
    def api_key(self) -> str:
        """The first key's API key, "" without one; can be set on a client of one key."""
        return resolve(self.keys[0]).api_key or ""

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        if "_fleet" in vars(self):  # else the SDK's constructor is clearing it
            key = replace(self._only_key("api_key"), api_key=api_key or None)
            self._fleet = self._fleet.of_keys([key])

    def _only_key(self, attribute: str) -> Key:
        if len(self.keys) != 1:
            raise ConfigError(
                f"{attribute} of a client with {len(self.keys)} keys: make a new client with keys=[…]"
            )
        return self.keys[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={list(self.keys)!r})"

    # What goes out

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Headers of every request; none that tell about the machine, as the SDK's X-Stainless ones do."""
        headers: dict[str, str | Omit] = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
        }
        if self.organization is not None:
            headers["OpenAI-Organization"] = self.organization
        if self.project is not None:
            headers["OpenAI-Project"] = self.project
        return {**headers, **self._custom_headers}

    @property
    def user_agent(self) -> str:
        """The client's name in the server's access log."""
        return f"vllm-connect (openai-python {openai.__version__})"

    @property
    def auth_headers(self) -> dict[str, str]:
        """None here: credentials belong to the key that an attempt chooses."""
        return {}

    def _auth_headers(self, security: object) -> dict[str, str]:
        return {}

    def _idempotency_key(self) -> str:
        # Nothing sends it, unless there is a header for it.
        return super()._idempotency_key() if self._idempotency_header else ""

    def _validate_headers(self, headers: object, custom_headers: object) -> None:
        return

    def _adopt(
        self, cast_to: Any, options: Any, stream_cls: Any, streams: Streams | None
    ) -> tuple[Any, CallOptions, Any]:
        """Give a request that was not made by one of our resources a call, too.

        Args:
            cast_to: the type of the answer.
            options: the SDK's options of the request.
            stream_cls: the type of the stream.
            streams: our own types of streams; None for a whole reply.

        Returns:
            The same, with a reader of ours in place of the SDK's for answers of types that we know.
        """
        if isinstance(options, CallOptions):
            if self._idempotency_header:
                options.idempotency_key = None  # the SDK shall make one
            return cast_to, options, stream_cls
        if isinstance(options.post_parser, StandIn):
            return cast_to, *self._take_over(options.post_parser, options, stream_cls, streams)
        from .resources._readers import event_reader, reply_reader

        body = options.json_data
        model = body.get("model") if isinstance(body, Mapping) else None
        call = Call[object](
            operation=f"{options.method.upper()} {options.url}",
            variants=(),
            model=model if isinstance(model, str) else None,
            json_reply=False,
        )
        read = None if streams else reply_reader(cast_to)
        reader = event_reader(cast_to, stream_cls) if streams else None
        if read is not None:
            call = replace(call, read=read, json_reply=True)
        elif reader is not None:
            call = replace(call, read_event=reader.read_event, conversion=reader.conversion)
        elif not streams:
            call = replace(call, json_reply=isinstance(cast_to, type) and issubclass(cast_to, BaseModel))
        headers = {} if isinstance(options.headers, NotGiven) else options.headers
        named = {"session_id": body.get("session_id")} if isinstance(body, Mapping) else {}
        session, affine = affinity(call.operation, named, {"headers": headers})
        attempt = Attempt(replace(call, session=session), self._capabilities)
        fields = {**vars(options), "attempt": attempt}
        if session is not None:
            fields["headers"] = affine["headers"]
        parsers: list[Callable[[Any], object]] = []
        if read is not None:
            parsers = [attempt.read]
            cast_to = _unparsed(vars(options))
        elif reader is not None and streams:
            stream_cls = streams.plain[object]
            if reader.conversion is not None:
                parsers = [partial(_convert, streams.converted, reader.conversion)]
        if parsers:
            if not isinstance(options.post_parser, NotGiven):
                parsers.append(options.post_parser)
            fields["post_parser"] = partial(_parse_in_turn, parsers)
        return cast_to, CallOptions.model_construct(None, **fields), stream_cls

    def _take_over(
        self, stand_in: StandIn, options: FinalRequestOptions, stream_cls: object, streams: Streams | None
    ) -> tuple[CallOptions, object]:
        """Begin a call of ours that somebody was shown; what it looks like, others may yet see."""
        call = stand_in.call_of(options)
        own = call_options(call, self._capabilities)
        own.attempt.snapshot = Snapshot.of(stand_in, options)
        looks = given_options(options, "json_data", "extra_json", "files", "max_retries", "follow_redirects")
        own = own.model_copy(update={**looks, "url": options.url})
        return own, streams and shown_stream(stream_cls, streams.plain, streams.converted)

    def _show(self, call: Call[object]) -> Any:
        """Make a call where somebody sees it who replaced a method that requests are made by."""
        from .resources._readers import type_of_answer

        client: Any = self
        path, arguments = show(call)
        make = client.get if call.method == "get" else client.post
        return make(path, cast_to=type_of_answer(call.operation), **arguments)

    def _maybe_override_cast_to(self, cast_to: Any, options: Any) -> Any:
        if not isinstance(options.headers, NotGiven):
            chosen = super()._maybe_override_cast_to(cast_to, options)
            if chosen is not cast_to:
                return chosen
        if options.attempt.snapshot is None or options.attempt.call.read_event is not None:
            return cast_to
        return _unparsed(vars(options))

    def _build_request(self, options: FinalRequestOptions, *, retries_taken: int = 0) -> httpx.Request:
        if not isinstance(options, CallOptions):
            return super()._build_request(options, retries_taken=retries_taken)
        # The SDK counts rounds; a server that is asked after another one was is no first try, either.
        retries_taken = max(retries_taken, options.attempt.places - 1)
        build = partial(super()._build_request, retries_taken=retries_taken)
        request = self._templates.build(self, options, retries_taken, build)
        request.extensions[ATTEMPT] = options.attempt
        idle = self._fleet.policy.stream_idle_timeout
        if idle is not None and isinstance(options.timeout, NotGiven):
            request.extensions[STREAM_IDLE_TIMEOUT] = idle
        if options.attempt.watch is not None:
            options.attempt.watch.inject(request.headers)
        return request

    # What comes back

    def _should_retry(self, response: httpx.Response) -> bool:
        if not is_worth_another(response):
            return response.headers.get("x-should-retry") == "true"
        return super()._should_retry(response)

    def _calculate_retry_timeout(
        self,
        remaining_retries: int,
        options: FinalRequestOptions,
        response_headers: httpx.Headers | None = None,
    ) -> float:
        fleet, usual = self._fleet, super()._calculate_retry_timeout

        def backoff() -> float:
            if fleet.policy.has_usual_backoff:
                return usual(remaining_retries, options)
            return fleet.policy.backoff(options.get_max_retries(self.max_retries) - remaining_retries)

        if self._parse_retry_after_header(response_headers) is None:
            return backoff()
        seconds = usual(remaining_retries, options, response_headers)
        attempt = getattr(options, "attempt", None)
        if attempt is None or len(fleet.keys) == 1:
            return seconds
        # One server wants to be left alone for so long; another one may be back before.
        return min(seconds, max(backoff(), fleet.seconds_to_wait(attempt.call.model)))

    def _make_status_error_from_response(self, response: httpx.Response) -> openai.APIStatusError:
        return error_of(response)

    def copy(
        self,
        *,
        base_url: str | httpx.URL | None = None,
        api_key: str | None = None,
        keys: Sequence[Key] | None = None,
        timeout: float | httpx.Timeout | NotGiven | None = not_given,
        max_retries: int | NotGiven = not_given,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
        http_client: HttpClientT | None = None,
        responses_api: ResponsesAPI | None = None,
        balance: Balance | None = None,
        **openai_arguments: Unpack[OpenAIArguments],
    ) -> Self:
        """A client that shares this one's connections and differs in what is given.

        Args:
            base_url: move to another server; needs a client of one key.
            api_key: another API key; needs a client of one key.
            keys: other keys.
            timeout: as in the constructor.
            max_retries: as in the constructor.
            default_headers: added to the present ones.
            set_default_headers: instead of the present ones.
            default_query: added to the present one.
            set_default_query: instead of the present one.
            http_client: as in the constructor.
            responses_api: as in the constructor.
            balance: as in the constructor.
            openai_arguments: as in the constructor.
        """
        if keys is None and (base_url is not None or api_key is not None):
            key = self._only_key("base_url or api_key")
            keys = [replace(key, url=str(base_url or key.url), api_key=api_key or key.api_key)]
        make: Callable[..., Self] = type(self)
        copied = make(
            keys=keys or self.keys,
            balance=balance or self._fleet.balance,
            policy=self._fleet.policy,
            timeout=self.timeout if isinstance(timeout, NotGiven) else timeout,
            max_retries=self.max_retries if isinstance(max_retries, NotGiven) else max_retries,
            default_headers=_merged("headers", self._custom_headers, default_headers, set_default_headers),
            default_query=_merged("query", self._custom_query, default_query, set_default_query),
            http_client=http_client or self._client,
            responses_api=responses_api or self.responses_api,
            **openai_arguments,
        )
        for name in OpenAIArguments.__annotations__.keys() - openai_arguments.keys():
            setattr(copied, name, getattr(self, name))
        copied._capabilities = self._capabilities  # servers are the same for all copies
        copied._ambient_key = self._ambient_key
        if keys is None and balance is None:
            copied._fleet = self._fleet
        elif keys is None:
            copied._fleet.follow_like(self._fleet, fixed=("balance",))
        return copied

    with_options = copy

    def __copy__(self) -> Self:
        """A client that shares this one's connections, and what is known of its servers."""
        return self.copy()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A client of the same settings, whose keys may be changed apart from this one's."""
        return self.copy(keys=self.keys)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the settings, of keys no more than was given; see `_settings`."""
        return client_of, (type(self), settings_of(self))  # type: ignore[arg-type]  # one of both


class VLLM(BaseVLLM[httpx.Client, Stream[Any]], Resources, OpenAI):  # type: ignore[misc]  # properties over attributes
    """A client for vLLM servers; an `openai.OpenAI` in every other respect.

    Args:
        base_url: the server, with or without ``/v1``, e.g. ``"http://localhost:8000"``. Default: the
            environment variable ``VLLM_BASE_URL``.
        api_key: the server's ``--api-key``, or ``"env.NAME"``. Default: none, and then no Authorization
            header is sent; ``VLLM_API_KEY`` goes with ``VLLM_BASE_URL`` only. ``OPENAI_*`` variables
            are never read.
        keys: several servers instead, see `Key`.
        timeout: seconds, or an `httpx.Timeout`. Default 600, connect 10.
        max_retries: further attempts after connection errors and 408, 429, 502, 503, 504. Default 2.
        default_headers: sent with every request.
        default_query: sent with every request.
        http_client: instead of the default one; keep its keep-alive below uvicorn's 5 s.
        responses_api: ``"chat"`` converts the Responses API to chat completions and back; ``"native"`` talks
            to ``/v1/responses``; ``"auto"`` does that only for what chat completions cannot do (default).
        balance: which of several servers that are well gets a request: ``"weighted"``, at random by weight
            (default); ``"least_busy"``, the less busy of two such; ``"sticky"``, the conversation's own, so
            that vLLM finds its beginning in the prefix cache; ``"round_robin"``; or ``"fill_first"``, the
            first of the keys. A request with a `session_id` is sticky anyway.
        policy: how long to wait, between attempts, for the parts of a stream, for a server that failed.
        openai_arguments: what OpenAI's platform has and vLLM lacks, see `OpenAIArguments`; one warning.

    Raises:
        ConfigError: there is no server, or the keys cannot work.
    """

    def __init__(
        self,
        base_url: str | httpx.URL | None = None,
        *,
        api_key: str | None = None,
        keys: Sequence[Key] | None = None,
        timeout: float | httpx.Timeout | NotGiven | None = not_given,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: httpx.Client | None = None,
        responses_api: ResponsesAPI = "auto",
        balance: Balance = "weighted",
        policy: Policy | None = None,
        **openai_arguments: Unpack[OpenAIArguments],
    ) -> None:
        _check_arguments(type(self).__name__, timeout, default_headers, default_query)
        fleet = Fleet(_choose_keys(base_url, api_key, keys), balance, policy or DEFAULT)
        super().__init__(
            **_sdk_arguments(fleet.keys),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=http_client or default_http_client(),
        )
        self._set_up(fleet, responses_api, default_headers, openai_arguments)
        if base_url is None and keys is None:
            self._ambient_key = fleet.keys[0]

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, watch: bool = False, **arguments: Any
    ) -> Self:
        """Make a client from Bifrost's configuration.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            watch: look at the file again, at most once a second, when a server is to be chosen. Keys that
                changed act on the next request, and what runs goes on; a file that cannot be used changes
                nothing and is warned of once.
            arguments: further arguments of the constructor; they win over the configuration's.

        Raises:
            ConfigError: something in it cannot be right; the message says where.
        """
        return _of_config(cls, config, watch, arguments, default_http_client)

    def _perform(self, call: Call[T]) -> T:
        """Make a call whose answer is one object, where anybody can see it."""
        shown: T = self._show(call) if self._request_methods.are_replaced(self) else self._ask(call)
        return shown

    def _stream(self, call: Call[T]) -> Stream[T]:
        """Make a call whose answer is a stream, where anybody can see it."""
        shown: Stream[T] = (
            self._show(call) if self._request_methods.are_replaced(self) else self._ask_stream(call)
        )
        return shown

    def _ask(self, call: Call[T]) -> T:
        """Make a call whose answer is one object, after nobody was found who is to see it."""
        result: T = self.request(_unparsed(call.options), call_options(call, self._capabilities))
        return result

    def _ask_stream(self, call: Call[T]) -> Stream[T]:
        """Make a call whose answer is a stream, after nobody was found who is to see it."""
        options = call_options(call, self._capabilities, _converting(ConvertedStream, call.conversion))
        stream: Stream[T] = self.request(
            _unparsed(call.options), options, stream=True, stream_cls=VLLMStream[object]
        )
        return stream

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Make a request; what every resource ends in."""
        streams = _STREAMS if stream else None
        cast_to, options, stream_cls = self._adopt(cast_to, options, stream_cls, streams)
        watched = watch(options.attempt, options.json_data, stream=stream) if _has_telemetry() else None
        try:
            if watched is None:
                return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
            with watched:
                return watched.answered(
                    super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
                )
        except openai.APIConnectionError as error:
            if isinstance(error, VLLMError):
                raise
            raise connection_error(error, options.attempt.where) from error.__cause__

    def _prepare_options(self, options: Any) -> Any:
        return options.attempt.route(options, self._fleet)

    def _send_request(self, request: httpx.Request, *, stream: bool, **kwargs: Any) -> httpx.Response:
        http = BlockingHttp(self._client)
        return run(send_and_explain(http, request, self._build_request, stream=stream, **kwargs))


class AsyncVLLM(BaseVLLM[httpx.AsyncClient, AsyncStream[Any]], AsyncResources, AsyncOpenAI):  # type: ignore[misc]  # as above
    """The asynchronous twin of `VLLM`, with the same arguments; usable in several event loops."""

    def __init__(
        self,
        base_url: str | httpx.URL | None = None,
        *,
        api_key: str | None = None,
        keys: Sequence[Key] | None = None,
        timeout: float | httpx.Timeout | NotGiven | None = not_given,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: httpx.AsyncClient | None = None,
        responses_api: ResponsesAPI = "auto",
        balance: Balance = "weighted",
        policy: Policy | None = None,
        **openai_arguments: Unpack[OpenAIArguments],
    ) -> None:
        _check_arguments(type(self).__name__, timeout, default_headers, default_query)
        fleet = Fleet(_choose_keys(base_url, api_key, keys), balance, policy or DEFAULT)
        super().__init__(
            **_sdk_arguments(fleet.keys),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=http_client or default_async_http_client(),
        )
        self._set_up(fleet, responses_api, default_headers, openai_arguments)
        if base_url is None and keys is None:
            self._ambient_key = fleet.keys[0]

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, watch: bool = False, **arguments: Any
    ) -> Self:
        """Make a client from Bifrost's configuration, see `VLLM.from_config`."""
        return _of_config(cls, config, watch, arguments, default_async_http_client)

    async def _perform(self, call: Call[T]) -> T:
        """Make a call whose answer is one object, where anybody can see it."""
        made = self._show(call) if self._request_methods.are_replaced(self) else self._ask(call)
        shown: T = await made
        return shown

    async def _stream(self, call: Call[T]) -> AsyncStream[T]:
        """Make a call whose answer is a stream, where anybody can see it."""
        made = self._show(call) if self._request_methods.are_replaced(self) else self._ask_stream(call)
        shown: AsyncStream[T] = await made
        return shown

    async def _ask(self, call: Call[T]) -> T:
        """Make a call whose answer is one object, after nobody was found who is to see it."""
        result: T = await self.request(_unparsed(call.options), call_options(call, self._capabilities))
        return result

    async def _ask_stream(self, call: Call[T]) -> AsyncStream[T]:
        """Make a call whose answer is a stream, after nobody was found who is to see it."""
        options = call_options(call, self._capabilities, _converting(AsyncConvertedStream, call.conversion))
        stream: AsyncStream[T] = await self.request(
            _unparsed(call.options), options, stream=True, stream_cls=AsyncVLLMStream[object]
        )
        return stream

    async def request(
        self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        """Make a request; what every resource ends in."""
        streams = _ASYNC_STREAMS if stream else None
        cast_to, options, stream_cls = self._adopt(cast_to, options, stream_cls, streams)
        watched = watch(options.attempt, options.json_data, stream=stream) if _has_telemetry() else None
        try:
            if watched is None:
                return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
            with watched:
                return watched.answered(
                    await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
                )
        except openai.APIConnectionError as error:
            if isinstance(error, VLLMError):
                raise
            raise connection_error(error, options.attempt.where) from error.__cause__

    async def _prepare_options(self, options: Any) -> Any:
        return options.attempt.route(options, self._fleet)

    async def _send_request(self, request: httpx.Request, *, stream: bool, **kwargs: Any) -> httpx.Response:
        http = LoopHttp(self._client)
        return await send_and_explain(http, request, self._build_request, stream=stream, **kwargs)


# Before anybody replaces them.
_BUILDING_METHODS = building_methods(VLLM), building_methods(AsyncVLLM)
VLLM._request_methods = RequestMethods(VLLM, OpenAI)
AsyncVLLM._request_methods = RequestMethods(AsyncVLLM, AsyncOpenAI)


def _has_telemetry() -> bool:
    """Tell whether a provider of OpenTelemetry is set, which nobody does without importing it."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    # As the API keeps them: to ask it takes several microseconds while there is none.
    if getattr(trace, "_TRACER_PROVIDER", None) is not None:
        return True
    metrics = sys.modules.get("opentelemetry.metrics._internal")
    return getattr(metrics, "_METER_PROVIDER", None) is not None


def _check_arguments(name: str, timeout: object, headers: object, query: object) -> None:
    """Check what the SDK's constructor would let pass, or refuse without saying what it is.

    Raises:
        TypeError: an argument is of a type that it cannot be.
        ValueError: a header or the timeout cannot be used.
    """
    if headers is None and query is None and isinstance(timeout, NotGiven):
        return
    options = {"timeout": timeout, "headers": headers, "params": query}
    check_options(name, options, ("default_headers", "default_query"))


def _choose_keys(
    base_url: str | httpx.URL | None, api_key: str | None, keys: Sequence[Key] | None
) -> tuple[Key, ...]:
    """The keys that a client's arguments, or the environment, stand for.

    Raises:
        ConfigError: there is no server, or the arguments contradict each other.
    """
    if keys is not None:
        if base_url is not None or api_key is not None:
            raise ConfigError("pass either keys=[…] or base_url= (with api_key=), not both")
        return check_keys(keys)
    if base_url is None:
        base_url = os.environ.get("VLLM_BASE_URL")
        # The key of one host is not sent to another that was named in the code.
        api_key = api_key or os.environ.get("VLLM_API_KEY")
    if not base_url:
        raise missing_server("VLLM('http://localhost:8000')")
    return check_keys([Key(name="default", url=str(base_url), api_key=api_key or None)])


ClientT = TypeVar("ClientT", bound=BaseVLLM[Any, Any])


def _of_config(
    make: Callable[..., ClientT],
    config: str | PathLike[str] | Mapping[str, Any],
    watch: bool,
    arguments: Mapping[str, Any],
    make_http_client: Callable[..., object],
) -> ClientT:
    """Make a client of a configuration, which may follow it."""
    from ._keys.bifrost import load_keys

    if not watch:
        return make(**{**load_keys(config).arguments(make_http_client), **arguments})
    from ._keys.watching import WatchedFile, check_watched

    watched = WatchedFile(check_watched({**arguments, "config": config}))
    client = make(**{**watched.config.arguments(make_http_client), **arguments})
    client._fleet.follow(watched, fixed=arguments.keys() & {"balance", "policy"})
    return client


def _sdk_arguments(keys: tuple[Key, ...]) -> dict[str, Any]:
    """Arguments for the SDK's constructor.

    Empty strings keep it from reading OPENAI_API_KEY and its kin from the environment.
    """
    try:
        url = resolve(keys[0]).url("/v1/")
    except ConfigError:
        url = _NOWHERE
    unread = ("api_key", "admin_api_key", "organization", "project", "webhook_secret")
    return {"base_url": url, "_enforce_credentials": False, **dict.fromkeys(unread, "")}


V = TypeVar("V")


def _merged(
    name: str, present: Mapping[str, V], added: Mapping[str, V] | None, instead: Mapping[str, V] | None
) -> Mapping[str, V]:
    if added is not None and instead is not None:
        raise ValueError(f"default_{name} and set_default_{name} are mutually exclusive")
    if instead is not None:
        return dict(instead)
    return {**present, **added} if added else present


def _convert(converted: Callable[..., object], conversion: Callable[[], object], stream: object) -> object:
    return converted(stream, conversion())


def _parse_in_turn(parsers: Sequence[Callable[[Any], object]], reply: object) -> object:
    for parse in parsers:
        reply = parse(reply)
    return reply


def _converting(
    converted: Callable[..., object], conversion: Callable[[], object] | None
) -> Callable[[object], object] | None:
    return None if conversion is None else partial(_convert, converted, conversion)


def _unparsed(options: Mapping[str, object]) -> type[object]:
    """Return the type that the SDK shall cast a reply to that we read.

    `with_raw_response` cannot cast to bytes, everything else cannot cast to a response.
    """
    headers = options.get("headers")
    is_raw = isinstance(headers, Mapping) and headers.get(RAW_RESPONSE_HEADER) == "true"
    return httpx.Response if is_raw else bytes
