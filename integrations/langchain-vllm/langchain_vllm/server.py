"""The way to the server: the fields that every class of this package has, and the clients made of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from langchain_core.load.serializable import Serializable
from openai import Timeout
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import Self
from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key
from vllm_connect.adapters import (
    Balance,
    ClientCache,
    ProviderConfig,
    check_watched,
    missing_server,
    public_secret,
    public_url,
    read_config,
    read_keys,
    saved_key,
)

from .wire import Json

#: Of every class itself, since of several base classes pydantic lets the last one win.
CONFIG = ConfigDict(
    extra="forbid",
    populate_by_name=True,
    arbitrary_types_allowed=True,
    hide_input_in_errors=True,  # which may be a secret
)

#: What other classes call our fields.
_INSTEAD = {
    "chunk_size": "batch_size",
    "headers": "default_headers",
    "max_completion_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "model_kwargs": "extra_body",
    "model_name": "model",
    "openai_api_base": "base_url",
    "openai_api_key": "api_key",
    "request_timeout": "timeout",
    "url": "base_url",
}
#: What other classes have and ours need not: a field that says where the advice holds, and that.
_OTHERWISE = {
    "check_embedding_ctx_length": ("truncate_prompt_tokens", "truncate_prompt_tokens=-1 cuts long texts"),
    "enable_thinking": ("thinking", "pass thinking=True or False, for any model that has a switch"),
    "generate_kwargs": ("temperature", "pass the parameters themselves, or extra_body={…}"),
    "is_chat_model": ("temperature", "ChatVLLM speaks through the chat template, VLLMCompletion does not"),
    "num_ctx": ("temperature", "the server's --max-model-len says it"),
    "streaming_callback": ("temperature", "pass callbacks=[…]"),
    "tiktoken_model_name": ("temperature", "the server's tokenizer counts"),
}


_OTHERS = _INSTEAD.keys() | _OTHERWISE.keys()


class Server(Serializable):
    """The fields that say which server, or servers, to ask.

    Secrets are neither shown nor saved (`repr`, `dumps`, `model_dump`), but a pickle holds them, since
    the process that gets it needs them. ``api_key="env.NAME"`` is no secret: it is read when it is used.
    """

    base_url: str | None = None
    """The server, with or without ``/v1``. Default: the environment variable ``VLLM_BASE_URL``."""
    api_key: SecretStr | None = None
    """The server's ``--api-key``, or ``"env.NAME"``. ``VLLM_API_KEY`` goes with ``VLLM_BASE_URL`` only."""
    keys: list[Any] | None = None
    """Several servers instead: `vllm_connect.Key`s, or mappings of their fields."""
    balance: Balance | None = None
    """Which of several servers that are well gets a request: ``"weighted"`` (default), ``"least_busy"``, or
    ``"sticky"``, which keeps a conversation on one server. That is known by its `session_id`, else by its
    thread in LangGraph, else by its beginning."""
    timeout: Any = None
    """Seconds, or an `httpx.Timeout`: to connect, for the first token, and from one token to the next.
    Default 600, connect 10."""
    max_retries: int | None = None
    """Further attempts after connection errors and 408, 429, 502, 503, 504; nothing else retries. Default 2,
    or what a file says that is followed."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request; not serialised, since they may hold secrets."""
    http_client: Any = Field(default=None, exclude=True)
    """Instead of the default `httpx.Client`."""
    http_async_client: Any = Field(default=None, exclude=True)
    """Instead of the default `httpx.AsyncClient`; the default one works in any number of event loops."""
    connections: ProviderConfig | None = Field(default=None, exclude=True, repr=False)
    """What `from_config` read of TLS, proxies, limits of connections and how to wait; not serialised."""
    watched_config: str | None = None
    """Path of a configuration that is followed, in place of `base_url` and `keys`; see `from_config`."""
    client: Any = Field(default=None, exclude=True)
    """A ready `vllm_connect.VLLM`, to share connections; the fields above are not looked at then."""
    async_client: Any = Field(default=None, exclude=True)
    """A ready `vllm_connect.AsyncVLLM`."""

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, watch: bool = False, **fields: Any
    ) -> Self:
        """Make a model of Bifrost's configuration file, as `vllm_connect.VLLM.from_config` does.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            watch: look at the file again while the model is used, at most once a second. Keys, their
                selection and how to wait follow it; the model has no `keys` of its own then.
            fields: the model's other fields; they win over the configuration's.

        Raises:
            ConfigError: something in it cannot be right; the message says where.
        """
        provider = read_config(config)
        arguments = provider.arguments(lambda **options: None)
        arguments.pop("policy", None)
        if watch:
            path = check_watched({**fields, "config": config})
            for name in ("keys", "balance"):
                arguments.pop(name, None)
            return cls(**{"watched_config": path, **arguments, **fields})
        # What else there is, TLS, a proxy, limits and how to wait, is the clients'.
        connections = replace(provider, timeout=None, max_retries=None, extra_headers={}, balance=None)
        return cls(**{"connections": connections, **arguments, **fields})

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_names(cls, values: object) -> object:
        if not isinstance(values, Mapping) or _OTHERS.isdisjoint(values):
            return values
        fields = cls.model_fields
        for name in values:
            field, advice = _OTHERWISE.get(name, ("", ""))
            if name not in fields and field in fields:
                raise ValueError(f"there is no {name}=: {advice}")
            instead = _INSTEAD.get(name)
            if name not in fields and instead in fields:
                raise ValueError(f"there is no {name}=: did you mean {instead}=?")
        return values

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, timeout: object) -> object:
        return Timeout(**timeout) if isinstance(timeout, Mapping) else timeout

    @field_validator("keys", mode="before")
    @classmethod
    def _read_keys(cls, keys: Sequence[Key | Mapping[str, object]] | None) -> list[Key] | None:
        return None if keys is None else read_keys(keys)

    @model_validator(mode="after")
    def _find_server(self) -> Self:
        if self.client is not None or self.async_client is not None:
            return self
        if self.watched_config is not None:
            check_watched(self._watched_arguments())
        elif self.keys is not None:
            if self.base_url is not None or self.api_key is not None:
                raise ConfigError("pass either keys=[…] or base_url= (with api_key=), not both")
        elif self.base_url is None:
            self.base_url = os.environ.get("VLLM_BASE_URL") or None
            if self.base_url is None:
                raise missing_server(f"{type(self).__name__}(base_url='http://localhost:8000')")
            if self.api_key is None and os.environ.get("VLLM_API_KEY"):
                self.api_key = SecretStr(os.environ["VLLM_API_KEY"])
        elif not self.base_url:
            raise ConfigError("base_url is empty: pass the server's URL, base_url='http://localhost:8000'")
        return self

    def _client(self) -> VLLM:
        """The client, made when it is first needed."""
        client: VLLM | None = self.client
        return client or self._clients.get(VLLM, self._client_arguments(), self.http_client)

    def _async_client(self) -> AsyncVLLM:
        """The asynchronous client, one for all event loops."""
        client: AsyncVLLM | None = self.async_client
        return client or self._clients.get(AsyncVLLM, self._client_arguments(), self.http_async_client)

    def _watched_arguments(self) -> Json:
        """The arguments of a client that follows a file, which says what is not set here."""
        secret = self.api_key.get_secret_value() if self.api_key else None
        arguments: Json = {
            "config": self.watched_config,
            "watch": True,
            "base_url": self.base_url,
            "api_key": secret,
            "keys": self.keys,
            "balance": self.balance,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers and dict(self.default_headers),
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def _client_arguments(self) -> Json:
        if self.watched_config is not None:
            return self._watched_arguments()
        if self.base_url is None and self.keys is None:
            raise ConfigError("only one of client= and async_client= was given, and the other one is needed")
        arguments: Json = {  # copies, which are compared with what the fields hold later
            "base_url": self.base_url,
            "api_key": self.api_key.get_secret_value() if self.api_key else None,
            "keys": self.keys and list(self.keys),
            "default_headers": self.default_headers and dict(self.default_headers),
        }
        chosen = {
            "balance": self.balance,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "config": self.connections,
        }
        return arguments | {name: value for name, value in chosen.items() if value is not None}

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, public_url(value) if name == "base_url" and value else value

    def __copy__(self) -> Self:
        """A copy, which may be made to ask another server."""
        copied = super().__copy__()
        copied._clients = ClientCache()
        copied.__dict__.pop("_serialized", None)  # langchain-core's cache of what tells models apart
        return copied

    def close(self) -> None:
        """Close the connections of the synchronous client; it may be used again.

        Those of a given `client` or `http_client` stay open, and so do those that another model uses which
        asks the same servers.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of the asynchronous client; it may be used again. See `close`."""
        await self._clients.aclose()

    def _servers(self) -> list[str]:
        """The URLs of all servers that may be asked, without credentials."""
        client = self.client or self.async_client
        if client is None and self.watched_config is not None:
            client = self._client()
        keys = client.keys if client is not None else self.keys
        urls = [key.url for key in keys] if keys is not None else [self.base_url]
        return [public_url(url) for url in urls if url]

    def _headers_digest(self, *more: Mapping[str, str] | None) -> str:
        """A digest of the headers, which may hold secrets but tell tenants apart; "" if there are none."""
        headers: dict[str, str] = {}
        for each in (self.default_headers, *more):
            headers.update(each or {})
        return hashlib.sha256(repr(sorted(headers.items())).encode()).hexdigest()[:16] if headers else ""

    @field_serializer("base_url")
    def _write_base_url(self, base_url: str | None) -> str | None:
        return base_url and public_url(base_url)

    @field_serializer("keys")
    def _write_keys(self, keys: list[Key] | None) -> list[dict[str, object]] | None:
        return None if keys is None else [saved_key(key) for key in keys]

    @field_serializer("timeout")
    def _write_timeout(self, timeout: Any) -> Any:
        return _saved_timeout(timeout)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell whether it can be saved and loaded: yes, without its secrets."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that are saved as the name of an environment variable."""
        return {} if self._api_key_reference() else {"api_key": "VLLM_API_KEY"}

    @property
    def lc_attributes(self) -> Json:
        """The values that are saved in place of fields that may hold secrets, or are no plain data."""
        saved: Json = {}
        if reference := self._api_key_reference():
            saved["api_key"] = reference
        if self.timeout is not None:
            saved["timeout"] = _saved_timeout(self.timeout)
        if self.base_url:
            saved["base_url"] = public_url(self.base_url)
        if self.keys:
            saved["keys"] = [saved_key(key) for key in self.keys]
        return saved

    def _api_key_reference(self) -> str | None:
        return public_secret(self.api_key.get_secret_value()) if self.api_key else None


def _saved_timeout(timeout: Any) -> Any:
    """An `httpx.Timeout` as plain data: a number where all of it is the same."""
    if not hasattr(timeout, "as_dict"):
        return timeout
    parts: dict[str, float | None] = timeout.as_dict()
    return parts["read"] if len(set(parts.values())) == 1 and parts["read"] is not None else parts
