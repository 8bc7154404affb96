"""LoRA adapters: POST /v1/load_lora_adapter and /v1/unload_lora_adapter.

Each server has its own adapters. With several keys, name the one whose server is meant; else any is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._wire.body import RequestOptions, encode, names, read_params
from ._base import AsyncOwnResource, OwnResource


class LoraUnloadParams(RequestOptions, total=False):
    """Parameters of `lora.unload`."""

    lora_name: str
    lora_int_id: int | None
    key: str | None
    """The name of the key whose server is meant. Default: any."""


class LoraLoadParams(RequestOptions, total=False):
    """Parameters of `lora.load`."""

    lora_name: str
    """What requests will name as their model."""
    lora_path: str
    """A folder on the server, or a name at Hugging Face."""
    load_inplace: bool | None
    """Whether to replace an adapter of this name."""
    is_3d_lora_weight: bool | None
    key: str | None
    """The name of the key whose server is meant. Default: any."""


_LOAD, _UNLOAD = names(LoraLoadParams), names(LoraUnloadParams)


def _call(
    verb: str, params: Mapping[str, object], names: frozenset[str], needed: tuple[str, ...]
) -> Call[str]:
    operation = f"lora.{verb}"
    body, options = read_params(operation, params, names)
    key = body.pop("key", None)
    if absent := [name for name in needed if not body.get(name)]:
        raise TypeError(f"{operation}: pass {' and '.join(f'{name}=' for name in absent)}")
    return Call(
        operation,
        (Variant(f"/v1/{verb}_lora_adapter", encode(body, operation=operation)),),
        read=bytes.decode,
        options=options,
        json_reply=False,
        generates=False,
        key_name=key,
    )


def _load_call(params: Mapping[str, object]) -> Call[str]:
    return _call("load", params, _LOAD, ("lora_name", "lora_path"))


def _unload_call(params: Mapping[str, object]) -> Call[str]:
    return _call("unload", params, _UNLOAD, ("lora_name",))


class Lora(OwnResource):
    """LoRA adapters of a server that was started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."""

    methods = ("load", "unload")

    def load(self, **params: Unpack[LoraLoadParams]) -> str:
        """Load an adapter, which is a model from then on: `models.list` has it, with its `parent`.

        Args:
            params: see `LoraLoadParams`.

        Returns:
            What the server says.
        """
        return self._client._perform(_load_call(params))

    def unload(self, **params: Unpack[LoraUnloadParams]) -> str:
        """Unload an adapter.

        Args:
            params: see `LoraUnloadParams`.

        Returns:
            What the server says.
        """
        return self._client._perform(_unload_call(params))


class AsyncLora(AsyncOwnResource):
    """LoRA adapters of a server that was started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."""

    methods = ("load", "unload")

    async def load(self, **params: Unpack[LoraLoadParams]) -> str:
        """Load an adapter; see `Lora.load`."""
        return await self._client._perform(_load_call(params))

    async def unload(self, **params: Unpack[LoraUnloadParams]) -> str:
        """Unload an adapter; see `Lora.unload`."""
        return await self._client._perform(_unload_call(params))
