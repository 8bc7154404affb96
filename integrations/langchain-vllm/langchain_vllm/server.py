"""Where the server is: the fields that every class of this package has, and the clients made of them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator
from typing_extensions import Self
from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key

#: Of every class itself, since of several base classes pydantic lets the last one win.
CONFIG = ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)


class _Clients:
    """The clients of one model; a copy, or an unpickled model, makes its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: VLLM | None = None
        self.asynchronous: AsyncVLLM | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Clients)  # models are equal by their fields

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: Any) -> _Clients:
        return _Clients()

    def __reduce__(self) -> Any:
        return _Clients, ()


class Server(Serializable):
    """The fields that say which server, or servers, to ask."""

    base_url: str | None = None
    """The server, with or without ``/v1``. Default: the environment variable ``VLLM_BASE_URL``."""
    api_key: SecretStr | None = None
    """The server's ``--api-key``, or ``"env.NAME"``. ``VLLM_API_KEY`` goes with ``VLLM_BASE_URL`` only."""
    keys: list[Any] | None = None
    """Several servers instead: `vllm_connect.Key`s, or mappings of their fields."""
    timeout: Any = None
    """Seconds, or an `httpx.Timeout`: to connect, for the first token, and from one token to the next.
    Default 600, connect 10."""
    max_retries: int = 2
    """Further attempts after connection errors and 408, 429, 502, 503, 504; nothing else retries."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request; not serialised, since they may hold secrets."""
    http_client: Any = Field(default=None, exclude=True)
    """Instead of the default `httpx.Client`."""
    http_async_client: Any = Field(default=None, exclude=True)
    """Instead of the default `httpx.AsyncClient`; the default one works in any number of event loops."""
    client: Any = Field(default=None, exclude=True)
    """A ready `vllm_connect.VLLM`, to share connections; the fields above are not looked at then."""
    async_client: Any = Field(default=None, exclude=True)
    """A ready `vllm_connect.AsyncVLLM`."""

    _clients: _Clients = PrivateAttr(default_factory=_Clients)

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **fields: Any) -> Self:
        """Make a model of Bifrost's configuration file, as `vllm_connect.VLLM.from_config` does.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            fields: the model's other fields; they win over the configuration's.

        Raises:
            ConfigError: something in it cannot be right; the message says where.
        """
        from vllm_connect.config import load_keys
        from vllm_connect.transport import default_async_http_client, default_http_client

        provider = load_keys(config)
        given = provider.arguments(default_http_client)
        if "http_client" in given:
            given["http_async_client"] = provider.arguments(default_async_http_client)["http_client"]
        return cls(**{**given, **fields})

    @field_validator("keys", mode="before")
    @classmethod
    def _read_keys(cls, keys: Sequence[Any] | None) -> list[Key] | None:
        if keys is None:
            return None
        return [Key(**key) if isinstance(key, Mapping) else key for key in keys]

    @model_validator(mode="after")
    def _find_server(self) -> Self:
        if self.client is not None or self.async_client is not None:
            return self
        if self.keys is not None:
            if self.base_url is not None or self.api_key is not None:
                raise ConfigError("pass either keys=[…] or base_url= (with api_key=), not both")
        elif self.base_url is None:
            self.base_url = os.environ.get("VLLM_BASE_URL") or None
            if self.base_url is None:
                raise ConfigError(
                    f"no vLLM server: pass its URL, {type(self).__name__}(base_url='http://localhost:8000'), "
                    "or keys=[Key(…)], or set the environment variable VLLM_BASE_URL"
                )
            if self.api_key is None and os.environ.get("VLLM_API_KEY"):
                self.api_key = SecretStr(os.environ["VLLM_API_KEY"])
        return self

    def _client(self) -> VLLM:
        """The client, made when it is first needed."""
        if self.client is not None:
            return self.client  # type: ignore[no-any-return]
        with self._clients.lock:
            if self._clients.sync is None:
                self._clients.sync = VLLM(**self._client_arguments(), http_client=self.http_client)
            return self._clients.sync

    def _async_client(self) -> AsyncVLLM:
        """The asynchronous client, one for all event loops."""
        if self.async_client is not None:
            return self.async_client  # type: ignore[no-any-return]
        with self._clients.lock:
            if self._clients.asynchronous is None:
                arguments = self._client_arguments()
                self._clients.asynchronous = AsyncVLLM(**arguments, http_client=self.http_async_client)
            return self._clients.asynchronous

    def _client_arguments(self) -> dict[str, Any]:
        if self.base_url is None and self.keys is None:
            raise ConfigError("only one of client= and async_client= was given, and the other one is needed")
        arguments: dict[str, Any] = {
            "base_url": self.base_url,
            "api_key": self.api_key.get_secret_value() if self.api_key else None,
            "keys": self.keys,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
        }
        return arguments if self.timeout is None else {**arguments, "timeout": self.timeout}

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if name == "base_url" and value else value

    def close(self) -> None:
        """Close the connections of the synchronous client; it may be used again."""
        client, self._clients.sync = self._clients.sync, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of the asynchronous client; it may be used again."""
        client, self._clients.asynchronous = self._clients.asynchronous, None
        if client is not None:
            await client.close()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether it can be saved and loaded: yes, without its secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that are saved as the name of an environment variable."""
        return {"api_key": "VLLM_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What is saved in place of fields that may hold secrets."""
        saved: dict[str, Any] = {}
        if self.base_url:
            saved["base_url"] = without_credentials(self.base_url)
        if self.keys:
            saved["keys"] = [_saved_key(key) for key in self.keys]
        return saved


def without_credentials(url: str) -> str:
    """A URL without ``user:password@``."""
    return re.sub(r"//.*@", "//", url)


def _saved_key(key: Key) -> dict[str, Any]:
    """A key's fields; an API key is kept only as a reference to the environment."""
    api_key = key.api_key if key.api_key and key.api_key.startswith("env.") else None
    fields: dict[str, Any] = {
        "name": key.name,
        "url": key.url and without_credentials(key.url),
        "api_key": api_key,
        "models": list(key.models),
        "blacklisted_models": list(key.blacklisted_models),
        "model_name": key.model_name,
        "weight": key.weight,
        "aliases": dict(key.aliases),
        "enabled": key.enabled,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {}, ["*"])}
