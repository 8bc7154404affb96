"""Clients for the settings of a request: calls of the same settings share one, and its connections."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeVar

from vllm_connect import VLLM, AsyncVLLM
from vllm_connect.adapters import ClientCache, read_keys

from .requests import Json

ClientT = TypeVar("ClientT", VLLM, AsyncVLLM)

_MOST_SETTINGS = 64


class Clients:
    """The clients of a provider, by their settings; threads and event loops may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caches: OrderedDict[str, ClientCache] = OrderedDict()

    def get(self, kind: type[ClientT], settings: Json) -> ClientT:
        """Return the client with these settings.

        Raises:
            ConfigError: they cannot work.
        """
        name = repr(sorted(settings.items()))  # Key's repr masks secrets; the cache compares them
        with self._lock:
            cache = self._caches.setdefault(name, ClientCache())
            self._caches.move_to_end(name)
            if len(self._caches) > _MOST_SETTINGS:
                self._caches.popitem(last=False)
        keys = settings.get("keys")
        if keys is not None:
            settings = {**settings, "keys": read_keys(keys)}  # type: ignore[arg-type]  # which says what is wrong
        return cache.get(kind, settings)

    def close(self) -> None:
        """Close the connections of the sync clients; they are made anew if they are needed again."""
        for cache in self._snapshot():
            cache.close()

    async def aclose(self) -> None:
        """Close the connections of all clients; see `close`."""
        for cache in self._snapshot():
            cache.close()
            await cache.aclose()

    def _snapshot(self) -> list[ClientCache]:
        with self._lock:
            return list(self._caches.values())


clients = Clients()
"""Those of this process."""
