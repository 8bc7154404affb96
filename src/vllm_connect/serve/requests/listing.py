"""The models of every key: what the servers have, as far as the keys allow it, and aliases."""

from __future__ import annotations

from typing import Any

import orjson

from ..._client import AsyncVLLM
from ..._keys.key import split_prefix
from ..._wire.decoding import JsonObject
from ..http.errors import Refusal
from ..http.exchange import Exchange


async def models(client: AsyncVLLM, exchange: Exchange) -> None:
    """Answer with the list of models."""
    page = await client.models.list()
    statuses = [status.to_dict(warnings=False) for status in page.key_statuses]
    listed = with_aliases(client, [model.to_dict(warnings=False) for model in page.data])
    await exchange.reply(200, orjson.dumps({"object": "list", "data": listed, "key_statuses": statuses}))


async def model(client: AsyncVLLM, exchange: Exchange, name: str) -> None:
    """Answer with one model of the list."""
    model_id = split_prefix(name)
    page = await client.models.list()
    for found in with_aliases(client, [each.to_dict(warnings=False) for each in page.data]):
        if found["id"] == model_id:
            await exchange.reply(200, orjson.dumps(found))
            return
    raise Refusal(404, f"no key serves the model {model_id!r}", code="model_not_found", param="model")


def with_aliases(client: AsyncVLLM, served: list[JsonObject]) -> list[dict[str, Any]]:
    """Add the aliases of models to a list of models."""
    by_name = {each["id"]: each for each in served}
    for key in client.keys:
        for alias, target in key.aliases.items():
            alias, target = split_prefix(alias), split_prefix(target)
            if key.enabled and alias not in by_name and target in by_name:
                by_name[alias] = {**by_name[target], "id": alias, "root": target}
    return sorted(by_name.values(), key=lambda each: str(each["id"]))
