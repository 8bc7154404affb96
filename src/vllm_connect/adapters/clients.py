"""Clients kept per settings: models that are made per call share connections.

A model of a framework is a bag of fields. It is copied, configured anew for a call, or made in a request
handler; what is dear (connections, TLS contexts, what is known of each server's health) belongs to its
settings. So all models of a process that have the same settings share one client of each kind. The latest
`KEPT` of them outlive their models. And clients that differ in anything but their servers, such as a header
or a timeout of each request, share the connections to these.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.request import getproxies
from weakref import WeakSet, WeakValueDictionary

from .._client import VLLM, AsyncVLLM
from .._keys.bifrost import ProviderConfig, load_keys
from .._keys.watching import WatchedFile, check_watched
from .._transport.clients import (
    AsyncTransport,
    Transport,
    default_async_http_client,
    default_http_client,
)
from .._transport.sharing import AsyncPart, Part, Shared

ClientT = TypeVar("ClientT", VLLM, AsyncVLLM)

KEPT = 64
"""How many clients, of either kind, are kept for models to come."""

# What a client reads when it is made.
_ENVIRONMENT = ("VLLM_BASE_URL", "VLLM_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def config_arguments(
    config: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read Bifrost's configuration.

    Args:
        config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.

    Returns:
        The arguments of `VLLM` and of `AsyncVLLM` that it stands for; they differ in `http_client`, if that
        is there.

    Raises:
        ConfigError: something in it cannot be right; the message says where.
    """
    provider = load_keys(config)
    return provider.arguments(default_http_client), provider.arguments(default_async_http_client)


def read_config(config: str | os.PathLike[str] | Mapping[str, Any]) -> ProviderConfig:
    """Read Bifrost's configuration, for the `config` of `ClientCache.get`.

    Args:
        config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.

    Raises:
        ConfigError: something in it cannot be right; the message says where.
    """
    return load_keys(config)


class ClientCache:
    """The clients of one model: made when they are needed, and anew when its settings change.

        self._clients = ClientCache()
        …
        client = self._clients.get(VLLM, {"base_url": self.base_url, "timeout": self.timeout})

    Threads may share it. It is neither copied nor pickled with its model: a copy has one of its own, and gets
    the same clients as long as its settings are the same. All caches are equal, since models are equal by
    their fields.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holds: dict[type[VLLM | AsyncVLLM], _Hold] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientCache)

    __hash__ = None  # type: ignore[assignment]  # as Python does it, had the class no base

    def __copy__(self) -> ClientCache:
        return ClientCache()

    def __deepcopy__(self, memo: dict[int, object]) -> ClientCache:
        return ClientCache()

    def __reduce__(self) -> tuple[type[ClientCache], tuple[()]]:
        return ClientCache, ()

    def get(self, kind: type[ClientT], settings: Mapping[str, object], http_client: object = None) -> ClientT:
        """Return the client with these settings.

        Args:
            kind: `VLLM` or `AsyncVLLM`.
            settings: arguments of its constructor, and perhaps `config`, as `from_config` takes it or
                `read_config` returns it, and `watch`, for the path of one that is followed. What is changed
                in them later, in place too, is another client's.
            http_client: instead of the default one. Such a client is this model's alone.

        Raises:
            ConfigError: the settings cannot work.
        """
        with self._lock:  # or threads that begin together would each make one
            hold = self._holds.get(kind)
            if hold is None or not hold.fits(settings, http_client):
                hold = self._holds[kind] = _hold(kind, copy.deepcopy(dict(settings)), http_client)
            client: ClientT = hold.lease.client
            return client

    def close(self) -> None:
        """Close the connections of the sync client, which is made anew if it is needed again.

        They stay open where another model asks the same servers and is in use, and where an http client was
        given.
        """
        if (client := self._let_go(VLLM)) is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of the async client; see `close`."""
        if (client := self._let_go(AsyncVLLM)) is not None:
            await client.close()

    def _let_go(self, kind: type[ClientT]) -> ClientT | None:
        """Forget a client, and return it if nobody else has it."""
        with self._lock:
            hold = self._holds.pop(kind, None)
        return None if hold is None else _shared.let_go(hold)


class _Identity(NamedTuple):
    """The common part of clients that are shared."""

    kind: type[VLLM | AsyncVLLM]
    settings: Mapping[str, object]
    environment: Mapping[str, str | None]


class _Lease:
    """A client, and who has it."""

    def __init__(self, identity: _Identity | None, client: Any) -> None:
        self.identity = identity
        self.client = client
        self.holds: WeakSet[_Hold] = WeakSet()


