"""Which server: the fields that the LLM, the embedding and the reranker share, and their two clients."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike, fspath
from typing import Annotated, Any

from llama_index.core.schema import BaseComponent
from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, PrivateAttr, SecretStr
from typing_extensions import Self

from vllm_connect import VLLM, AsyncVLLM, Key


def _read_keys(given: Any) -> list[Key] | None:
    if given is None:
        return None
    return [key if isinstance(key, Key) else Key(**key) for key in given]


def _write_keys(keys: list[Key] | None) -> list[dict[str, Any]] | None:
    """Keys as plain data without secrets; references to the environment are none."""
    if keys is None:
        return None
    return [
        {**asdict(key), "url": _without_credentials(key.url), "api_key": _reference(key.api_key)}
        for key in keys
    ]


def _reference(secret: str | None) -> str | None:
    return secret if secret and re.fullmatch(r"env\.\w+", secret) else None


def _write_secret(secret: SecretStr | None) -> str | None:
    return _reference(secret.get_secret_value()) if secret else None


def _without_credentials(url: str | None) -> str | None:
    return url and re.sub(r"^(\w+://)?[^/?#]*@", r"\1", url)


def _write_config(config: Any) -> str | None:
    """A configuration's path; its content may hold secrets."""
    return None if config is None or isinstance(config, Mapping) else fspath(config)


class Connection(BaseComponent):
    """The server's address and credentials.

    Secrets are neither shown nor serialised, nor are headers and http clients: after `from_dict`, give
    them again. ``"env.NAME"`` is no secret: it is read from the environment when it is used.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    base_url: Annotated[str | None, PlainSerializer(_without_credentials)] = Field(
        default=None,
        repr=False,
        description='The server, with or without /v1, e.g. "http://localhost:8000". '
        "Default: the environment variable VLLM_BASE_URL.",
    )
    api_key: Annotated[SecretStr | None, PlainSerializer(_write_secret)] = Field(
        default=None, description='The server\'s --api-key, or "env.NAME". Default: none is sent.'
    )
    keys: Annotated[list[Key] | None, PlainValidator(_read_keys), PlainSerializer(_write_keys)] = Field(
        default=None, description="Several servers instead of one."
    )
    config: Annotated[Any, PlainSerializer(_write_config)] = Field(
        default=None, repr=False, description="A configuration instead; see `from_config`."
    )
    timeout: float | None = Field(default=None, description="Seconds. Default: 600, 10 to connect.")
    max_retries: int | None = Field(
        default=None,
        ge=0,
        description="Further attempts where they make sense; the only retries. Default: 2.",
    )
    default_headers: dict[str, str] | None = Field(
        default=None, exclude=True, repr=False, description="Sent with every request."
    )
    http_client: Any = Field(default=None, exclude=True, repr=False, description="For sync requests.")
    async_http_client: Any = Field(default=None, exclude=True, repr=False, description="For async requests.")

    _clients: Clients = PrivateAttr(default_factory=lambda: Clients())

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        _ = self.client  # says at once if there is no server

    def __copy__(self) -> Self:
        """A copy with clients of its own: it may be made to ask another server."""
        copied = super().__copy__()
        for name, attribute in self.__private_attributes__.items():
            if attribute.default_factory is not None:
                make: Any = attribute.default_factory
                setattr(copied, name, make())
        return copied

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Mapping[str, Any], **fields: Any) -> Self:
        """Make one from Bifrost's configuration.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            fields: all other fields; they win over the configuration's.

        Raises:
            vllm_connect.ConfigError: something in it cannot be right; the message says where.
        """
        return cls(config=config, **fields)

    @property
    def client(self) -> VLLM:
        """The client behind the sync methods."""
        client: VLLM = self._clients.get(VLLM, self._settings(), self.http_client)
        return client

    @property
    def async_client(self) -> AsyncVLLM:
        """The client behind the async methods; several event loops may use it."""
        client: AsyncVLLM = self._clients.get(AsyncVLLM, self._settings(), self.async_http_client)
        return client

    def close(self) -> None:
        """Close the connections of the sync client, unless `http_client` was given; it can still be used."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of both clients; see `close`."""
        await self._clients.aclose()

    def _settings(self) -> dict[str, Any]:
        secret = self.api_key.get_secret_value() if self.api_key else None
        settings = {
            "config": self.config,
            "base_url": self.base_url,
            "api_key": secret,
            "keys": self.keys,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
        }
        return {name: value for name, value in settings.items() if value is not None}


class Clients:
    """The clients of one connection, made when they are needed, and anew when the settings change.

    Neither copied nor pickled with their owner: a copy makes its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[type, tuple[Any, Any]] = {}

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        return Clients, ()

    def get(self, kind: type, settings: Mapping[str, Any], http_client: Any) -> Any:
        """The client of a kind with these settings."""
        wanted = (settings, http_client)
        with self._lock:  # or threads that begin together would each make one
            made = self._made.get(kind)
            if made is None or made[0] != wanted:
                made = self._made[kind] = (wanted, _make(kind, dict(settings), http_client))
            return made[1]

    def close(self) -> None:
        """Close the sync client's connections."""
        if client := self._own(VLLM):
            client.close()

    async def aclose(self) -> None:
        """Close both clients' connections."""
        self.close()
        if client := self._own(AsyncVLLM):
            await client.close()

    def _own(self, kind: type) -> Any:
        """The client to close, which forgets it; None for one whose connections are someone else's."""
        (_, http_client), client = self._made.pop(kind, ((None, None), None))
        return None if http_client else client


def _make(kind: Any, settings: dict[str, Any], http_client: Any) -> Any:
    if http_client is not None:
        settings["http_client"] = http_client
    config = settings.pop("config", None)
    return kind(**settings) if config is None else kind.from_config(config, **settings)
