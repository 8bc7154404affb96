"""The server itself: GET /health, /version, /load, /metrics, and what VLLM_SERVER_DEV_MODE=1 adds.

With several keys, name one; without, any of them is asked.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlencode

import anyio
import openai
from typing_extensions import TypedDict, Unpack

from .._calls.call import Call, Variant
from .._transport.run import run
from .._wire.body import RequestOptions, names, read_params
from .._wire.decoding import JsonObject
from .._wire.objects import NotAReply, read_object
from ..types import ServerMetrics
from ._base import AsyncOwnResource, OwnResource

PauseMode = Literal["abort", "wait", "keep"]


class ServerParams(RequestOptions, total=False):
    """Parameters of every `server` method."""

    key: str | None
    """The name of the key whose server to ask. Default: any."""


class SleepParams(ServerParams, total=False):
    """Parameters of `server.sleep`."""

    level: int | None
    """1 (default) moves the weights to the host's memory, 2 forgets them, 0 only stops the work."""
    mode: PauseMode | None
    """What becomes of running requests: "abort" (default), "wait" for them, or "keep" them for later."""


class WakeUpParams(ServerParams, total=False):
    """Parameters of `server.wake_up`."""

    tags: Sequence[str] | None
    """"weights", "kv_cache", or both (default)."""


class ResetParams(ServerParams, total=False):
    """Parameters of `server.reset_prefix_cache`."""

    reset_running_requests: bool | None
    """Whether running requests begin anew, so that their blocks are freed, too."""
    reset_external: bool | None
    """Whether the cache behind a KV connector is forgotten, too."""


class PauseParams(ServerParams, total=False):
    """Parameters of `server.pause`."""

    mode: PauseMode | None
    """What becomes of running requests: "abort" (default), "wait" for them, or "keep" them for later."""
    clear_cache: bool | None


class ServerInfoParams(ServerParams, total=False):
    """Parameters of `server.server_info`."""

    config_format: Literal["text", "json"] | None
    """Whether the configuration is a text (default) or an object."""


T = TypeVar("T")

_KNOWN = names(ServerParams)
_SLEEP, _WAKE_UP, _RESET = names(SleepParams), names(WakeUpParams), names(ResetParams)
_PAUSE, _INFO = names(PauseParams), names(ServerInfoParams)


def _call(
    operation: str,
    params: Mapping[str, object],
    read: Callable[[bytes], T],
    *,
    names: frozenset[str] = _KNOWN,
    method: str = "get",
    json: bool = True,
    **options: object,
) -> Call[T]:
    query, request_options = read_params(f"server.{operation}", params, names)
    key = query.pop("key", None)
    # The SDK would call a list `tags[]`, which vLLM does not know.
    lists = {name: query.pop(name) for name, value in [*query.items()] if isinstance(value, (list, tuple))}
    repeated = f"?{urlencode(lists, doseq=True)}" if lists else ""
    if query:
        given = request_options.get("params") or {}
        request_options["params"] = {**{name: _in_query(value) for name, value in query.items()}, **given}
    return Call(
        f"server.{operation}",
        (Variant(f"/{operation}{repeated}"),),
        read=read,
        options={**request_options, **options},
        method=method,
        json_reply=json,
        generates=False,
        key_name=key,
    )


def _in_query(value: object) -> object:
    """A value as FastAPI reads it from a query."""
    return str(value).lower() if isinstance(value, bool) else value


class WaitParams(TypedDict, total=False):
    """Parameters of `server.wait_until_ready` beside `model`."""

    timeout: float
    """Seconds to wait at most. Default 300."""
    interval: float
    """Seconds from one look at the server to the next. Default 1."""
    progress: Callable[[str], object]
    """Called with what is waited for, whenever that changes."""
    key: str | None
    """The name of the key whose server to ask. Default: any."""
    extra_headers: Mapping[str, str] | None


class _Perform(Protocol):
    """Makes a call, in either world."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Make a call."""


_WAIT = names(WaitParams)
_LOOK_SECONDS = 5.0


async def _wait(
    perform: _Perform,
    sleep: Callable[[float], Awaitable[None]],
    model: str | None,
    params: WaitParams,
) -> float:
    """Look at a server until it serves; see `Server.wait_until_ready`."""
    if unknown := params.keys() - _WAIT:
        raise TypeError(f"server.wait_until_ready() got an unexpected keyword argument {min(unknown)!r}")
    at_most, interval = params.get("timeout", 300.0), params.get("interval", 1.0)
    look: JsonObject = {name: params.get(name) for name in ("key", "extra_headers")}
    began, waits_for = time.monotonic(), ""
    while True:
        left = at_most - (time.monotonic() - began)
        missing = await _missing(perform, model, {**look, "timeout": min(_LOOK_SECONDS, max(left, 0.1))})
        passed = time.monotonic() - began
        if missing is None:
            return passed
        if missing != waits_for and "progress" in params:
            params["progress"](missing)
        waits_for = missing
        if passed + interval > at_most:
            raise TimeoutError(f"the server is not ready after {passed:.0f} s: {missing}")
        await sleep(interval)


