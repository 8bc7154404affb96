"""`VLLM` and `AsyncVLLM`: which hook of the SDK does what.

    request                           knows which call is running, and says of connection errors where
    _prepare_options  (per attempt)   chooses the key, hence the server, credentials and model name
    _build_request                    tells the HTTP request which call it belongs to
    _send_request     (per attempt)   looks whether a success is one; falls back to another variant
    _should_retry                     which statuses are worth another attempt
    _make_status_error_from_response  reads every shape of error payload

Retries, backoff, timeouts, `with_raw_response` and the rest stay the SDK's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import openai
from openai import AsyncOpenAI, NotGiven, OpenAI, not_given
from typing_extensions import Self

from ._calls.call import Call, call_of
from ._calls.failures import connection_error, invalid_response
from ._calls.inspection import FirstEvent, error_in_success, is_event_stream, mark
from ._calls.replay import async_replayed, replayed
from ._hooks import Hooks, ResponsesAPI, choose_keys, sdk_arguments
from ._keys.key import Key
from ._transport._httpx import httpx, timeout_exceptions
from ._transport.clients import default_async_http_client, default_http_client
from ._wire.payloads import ErrorPayload
from .errors import VLLMError
from .resources import AsyncResources, Resources


class VLLM(Hooks, Resources, OpenAI):  # type: ignore[misc]  # properties over the SDK's attributes
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
        responses_api: ``"chat"`` converts the Responses API to chat completions and back (default);
            ``"native"`` talks to ``/v1/responses``.

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
        http_client: Any = None,
        responses_api: ResponsesAPI = "chat",
        _known_variants: dict[tuple[str, str], tuple[str, str]] | None = None,
    ) -> None:
        chosen = choose_keys(base_url, api_key, keys)
        super().__init__(
            **sdk_arguments(chosen),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=http_client or default_http_client(),
        )
        self._set_up(chosen, responses_api, default_headers, _known_variants)

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **arguments: Any) -> Self:
        """Make a client from Bifrost's configuration.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            arguments: further arguments of the constructor; they win over the configuration's.

        Raises:
            ConfigError: something in it cannot be right; the message says where.
        """
        from ._keys.bifrost import load_keys

        return cls(**{**load_keys(config).arguments(default_http_client), **arguments})

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Make a request; what every resource ends in."""
        options = self._with_call(options)
        try:
            return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIConnectionError as error:
            if isinstance(error, VLLMError):
                raise
            raise connection_error(error, options.call.where) from error.__cause__

    def _prepare_options(self, options: Any) -> Any:
        return self._route(options)

    def _send_request(self, request: Any, *, stream: bool, **kwargs: Any) -> Any:
        call = call_of(request)
        while True:
            try:
                response = self._client.send(request, stream=stream, **kwargs)
                error = self._look(call, response, stream)
            except timeout_exceptions() as cause:
                self._raise_if_sent(call, cause, request)
                raise
            if error is not None:
                mark(call, response, error)
                response.close()
            elif response.is_error and len(call.variants) > 1:
                response.read()
                if call.refused(response):
                    request = self._next_variant(call, request)
                    continue
            return self._settle(call, response)

    def _look(self, call: Call, response: Any, stream: bool) -> ErrorPayload | None:
        if not response.is_success:
            return None
        try:
            if stream and is_event_stream(response):
                first = FirstEvent()
                response.stream = replayed(response.stream, first)
                return first.error
            if stream and call.opaque_stream(response):
                return None
            response.read()
            error = error_in_success(call, response)
            if error is None and call.streams:
                raise invalid_response(response, call.where, "a stream of events was due")
            return error
        except BaseException:
            response.close()
            raise


class AsyncVLLM(Hooks, AsyncResources, AsyncOpenAI):  # type: ignore[misc]
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
        http_client: Any = None,
        responses_api: ResponsesAPI = "chat",
        _known_variants: dict[tuple[str, str], tuple[str, str]] | None = None,
    ) -> None:
        chosen = choose_keys(base_url, api_key, keys)
        super().__init__(
            **sdk_arguments(chosen),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=http_client or default_async_http_client(),
        )
        self._set_up(chosen, responses_api, default_headers, _known_variants)

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **arguments: Any) -> Self:
        """Make a client from Bifrost's configuration, see `VLLM.from_config`."""
        from ._keys.bifrost import load_keys

        return cls(**{**load_keys(config).arguments(default_async_http_client), **arguments})

    async def request(
        self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        """Make a request; what every resource ends in."""
        options = self._with_call(options)
        try:
            return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except openai.APIConnectionError as error:
            if isinstance(error, VLLMError):
                raise
            raise connection_error(error, options.call.where) from error.__cause__

    async def _prepare_options(self, options: Any) -> Any:
        return self._route(options)

    async def _send_request(self, request: Any, *, stream: bool, **kwargs: Any) -> Any:
        call = call_of(request)
        while True:
            try:
                response = await self._client.send(request, stream=stream, **kwargs)
                error = await self._look(call, response, stream)
            except timeout_exceptions() as cause:
                self._raise_if_sent(call, cause, request)
                raise
            if error is not None:
                mark(call, response, error)
                await response.aclose()
            elif response.is_error and len(call.variants) > 1:
                await response.aread()
                if call.refused(response):
                    request = self._next_variant(call, request)
                    continue
            return self._settle(call, response)

    async def _look(self, call: Call, response: Any, stream: bool) -> ErrorPayload | None:
        if not response.is_success:
            return None
        try:
            if stream and is_event_stream(response):
                first = FirstEvent()
                response.stream = await async_replayed(response.stream, first)
                return first.error
            if stream and call.opaque_stream(response):
                return None
            await response.aread()
            error = error_in_success(call, response)
            if error is None and call.streams:
                raise invalid_response(response, call.where, "a stream of events was due")
            return error
        except BaseException:
            await response.aclose()
            raise
