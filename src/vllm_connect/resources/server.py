"""The server itself: GET /health, /version, /load, /metrics.

With several keys, name one; without, any of them is asked.
"""

from __future__ import annotations

from typing import Any

import openai
from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._calls.inspection import reading
from .._wire.body import RequestOptions, names, options_of, read_params
from .._wire.objects import NotAReply, read_object
from ._base import AsyncOwnResource, OwnResource


class ServerParams(RequestOptions, total=False):
    """Parameters of every `server` method."""

    key: str | None
    """The name of the key whose server to ask. Default: any."""


_KNOWN = names(ServerParams)


def _call(operation: str, given: Any, *, json: bool = True) -> tuple[Call, dict[str, Any]]:
    body, options = read_params(f"server.{operation}", given, _KNOWN)
    call = Call(
        f"server.{operation}",
        (Variant(f"/{operation}"),),
        method="get",
        json_reply=json,
        generates=False,
        key_name=body.pop("key", None),
    )
    return call, options_of(options)


def _field(name: str) -> Any:
    def read(content: bytes) -> Any:
        payload = read_object(content)
        if name not in payload:
            raise NotAReply(f"no {name!r} in the reply: {content[:200]!r}")
        return payload[name]

    return read


def _is_unhealthy(error: openai.APIStatusError) -> bool:
    return error.status_code == 503


class Server(OwnResource):
    """Health, version and load of a server."""

    methods = ("health", "version", "load", "metrics")

    def health(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine is alive; False is the server's own 503, which is not retried.

        Raises:
            APIConnectionError: there is no server.
        """
        call, options = _call("health", params, json=False)
        try:
            self._client._perform(call, {**options, "max_retries": 0}, read=_any_success)
        except openai.APIStatusError as error:
            if _is_unhealthy(error):
                return False
            raise
        return True

    def version(self, **params: Unpack[ServerParams]) -> str:
        """Tell vLLM's version, e.g. "0.32.0" (behind a router: perhaps the router's)."""
        call, options = _call("version", params)
        return self._client._perform(call, options, read=reading(call, _field("version")))  # type: ignore[no-any-return]

    def load(self, **params: Unpack[ServerParams]) -> float:
        """Tell how many requests the server works on; 0 unless started with --enable-server-load-tracking."""
        call, options = _call("load", params)
        return self._client._perform(call, options, read=reading(call, _field("server_load")))  # type: ignore[no-any-return]

    def metrics(self, **params: Unpack[ServerParams]) -> str:
        """Return the server's metrics in Prometheus' text format."""
        call, options = _call("metrics", params, json=False)
        return self._client._perform(call, options, read=reading(call, bytes.decode))  # type: ignore[no-any-return]


class AsyncServer(AsyncOwnResource):
    """Health, version and load of a server."""

    methods = ("health", "version", "load", "metrics")

    async def health(self, **params: Unpack[ServerParams]) -> bool:
        """Tell whether the engine is alive; see `Server.health`."""
        call, options = _call("health", params, json=False)
        try:
            await self._client._perform(call, {**options, "max_retries": 0}, read=_any_success)
        except openai.APIStatusError as error:
            if _is_unhealthy(error):
                return False
            raise
        return True

    async def version(self, **params: Unpack[ServerParams]) -> str:
        """Tell vLLM's version; see `Server.version`."""
        call, options = _call("version", params)
        return await self._client._perform(call, options, read=reading(call, _field("version")))  # type: ignore[no-any-return]

    async def load(self, **params: Unpack[ServerParams]) -> float:
        """Tell how many requests the server works on; see `Server.load`."""
        call, options = _call("load", params)
        return await self._client._perform(call, options, read=reading(call, _field("server_load")))  # type: ignore[no-any-return]

    async def metrics(self, **params: Unpack[ServerParams]) -> str:
        """Return the server's metrics in Prometheus' text format."""
        call, options = _call("metrics", params, json=False)
        return await self._client._perform(call, options, read=reading(call, bytes.decode))  # type: ignore[no-any-return]


def _any_success(content: Any) -> bool:
    """A health check says all by its status."""
    return True