async def _missing(perform: _Perform, model: str | None, params: Any) -> str | None:
    """Tell what a server lacks to serve a model; None if it lacks nothing."""
    try:
        await perform(_health_call(params))
        if model is None:
            return None
        served = await perform(_models_call(params))
    except openai.APIConnectionError as error:
        return f"no answer ({error})"
    except openai.APIStatusError as error:
        if error.status_code not in _STARTING:
            raise
        return f"it answers {error.status_code}"
    name = model.removeprefix("vllm/")
    return None if name in served else f"it serves {', '.join(served) or 'nothing'}, not {name}"


_STARTING = frozenset({404, 502, 503, 504})
"""What a server that is not up yet answers, or a proxy in front of it."""


def _models_call(params: Mapping[str, object]) -> Call[list[str]]:
    def read(content: bytes) -> list[str]:
        data = read_object(content).get("data")
        return [str(model.get("id")) for model in data or () if isinstance(model, dict)]

    call = _call("models", params, read, max_retries=0)
    return replace(call, operation="server.wait_until_ready", variants=(Variant("/v1/models"),))


def _health_call(params: ServerParams) -> Call[bool]:
    return _call("health", params, _any_success, json=False, max_retries=0)


def _metrics_call(params: ServerParams) -> Call[ServerMetrics]:
    return _call("metrics", params, _read_metrics, json=False)


def _sleep_call(params: SleepParams) -> Call[None]:
    return _call("sleep", params, _or_empty(_nothing, None), names=_SLEEP, method="post", json=False)


def _wake_up_call(params: WakeUpParams) -> Call[bool]:
    awake = _or_empty(_field("status", lambda status: status == "awake"), True)
    return _call("wake_up", params, awake, names=_WAKE_UP, method="post", json=False)


def _is_sleeping_call(params: ServerParams) -> Call[bool]:
    return _call("is_sleeping", params, _field("is_sleeping", bool))


def _reset_call(params: ResetParams) -> Call[bool]:
    reset = _or_empty(_field("success", bool), True)
    return _call("reset_prefix_cache", params, reset, names=_RESET, method="post", json=False)


def _pause_call(params: PauseParams) -> Call[None]:
    return _call("pause", params, _nothing, names=_PAUSE, method="post")


def _resume_call(params: ServerParams) -> Call[None]:
    return _call("resume", params, _nothing, method="post")


def _is_paused_call(params: ServerParams) -> Call[bool]:
    return _call("is_paused", params, _field("is_paused", bool))


def _info_call(params: ServerInfoParams) -> Call[JsonObject]:
    return _call("server_info", params, read_object, names=_INFO)


def _read_metrics(content: bytes) -> ServerMetrics:
    return ServerMetrics(content.decode())


def _nothing(content: bytes) -> None:
    read_object(content)


def _or_empty(read: Callable[[bytes], T], done: T) -> Callable[[bytes], T]:
    """Read a reply, or none: when it is done, vLLM up to 0.30 answers nothing."""
    return lambda content: read(content) if content.strip() else done


def _field(name: str, kind: Callable[[Any], T]) -> Callable[[bytes], T]:
    """Read one field of a JSON object."""

    def read(content: bytes) -> T:
        payload = read_object(content)
        if name not in payload:
            raise NotAReply(f"no {name!r} in the reply: {content[:200]!r}")
        return kind(payload[name])

    return read


def _any_success(content: bytes) -> bool:
    """A health check says all by its status."""
    return True


def _is_unhealthy(error: openai.APIStatusError) -> bool:
    return error.status_code == 503


_METHODS = (
    "health",
    "version",
    "load",
    "metrics",
    "sleep",
    "wake_up",
    "is_sleeping",
    "reset_prefix_cache",
    "pause",
    "resume",
    "is_paused",
    "server_info",
)
"""Those with one reply, which can be had raw."""


