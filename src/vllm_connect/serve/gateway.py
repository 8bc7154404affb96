"""The shared part of all rooms: the client, the configuration, the numbers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from .._client import AsyncVLLM, ResponsesAPI
from .._keys.balancing import Balance
from .._keys.bifrost import ProviderConfig
from .._transport._httpx import httpx
from .._transport.clients import LIMITS, default_async_http_client
from .._wire.decoding import JsonObject
from ..errors import ConfigError
from ..types import ServerStatus
from .config.file import Changed, ConfigFile
from .http.errors import Refusal
from .metrics.counters import Counters
from .metrics.troubles import Troubles
from .metrics.upstream import Upstream

_LOGGER = logging.getLogger("vllm_connect.serve")
_WATCH_SECONDS = 1.0
_MANY = httpx.Limits(
    max_connections=None,  # the gateway's own limit is that of its clients
    max_keepalive_connections=LIMITS.max_keepalive_connections,
    keepalive_expiry=LIMITS.keepalive_expiry,
)


class Gateway:
    """The state of a gateway.

    Args:
        file: the configuration.
        balance: which of several servers gets a request; None for what the configuration says.
        responses_api: see `AsyncVLLM`.
        watch: whether changes of the file by others are followed.

    Raises:
        ConfigError: a reference in the configuration leads nowhere.
    """

    def __init__(
        self,
        file: ConfigFile,
        *,
        balance: Balance | None = None,
        responses_api: ResponsesAPI = "auto",
        watch: bool = True,
    ) -> None:
        self.file = file
        self.counters = Counters(self.servers)
        self.troubles = Troubles()
        self.upstream = Upstream()
        self._refused = ""
        self._balance = balance
        self.responses_api: ResponsesAPI = responses_api
        self._client: AsyncVLLM | None = None
        self._applied: ProviderConfig | None = None
        self._retired: list[AsyncVLLM] = []
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        self._use(file.current.provider, self._client_for(file.current.provider))

    @property
    def client(self) -> AsyncVLLM:
        """The client.

        Raises:
            Refusal: there is no server yet.
        """
        if self._client is None:
            raise Refusal(
                503,
                "no server is configured: open the gateway's page and add one",
                code="no_server_configured",
            )
        return self._client

    @property
    def has_servers(self) -> bool:
        """Tell whether there is a server to ask."""
        return self._client is not None

    @property
    def problem(self) -> str:
        """The fault of the file as somebody else has left it; the last good one is in use."""
        return self.file.problem or self._refused

    def servers(self) -> list[ServerStatus]:
        """Tell how each server is doing."""
        return [] if self._client is None else self._client.servers()

    def change(self, document: JsonObject, etag: str) -> None:
        """Write another configuration, and let it act at once.

        Args:
            document: all of it.
            etag: of the state that it was made from.

        Raises:
            Changed: somebody else has written since.
            ConfigError: it cannot be used, or not be written; nothing has changed.
        """
        provider = self.file.check(document).provider
        client = self._client_for(provider)  # what it refers to has to be there before it is written
        try:
            self.file.write(document, etag)
        except Changed:
            self._adopt()  # what somebody else has written is the configuration now
            raise
        self._use(provider, client)

    def refresh(self) -> bool:
        """Take what somebody else has written; tell whether the configuration is another now."""
        if not self.file.reload() or not self._adopt():
            return False
        _LOGGER.info("%s has changed and is in use", self.file.path)
        return True

    def _adopt(self) -> bool:
        """Let act what the file says now; tell whether that can be used."""
        provider = self.file.current.provider
        try:
            self._use(provider, self._client_for(provider))
        except ConfigError as error:
            self._refused = str(error)
            _LOGGER.error("%s (the last good configuration stays in use)", error)
            return False
        return True

    def _client_for(self, provider: ProviderConfig | None) -> AsyncVLLM | None:
        """The client that a configuration takes: the present one if that needs other keys alone.

        Raises:
            ConfigError: a reference in it leads nowhere, or to what is no certificate and no proxy.
        """
        if provider is None:
            return None
        if self._client is not None and self._applied and _same_but_keys(self._applied, provider):
            return self._client
        try:
            arguments = provider.arguments(_http_client)
            arguments.setdefault("http_client", _http_client())
            if self._balance is not None:
                arguments["balance"] = self._balance
            return AsyncVLLM(**arguments, responses_api=self.responses_api)
        except ConfigError as error:
            raise ConfigError(f"{self.file.path}: {error}") from None

    def _use(self, provider: ProviderConfig | None, client: AsyncVLLM | None) -> None:
        """Let a configuration act: on the next request; what runs goes on."""
        if client is not None and client is self._client and provider is not None:
            client.keys = provider.keys  # health and connections are kept
        elif client is not self._client:
            if self._client is not None:
                self._retired.append(self._client)  # its streams go on
            self._client = client
        self._applied, self._refused = provider, ""

    async def start(self) -> None:
        """Begin to work, in the event loop."""
        if self._watch:
            self._watching = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Close all connections."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        self._use(None, None)
        for client in self._retired:
            await client.close()
        self._retired = []

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                self.refresh()
            except Exception:  # a bug of ours must not end the watch
                _LOGGER.exception("%s could not be looked at", self.file.path)


def _http_client(limits: httpx.Limits = _MANY, **options: object) -> httpx.AsyncClient:
    return default_async_http_client(limits=limits, **options)  # type: ignore[arg-type]  # of a provider


def _same_but_keys(one: ProviderConfig, other: ProviderConfig) -> bool:
    return replace(one, keys=()) == replace(other, keys=())
