"""One key of a configuration added, changed or taken out; what this program does not know stays as it is.

Pure: documents in, documents out, the given one untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from ..._keys.references import variable_of
from ..._wire.decoding import JsonObject


class Conflict(Exception):
    """The key is not there any more, or another one has its name."""


class KeyEdit(NamedTuple):
    """Changes that somebody makes to a key.

    Attributes:
        name: of the key.
        url: of its server.
        model_name: the one model that it serves, ``""`` for any.
        models: those that it may be asked for; None for all.
        weight: how often it is chosen.
        enabled: whether it is in service.
        api_key: a token or a reference; None keeps what is stored, ``""`` takes it out.
    """

    name: str
    url: str
    model_name: str = ""
    models: tuple[str, ...] | None = None
    weight: float = 1.0
    enabled: bool = True
    api_key: str | None = None


def keys_in(document: JsonObject) -> list[JsonObject]:
    """The keys of a document, as they are written."""
    provider = _provider(document)
    keys = provider.get("keys") if provider is not None else None
    return [key for key in keys or () if isinstance(key, dict)]


def name_of(key: JsonObject) -> str:
    """The name of a key."""
    return str(key.get("name") or key.get("id") or "")


def has_provider(document: JsonObject) -> bool:
    """Tell whether vLLM is among the providers."""
    return _provider(document) is not None


def with_provider(document: JsonObject) -> JsonObject:
    """The document with vLLM among its providers."""
    changed: JsonObject = deepcopy(document)
    if _provider(changed) is None:
        providers = changed.setdefault("providers", {})
        providers["vllm"] = {"keys": []}
    return changed


def with_key(document: JsonObject, edit: KeyEdit, replacing: str | None) -> JsonObject:
    """The document with a key added, or changed.

    Args:
        document: the present one.
        edit: the key.
        replacing: the present name of the key; None for a new one.

    Raises:
        Conflict: there is no such key any more, or another one of that name.
    """
    changed = with_provider(document)
    provider = _provider(changed)
    assert provider is not None, "it was just made"
    provider["keys"] = keys = list(provider.get("keys") or ())
    if edit.name != replacing and any(name_of(key) == edit.name for key in keys):
        raise Conflict(f"another key is named '{edit.name}'")
    if replacing is None:
        keys.append(key := {})
    else:
        key = _named(keys, replacing)
    _change(key, edit)
    return changed


def without_key(document: JsonObject, name: str) -> JsonObject:
    """The document without a key.

    Raises:
        Conflict: there is no such key any more.
    """
    changed: JsonObject = deepcopy(document)
    provider = _provider(changed) or {}
    keys = provider.get("keys") or []
    keys.remove(_named(keys, name))
    return changed


def stored_secret(key: JsonObject) -> bool:
    """Tell whether a key holds a token itself, which nobody may see."""
    return bool(_text(key.get("value"))) and reference_of(key) is None


def reference_of(key: JsonObject) -> str | None:
    """The reference that a key's token is, which is no secret."""
    value = key.get("value")
    if isinstance(value, Mapping):
        reference = value.get("env_var") or value.get("ref")
        return f"env.{str(reference).removeprefix('env.')}" if reference else None
    return value if variable_of(value if isinstance(value, str) else None) else None


def url_of(key: JsonObject) -> str:
    """The URL of a key, or its reference, as it is written."""
    server = key.get("vllm_key_config")
    url = server.get("url") if isinstance(server, dict) else None
    if isinstance(url, Mapping):
        return str(url.get("env_var") or url.get("value") or "")
    return _text(url)


def model_name_of(key: JsonObject) -> str:
    """The one model of a key, ``""`` if it may be any."""
    server = key.get("vllm_key_config")
    return _text(server.get("model_name")) if isinstance(server, dict) else ""


def models_of(key: JsonObject) -> tuple[str, ...] | None:
    """The models that a key allows; None for all."""
    models = key.get("models")
    if not isinstance(models, list) or "*" in models:
        return None
    return tuple(map(str, models))


def _change(key: JsonObject, edit: KeyEdit) -> None:
    key["name"] = edit.name
    if edit.api_key is not None:
        key["value"] = edit.api_key
    key.setdefault("value", "")
    key["models"] = ["*"] if edit.models is None else list(edit.models)
    key["weight"] = int(edit.weight) if edit.weight == int(edit.weight) else edit.weight
    if not edit.enabled or "enabled" in key:
        key["enabled"] = edit.enabled
    server = key.get("vllm_key_config")
    server = dict(server) if isinstance(server, dict) else {}
    server["url"] = edit.url
    if edit.model_name:
        server["model_name"] = edit.model_name
    else:
        server.pop("model_name", None)
    key["vllm_key_config"] = server


def _provider(document: JsonObject) -> JsonObject | None:
    providers = document.get("providers")
    if isinstance(providers, dict):
        provider = providers.get("vllm")
        return provider if isinstance(provider, dict) else None
    return document if "keys" in document else None


def _named(keys: list[Any], name: str) -> JsonObject:
    for key in keys:
        if isinstance(key, dict) and name_of(key) == name:
            return key
    raise Conflict(f"there is no key '{name}' any more")


def _text(value: object) -> str:
    return (
        value if isinstance(value, str) else str(value.get("value") or "") if isinstance(value, dict) else ""
    )
