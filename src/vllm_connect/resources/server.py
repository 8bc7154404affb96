"""The server itself: GET /health, /version, /load, /metrics, and what VLLM_SERVER_DEV_MODE=1 adds.

With several keys, name one; without, any of them is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import openai
from typing_extensions import Unpack

from .._calls.call import Call, Variant
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
    known: frozenset[str] = _KNOWN,
    method: str = "get",
    json: bool = True,
    **options: object,
) -> Call[T]:
    query, request_options = read_params(f"server.{operation}", params, known)
    key = query.pop("key", None)
    if query:
        given = request_options.get("params") or {}
        request_options["params"] = {**{name: _in_query(value) for name, value in query.items()}, **given}
    return Call(
        f"server.{operation}",
        (Variant(f"/{operation}"),),
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


def _health_call(params: ServerParams) -> Call[bool]:
    return _call("health", params, _any_success, json=False, max_retries=0)


def _metrics_call(params: ServerParams) -> Call[ServerMetrics]:
    return _call("metrics", params, _read_metrics, json=False)


def _sleep_call(params: SleepParams) -> Call[None]:
    return _call("sleep", params, _nothing, known=_SLEEP, method="post")


def _wake_up_call(params: WakeUpParams) -> Call[bool]:
    awake = _field("status", lambda status: status == "awake")
    return _call("wake_up", params, awake, known=_WAKE_UP, method="post")


def _is_sleeping_call(params: ServerParams) -> Call[bool]:
    return _call("is_sleeping", params, _field("is_sleeping", bool))


def _reset_call(params: ResetParams) -> Call[bool]:
    reset = _field("success", bool)
    return _call("reset_prefix_cache", params, reset, known=_RESET, method="post")


def _pause_call(params: PauseParams) -> Call[None]:
    return _call("pause", params, _nothing, known=_PAUSE, method="post")


def _resume_call(params: ServerParams) -> Call[None]:
    return _call("resume", params, _nothing, method="post")


def _is_paused_call(params: ServerParams) -> Call[bool]:
    return _call("is_paused", params, _field("is_paused", bool))


def _info_call(params: ServerInfoParams) -> Call[JsonObject]:
    return _call("server_info", params, read_object, known=_INFO)


def _read_metrics(content: bytes) -> ServerMetrics:
    return ServerMetrics(content.decode())


def _nothing(content: bytes) -> None:
    return None


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
