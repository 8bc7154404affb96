"""The settings of a client, so that it can be made again: in another process, or as a copy.

A pickle holds keys as they were given: a reference `"env.NAME"` stays one, and what came from the environment
by itself is referred to as well. Connections, and what is known of the servers' health, stay behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._keys.key import Key
from ._keys.references import parse_url
from ._openai_arguments import OpenAIArguments
from ._transport._httpx import httpx
from ._transport.clients import is_default

if TYPE_CHECKING:
    from ._client import VLLM, AsyncVLLM

Arguments = dict[str, Any]


def settings_of(client: VLLM | AsyncVLLM) -> Arguments:
    """The constructor's arguments that make a client again, in a form that can be pickled.

    Raises:
        TypeError: it has an http client of its own.
    """
    if not is_default(client._client):
        raise TypeError(
            f"a {type(client).__name__} with an http_client of its own cannot be pickled, since connections "
            "cannot: make it where it is used, or let it have the default one"
        )
    timeout: object = client.timeout
    return {
        "keys": [_portable(key, client._ambient_key) for key in client.keys],
        "balance": client._fleet.balance,
        "policy": client._fleet.policy,
        "timeout": timeout.as_dict() if isinstance(timeout, httpx.Timeout) else timeout,
        "max_retries": client.max_retries,
        "default_headers": dict(client._custom_headers),
        "default_query": dict(client._custom_query),
        "responses_api": client.responses_api,
        "openai_arguments": {name: getattr(client, name) for name in OpenAIArguments.__annotations__},
    }


def client_of(make: Callable[..., VLLM | AsyncVLLM], settings: Mapping[str, Any]) -> VLLM | AsyncVLLM:
    """Make a client again; what `pickle` calls."""
    arguments = {name: value for name, value in settings.items() if name != "openai_arguments"}
    timeout = settings["timeout"]
    arguments["timeout"] = httpx.Timeout(**timeout) if isinstance(timeout, dict) else timeout
    client = make(**arguments)
    for name, value in settings["openai_arguments"].items():  # of which was warned once already
        setattr(client, name, value)
    return client


def _portable(key: Key, ambient: Key | None) -> Key:
    """A key without the secrets that nobody gave.

    Args:
        key: the key.
        ambient: the one that was made of the environment, if any.
    """
    changes: Arguments = {}
    if ambient is not None and key.api_key and key.api_key == ambient.api_key:
        changes["api_key"] = "env.VLLM_API_KEY"
    if ambient is not None and key.url and key.url == ambient.url and parse_url(key.url)[1]:
        changes["url"] = "env.VLLM_BASE_URL"  # there is a password in it
    return replace(key, **changes) if changes else key
