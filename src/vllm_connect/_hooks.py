"""What both clients do at the SDK's hooks, none of it I/O."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import openai
from openai import NotGiven, Omit, not_given
from typing_extensions import Self

from ._calls.call import EXTENSION, Call, CallOptions, call_of
from ._calls.failures import status_error, timeout_error
from ._calls.inspection import ERROR, HTTP_STATUS
from ._keys import choosing as selection
from ._keys import key as routing
from ._keys.key import Key, Server
from ._transport._httpx import httpx
from ._wire.payloads import ErrorPayload, read_error
from .errors import ConfigError

ResponsesAPI = Literal["chat", "native"]

# 409 and 500 are not worth a retry (vLLM's 500 is a dead engine or a bug), nor is 501.
_RETRIED = frozenset({408, 429, 502, 503, 504})
_NOTHING_SENT = frozenset({"ConnectTimeout", "PoolTimeout"})
_NOWHERE = "http://server.invalid/v1/"  # of a client whose keys have no URL yet; never asked


def choose_keys(
    base_url: str | httpx.URL | None, api_key: str | None, keys: Sequence[Key] | None
) -> tuple[Key, ...]:
    """The keys that a client's arguments, or the environment, stand for.

    Raises:
        ConfigError: there is no server, or the arguments contradict each other.
    """
    if keys is not None:
        if base_url is not None or api_key is not None:
            raise ConfigError("pass either keys=[…] or base_url= (with api_key=), not both")
        return routing.check_keys(keys)
    if base_url is None:
        base_url = os.environ.get("VLLM_BASE_URL")
        # The key of one host is not sent to another that was named in the code.
        api_key = api_key or os.environ.get("VLLM_API_KEY")
    if not base_url:
        raise ConfigError(
            "no vLLM server: pass its URL, VLLM('http://localhost:8000'), or keys=[Key(…)], "
            "or set the environment variable VLLM_BASE_URL"
        )
    return routing.check_keys([Key(name="default", url=str(base_url), api_key=api_key or None)])


def sdk_arguments(keys: tuple[Key, ...]) -> dict[str, Any]:
    """Arguments for the SDK's constructor.

    Empty strings keep it from reading OPENAI_API_KEY and its kin from the environment.
    """
    try:
        url = routing.resolve(keys[0]).url("/v1/")
    except ConfigError:
        url = _NOWHERE
    unread = ("api_key", "admin_api_key", "organization", "project", "webhook_secret")
    return {"base_url": url, "_enforce_credentials": False, **dict.fromkeys(unread, "")}


class Hooks:
    """Mixed into both clients, in front of the SDK's class."""

    _keys: tuple[Key, ...]
    _known_variants: dict[tuple[str, str], tuple[str, str]]
    responses_api: ResponsesAPI

    if TYPE_CHECKING:
        _client: Any
        _base_url: Any
        _custom_headers: Any
        _custom_query: Any
        timeout: Any
        max_retries: int
        request: Any

    def _set_up(
        self,
        keys: tuple[Key, ...],
        responses_api: ResponsesAPI,
        headers: Mapping[str, str] | None,
        known_variants: dict[tuple[str, str], tuple[str, str]] | None,
    ) -> None:
        """Take over from the SDK's constructor, and forget what it read from the environment."""
        if responses_api not in ("chat", "native"):
            raise ConfigError(f"responses_api is 'chat' or 'native', not {responses_api!r}")
        self._keys = keys
        self.responses_api = responses_api
        self._known_variants = {} if known_variants is None else known_variants
        self.organization = self.project = self.admin_api_key = self.webhook_secret = None
        self._custom_headers = headers or {}  # without OPENAI_CUSTOM_HEADERS
        self._ambient_authorizations: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys, hence the servers, of this client."""
        return self._keys

    @property
    def base_url(self) -> httpx.URL:
        """The first server's `/v1/` URL; setting it moves a client of one key to another server."""
        url: httpx.URL = self._base_url
        return url

    @base_url.setter
    def base_url(self, url: httpx.URL | str) -> None:
        self._keys = (replace(self._only_key("base_url"), url=str(url)),)
        self._base_url = httpx.URL(routing.resolve(self._keys[0]).url("/v1/"))

    @property
    def api_key(self) -> str:
        """The first key's API key, "" without one; can be set on a client of one key."""
        return routing.resolve(self._keys[0]).api_key or ""

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        if "_keys" in vars(self):  # else the SDK's constructor is clearing it
            self._keys = (replace(self._only_key("api_key"), api_key=api_key or None),)

    def _only_key(self, attribute: str) -> Key:
        if len(self._keys) != 1:
            raise ConfigError(
                f"{attribute} of a client with {len(self._keys)} keys: make a new client with keys=[…]"
            )
        return self._keys[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={list(self._keys)!r})"

    # What goes out

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Headers of every request; none that tell about the machine, as the SDK's X-Stainless ones do."""
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            **self._custom_headers,
        }

    @property
    def user_agent(self) -> str:
        """What the server sees in its access log."""
        return f"vllm-connect (openai-python {openai.__version__})"

    @property
    def auth_headers(self) -> dict[str, str]:
        """None here: credentials belong to the key that an attempt chooses."""
        return {}

    def _auth_headers(self, security: object) -> dict[str, str]:
        return {}

    def _validate_headers(self, headers: object, custom_headers: object) -> None:
        return

    def _perform(
        self,
        call: Call,
        options: Mapping[str, Any],
        *,
        read: Any = None,
        stream_cls: Any = None,
        files: Any = None,
    ) -> Any:
        """Make a call.

        Args:
            call: what to ask.
            options: request options under the SDK's names (headers, params, timeout).
            read: makes the result of the body's bytes; for a stream, of the stream object.
            stream_cls: the stream's type if the reply is a stream.
            files: of a multipart form.
        """
        made: dict[str, Any] = {
            "method": call.method,
            "url": call.variants[0].path,
            "call": call,
            "files": files,
        }
        if read is not None:
            made["post_parser"] = read
        final = CallOptions.construct(**made, **options)
        # `with_raw_response` cannot cast to bytes, everything else cannot cast to a response.
        raw = options.get("headers", {}).get("X-Stainless-Raw-Response") == "true"
        return self.request(
            httpx.Response if raw else bytes, final, stream=stream_cls is not None, stream_cls=stream_cls
        )

    def _with_call(self, options: Any) -> CallOptions:
        """Give a request that was not made by one of our resources a call, too."""
        if isinstance(options, CallOptions):
            return options
        body = options.json_data
        model = body.get("model") if isinstance(body, Mapping) else None
        call = Call(
            operation=f"{options.method.upper()} {options.url}",
            variants=(),
            model=model if isinstance(model, str) else None,
            json_reply=False,
        )
        return CallOptions.model_construct(None, **{**vars(options), "call": call})

    def _choose_server(self, call: Call) -> Server:
        if call.key_name is not None:
            return routing.resolve(selection.named(self._keys, call.key_name))
        return routing.resolve(
            selection.choose(self._keys, call.model, tried=call.tried, random=random.random)
        )

    def _route(self, options: Any) -> Any:
        call: Call = options.call
        server = self._choose_server(call)
        call.begin(server, self._known_variants.get((server.root, call.operation)))
        url = options.url
        if call.variants:
            options.url = server.url(call.variant.path)
            if call.form is not None:
                options.json_data = {**call.form, "model": call.wire_model} if call.model else call.form
            else:
                options.content = call.content
        else:
            if "://" not in url:
                options.url = server.url("/v1/" + url.lstrip("/"))
            if call.model is not None:
                options.json_data = {**options.json_data, "model": call.wire_model}
        # The slash matters: http://gpu1 must not lend its key to http://gpu1.elsewhere.
        if server.authorization is not None and options.url.startswith(server.root + "/"):
            headers = options.headers
            options.headers = {
                **({} if isinstance(headers, NotGiven) else headers),
                "Authorization": server.authorization,
            }
        return options

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> httpx.Request:
        request: httpx.Request = super()._build_request(options, retries_taken=retries_taken)  # type: ignore[misc]
        request.extensions[EXTENSION] = options.call
        return request

    def _next_variant(self, call: Call, request: httpx.Request) -> httpx.Request:
        assert call.server is not None
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        return type(request)(
            request.method,
            call.server.url(call.variant.path),
            headers=headers,
            content=call.content,
            extensions=request.extensions,
        )

    # What comes back

    def _settle(self, call: Call, response: Any) -> Any:
        """Choose the reply to go on with, after the last variant was tried."""
        assert call.server is not None
        if call.refusals and response.is_error:  # none was understood: the first that says most
            response = max(call.refusals, key=lambda refusal: refusal[0])[1]
        elif len(call.variants) > 1 and response.is_success:
            self._known_variants[call.server.root, call.operation] = call.variant.what
        call.response = response
        return response

    def _raise_if_sent(self, call: Call, cause: Exception, request: httpx.Request) -> None:
        """Raise the timeout of a generation as our own error, which the SDK does not retry."""
        if call.generates and type(cause).__name__ not in _NOTHING_SENT:
            raise timeout_error(request, call.where, cause)

    def _should_retry(self, response: httpx.Response) -> bool:
        if response.status_code not in _RETRIED:
            return response.headers.get("x-should-retry") == "true"
        retry: bool = super()._should_retry(response)  # type: ignore[misc]
        return retry

    def _make_status_error_from_response(self, response: httpx.Response) -> openai.APIStatusError:
        error = response.extensions.get(ERROR)
        if error is None:
            if response.is_closed and not response.is_stream_consumed:  # by the caller's own event hook
                error = ErrorPayload("the reply was closed before it was read", None, None, "text")
            else:
                error = read_error(response.content)
        where, status = call_of(response.request).where, response.status_code
        http_status = response.extensions.get(HTTP_STATUS, status)
        return status_error(error, response, where, status=status, http_status=http_status)

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
        http_client: Any = None,
        responses_api: ResponsesAPI | None = None,
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
        """
        if keys is None and (base_url is not None or api_key is not None):
            key = self._only_key("base_url or api_key")
            keys = [replace(key, url=str(base_url or key.url), api_key=api_key or key.api_key)]
        make: Any = type(self)
        copied: Self = make(
            keys=keys or self._keys,
            timeout=self.timeout if isinstance(timeout, NotGiven) else timeout,
            max_retries=self.max_retries if isinstance(max_retries, NotGiven) else max_retries,
            default_headers=_merged("headers", self._custom_headers, default_headers, set_default_headers),
            default_query=_merged("query", self._custom_query, default_query, set_default_query),
            http_client=http_client or self._client,
            responses_api=responses_api or self.responses_api,
            _known_variants=self._known_variants,
        )
        return copied

    with_options = copy


def _merged(name: str, present: Mapping[str, Any], added: Any, instead: Any) -> Mapping[str, Any]:
    if added is not None and instead is not None:
        raise ValueError(f"default_{name} and set_default_{name} are mutually exclusive")
    if instead is not None:
        return dict(instead)
    return {**present, **added} if added else present