class _Hold:
    """One model's part in a client; it ends with the model."""

    def __init__(self, lease: _Lease, settings: Mapping[str, object], http_client: object) -> None:
        self.lease = lease
        self._settings = settings
        self._http_client = http_client
        lease.holds.add(self)

    @property
    def is_shared(self) -> bool:
        """Tell whether the connections are this module's to close."""
        return self._http_client is None

    def fits(self, settings: Mapping[str, object], http_client: object) -> bool:
        """Tell whether the client is still what these settings ask for."""
        if http_client is not self._http_client or settings != self._settings:
            return False
        return http_client is not None or not self.lease.client.is_closed()


class _Shared:
    """The clients of this process that have the default http client, the latest used last."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._leases: list[_Lease] = []
        self._transports: WeakValueDictionary[Hashable, Shared[Any]] = WeakValueDictionary()

    def part(self, identity: _Identity) -> Part | AsyncPart:
        """A part in the connections to the servers of a client."""
        is_async = issubclass(identity.kind, AsyncVLLM)
        key = (is_async, _urls(identity.settings), tuple(sorted(identity.environment.items())))
        with self._lock:
            shared = self._transports.get(key)
            if shared is None or shared.is_closed:
                shared = self._transports[key] = Shared(AsyncTransport() if is_async else Transport())
            return AsyncPart(shared) if is_async else Part(shared)

    def lease(self, identity: _Identity, make: Callable[[], object]) -> _Lease:
        """The client of this identity, or a new one."""
        with self._lock:
            lease = next((lease for lease in self._leases if lease.identity == identity), None)
            if lease is not None:
                self._leases.remove(lease)
            if lease is None or lease.client.is_closed():
                lease = _Lease(identity, make())
            self._leases = [*self._leases[1 - KEPT :], lease]
            return lease

    def let_go(self, hold: _Hold) -> Any:
        """End a hold; returns the client to close, None while others have it or its http client was given."""
        with self._lock:
            lease = hold.lease
            lease.holds.discard(hold)
            if lease.holds or not hold.is_shared:
                return None
            self._leases = [other for other in self._leases if other is not lease]
            return lease.client


_shared = _Shared()


def _forget_parent() -> None:
    # Another thread of the parent may have held the lock.
    global _shared
    _shared = _Shared()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def _hold(kind: type[VLLM | AsyncVLLM], settings: dict[str, object], http_client: object) -> _Hold:
    arguments = dict(settings)
    if arguments.pop("watch", False):
        # By its path: what it says now is no part of what tells clients apart.
        arguments.update(config=check_watched(arguments), watch=True)
    elif (config := arguments.pop("config", None)) is not None:
        # Which says what is wrong with it.
        arguments["config"] = config if isinstance(config, ProviderConfig) else load_keys(config)  # type: ignore[arg-type]
    if http_client is not None:
        lease = _Lease(None, _make(kind, {**arguments, "http_client": http_client}))
    else:
        environment = {**getproxies(), **{name: os.environ.get(name) for name in _ENVIRONMENT}}
        identity = _Identity(kind, arguments, environment)
        lease = _shared.lease(identity, lambda: _make(kind, arguments, identity))
    return _Hold(lease, settings, http_client)


def _make(kind: Any, arguments: Mapping[str, Any], identity: _Identity | None = None) -> Any:
    own = dict(arguments)
    config = own.pop("config", None)
    watched = WatchedFile(config) if own.pop("watch", False) else None
    if watched is not None:
        config = watched.config
    if config is not None:
        make_http_client = default_async_http_client if issubclass(kind, AsyncVLLM) else default_http_client
        own = {**config.arguments(make_http_client), **own}
    if identity is not None and "http_client" not in own:  # those of a configuration are its own
        own["http_client"] = _default_http_client(identity)
    client = kind(**own)
    if watched is not None:
        client._fleet.follow(watched, fixed=arguments.keys() & {"balance", "policy"})
    return client


def _default_http_client(identity: _Identity) -> object:
    """An http client of its own, for its cookies, with a part in the connections."""
    part = _shared.part(identity)
    return default_async_http_client(part) if isinstance(part, AsyncPart) else default_http_client(part)


def _urls(settings: Mapping[str, object]) -> frozenset[object]:
    """Return the URLs of the servers that a client asks."""
    config: Any = settings.get("config")
    if settings.get("watch"):  # for URLs that change
        return frozenset({os.fspath(config)})
    keys: Any = settings.get("keys") or (config.keys if config is not None else ())
    return frozenset(key.url for key in keys) or frozenset({settings.get("base_url")})
