"""The cache of embeddings as one model sees it: a text alone does not say whose vector it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

_Values = dict[str, object]


class CacheOfModel(BaseKVStore):
    """A part of a store.

    Args:
        store: The store.
        made_by: All that decides on the vector of a text.
    """

    def __init__(self, store: BaseKVStore, made_by: Mapping[str, object]) -> None:
        self._store = store
        text = json.dumps(made_by, sort_keys=True, default=str)
        self._prefix = sha256(text.encode()).hexdigest()[:16] + " "

    def put(self, key: str, val: _Values, collection: str = DEFAULT_COLLECTION) -> None:
        """Keep a vector."""
        self._store.put(self._prefix + key, val, collection)

    async def aput(self, key: str, val: _Values, collection: str = DEFAULT_COLLECTION) -> None:
        """Keep a vector."""
        await self._store.aput(self._prefix + key, val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> _Values | None:
        """The vector of a text."""
        found: _Values | None = self._store.get(self._prefix + key, collection)
        return found

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> _Values | None:
        """The vector of a text."""
        found: _Values | None = await self._store.aget(self._prefix + key, collection)
        return found

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, _Values]:
        """All of this model's vectors."""
        return self._own(self._store.get_all(collection))

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, _Values]:
        """All of this model's vectors."""
        return self._own(await self._store.aget_all(collection))

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget a vector."""
        return bool(self._store.delete(self._prefix + key, collection))

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget a vector."""
        return bool(await self._store.adelete(self._prefix + key, collection))

    def _own(self, values: Mapping[str, _Values]) -> dict[str, _Values]:
        begin = len(self._prefix)
        return {key[begin:]: value for key, value in values.items() if key.startswith(self._prefix)}