class Server(OwnResource):
    """The server itself: how it is, and what an operator asks of it."""

    methods = _METHODS

    def health(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine is alive; False is the server's own 503, which is not retried.

        Raises:
            APIConnectionError: there is no server.
        """
        try:
            return self._client._perform(_health_call(params))
        except openai.APIStatusError as error:
            if _is_unhealthy(error):
                return False
            raise

    def version(self, **params: Unpack[ServerParams]) -> str:
        """Tell vLLM's version, e.g. "0.32.0" (behind a router: perhaps the router's)."""
        return self._client._perform(_call("version", params, _field("version", str)))

    def load(self, **params: Unpack[ServerParams]) -> float:
        """Tell how many requests the server works on; 0 unless started with --enable-server-load-tracking."""
        return self._client._perform(_call("load", params, _field("server_load", float)))

    def metrics(self, **params: Unpack[ServerParams]) -> ServerMetrics:
        """Return the server's metrics: Prometheus' text, with the numbers in it as attributes."""
        return self._client._perform(_metrics_call(params))

    def sleep(self, **params: Unpack[SleepParams]) -> None:
        """Let the engine sleep, so that others may use its memory; needs --enable-sleep-mode.

        Args:
            params: see `SleepParams`.
        """
        self._client._perform(_sleep_call(params))

    def wake_up(self, **params: Unpack[WakeUpParams]) -> bool:
        """Wake the engine; tell whether it is awake, which takes weights and KV cache.

        Args:
            params: see `WakeUpParams`.
        """
        return self._client._perform(_wake_up_call(params))

    def is_sleeping(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine sleeps; VLLM_SERVER_DEV_MODE=1."""
        return self._client._perform(_is_sleeping_call(params))

    def reset_prefix_cache(self, **params: Unpack[ResetParams]) -> bool:
        """Forget the prefix cache; False if some of it is in use. VLLM_SERVER_DEV_MODE=1.

        Args:
            params: see `ResetParams`.
        """
        return self._client._perform(_reset_call(params))

    def pause(self, **params: Unpack[PauseParams]) -> None:
        """Stop generating, until `resume`; VLLM_SERVER_DEV_MODE=1.

        Args:
            params: see `PauseParams`.
        """
        self._client._perform(_pause_call(params))

    def resume(self, **params: Unpack[ServerParams]) -> None:
        """Go on generating after `pause`."""
        self._client._perform(_resume_call(params))

    def is_paused(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether generating is paused; VLLM_SERVER_DEV_MODE=1."""
        return self._client._perform(_is_paused_call(params))

    def server_info(self, **params: Unpack[ServerInfoParams]) -> JsonObject:
        """Return the configuration and the environment of a server; VLLM_SERVER_DEV_MODE=1.

        Args:
            params: see `ServerInfoParams`.
        """
        return self._client._perform(_info_call(params))

    def wait_until_ready(self, model: str | None = None, **params: Unpack[WaitParams]) -> float:
        """Return when a server serves, which may take minutes after its start.

        Args:
            model: a model, or an adapter, that it has to list. Default: any.
            params: see `WaitParams`; with several keys, name the one whose server is meant.

        Returns:
            The seconds that it took.

        Raises:
            TimeoutError: it is not ready by then; the message says what is missing.
            AuthenticationError: it refuses the key, which no waiting will change.
        """

        async def perform(call: Call[T]) -> T:
            return self._client._perform(call)

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)  # noqa: ASYNC251  # for the client that blocks

        return run(_wait(perform, sleep, model, params))


class AsyncServer(AsyncOwnResource):
    """The server itself: how it is, and what an operator asks of it."""

    methods = _METHODS

    async def health(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine is alive; see `Server.health`."""
        try:
            return await self._client._perform(_health_call(params))
        except openai.APIStatusError as error:
            if _is_unhealthy(error):
                return False
            raise

    async def version(self, **params: Unpack[ServerParams]) -> str:
        """Tell vLLM's version; see `Server.version`."""
        return await self._client._perform(_call("version", params, _field("version", str)))

    async def load(self, **params: Unpack[ServerParams]) -> float:
        """Tell how many requests the server works on; see `Server.load`."""
        return await self._client._perform(_call("load", params, _field("server_load", float)))

    async def metrics(self, **params: Unpack[ServerParams]) -> ServerMetrics:
        """Return the server's metrics; see `Server.metrics`."""
        return await self._client._perform(_metrics_call(params))

    async def sleep(self, **params: Unpack[SleepParams]) -> None:
        """Let the engine sleep; see `Server.sleep`."""
        await self._client._perform(_sleep_call(params))

    async def wake_up(self, **params: Unpack[WakeUpParams]) -> bool:
        """Wake the engine; see `Server.wake_up`."""
        return await self._client._perform(_wake_up_call(params))

    async def is_sleeping(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine sleeps."""
        return await self._client._perform(_is_sleeping_call(params))

    async def reset_prefix_cache(self, **params: Unpack[ResetParams]) -> bool:
        """Forget the prefix cache; see `Server.reset_prefix_cache`."""
        return await self._client._perform(_reset_call(params))

    async def pause(self, **params: Unpack[PauseParams]) -> None:
        """Stop generating, until `resume`; see `Server.pause`."""
        await self._client._perform(_pause_call(params))

    async def resume(self, **params: Unpack[ServerParams]) -> None:
        """Go on generating after `pause`."""
        await self._client._perform(_resume_call(params))

    async def is_paused(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether generating is paused."""
        return await self._client._perform(_is_paused_call(params))

    async def server_info(self, **params: Unpack[ServerInfoParams]) -> JsonObject:
        """Return the configuration and the environment of a server; see `Server.server_info`."""
        return await self._client._perform(_info_call(params))

    async def wait_until_ready(self, model: str | None = None, **params: Unpack[WaitParams]) -> float:
        """Return when a server serves; see `Server.wait_until_ready`."""
        return await _wait(self._client._perform, anyio.sleep, model, params)
