"""The server itself: GET /health, /version, /load, /metrics.

With several keys, name one; without, any of them is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import openai
from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import NotAReply, read_object
from ._base import AsyncOwnResource, OwnResource


class ServerParams(RequestOptions, total=False):
    """Parameters of every `server` method."""

    key: str | None
    """The name of the key whose server to ask. Default: any."""


T = TypeVar("T")

_KNOWN = names(ServerParams)


def _call(
    operation: str,
    params: Mapping[str, object],
    read: Callable[[bytes], T],
    *,
    json: bool = True,
    **options: object,
) -> Call[T]:
    body, request_options = read_params(f"server.{operation}", params, _KNOWN)
    return Call(
        f"server.{operation}",
        (Variant(f"/{operation}"),),
        read=read,
        options={**request_options, **options},
        method="get",
        json_reply=json,
        generates=False,
        key_name=body.get("key"),
    )


def _health_call(params: ServerParams) -> Call[bool]:
    return _call("health", params, _any_success, json=False, max_retries=0)


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


class Server(OwnResource):
    """Health, version and load of a server."""

    methods = ("health", "version", "load", "metrics")

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

    def metrics(self, **params: Unpack[ServerParams]) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return self._client._perform(_call("metrics", params, bytes.decode, json=False))


class AsyncServer(AsyncOwnResource):
    """Health, version and load of a server."""

    methods = ("health", "version", "load", "metrics")

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

    async def metrics(self, **params: Unpack[ServerParams]) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return await self._client._perform(_call("metrics", params, bytes.decode, json=False))
