"""The way to the server: the fields that LLM, embedding and reranker share, and their two clients."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Annotated, Any

from llama_index.core.schema import BaseComponent
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from typing_extensions import Self

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect.adapters import (
    Balance,
    ClientCache,
    missing_server,
    public_secret,
    public_url,
    read_keys,
    saved_key,
)

from .content import Json
from .usual_names import advice_for

_logger = logging.getLogger(__name__)

_HTTP_CLIENTS = ("http_client", "async_http_client")
_SHARED = (*_HTTP_CLIENTS, "rate_limiter")


def _read_keys(keys: Sequence[Key | Mapping[str, object]] | None) -> list[Key] | None:
    return None if keys is None else read_keys(keys)


def _write_keys(keys: list[Key] | None) -> list[dict[str, object]] | None:
    """Keys as plain data without secrets; references to the environment are none."""
    if keys is None:
        return None
    return [saved_key(key) for key in keys]


def _write_secret(secret: SecretStr | None) -> str | None:
    return public_secret(secret.get_secret_value()) if secret else None


def _write_url(url: str | None) -> str | None:
    return url and public_url(url)


def _read_secret(given: object) -> object:
    return SecretStr(given) if isinstance(given, str) else given


# Fields that are read alike when they are given to the constructor, assigned, or updated in a copy.
_READERS = {"api_key": _read_secret, "keys": _read_keys}


def _read(name: str, value: Any) -> Any:
    return _READERS[name](value) if name in _READERS else value


def _without_headers(parameters: Json) -> Json:
    return {name: value for name, value in parameters.items() if name != "extra_headers"}


# Further parameters of a request; their headers may hold secrets.
Parameters = Annotated[Json, PlainSerializer(_without_headers), Field(repr=False)]


def _write_config(config: Any) -> str | None:
    """A configuration's path; its content may hold secrets."""
    return None if config is None or isinstance(config, Mapping) else fspath(config)


class Connection(BaseComponent):
    """The server's address and credentials.

    `repr`, `to_dict` and `to_json` leave out secrets, headers and http clients: after `from_dict`, give
    them again. ``"env.NAME"`` is no secret: it is read from the environment when it is used.

    Pickles hold secrets and headers in clear, since worker processes need them; not so ``"env.NAME"``.
    http clients are not pickled, and copies share them.
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), hide_input_in_errors=True
    )

    base_url: Annotated[str | None, PlainSerializer(_write_url)] = Field(
        default=None,
        repr=False,
        description='The server, with or without /v1, e.g. "http://localhost:8000". '
        "Default: the environment variable VLLM_BASE_URL.",
    )
    api_key: Annotated[SecretStr | None, PlainSerializer(_write_secret)] = Field(
        default=None, repr=False, description='The server\'s --api-key, or "env.NAME". Default: none is sent.'
    )
    keys: Annotated[list[Key] | None, PlainValidator(_read_keys), PlainSerializer(_write_keys)] = Field(
        default=None, description="Several servers instead of one."
    )
    balance: Balance | None = Field(
        default=None,
        description="Which of several servers that are well gets a request: 'weighted' (default), "
        "'least_busy', or 'sticky', which keeps a conversation on one server.",
    )
    config: Annotated[Any, PlainSerializer(_write_config)] = Field(
        default=None, repr=False, description="A configuration instead; see `from_config`."
    )
    watch: bool = Field(
        default=False, description="Whether changes of the configuration's file are followed."
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

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        is_placed = self.base_url or self.keys is not None or self.config is not None
        if not (is_placed or os.environ.get("VLLM_BASE_URL")):
            # In the words of LlamaIndex, whose classes take no positional arguments.
            raise missing_server(f"{type(self).__name__}(base_url='http://localhost:8000')")
        _ = self.client  # says at once what cannot be right

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: object) -> object:
        """Point usual names to ours; `class_name`, which dumps hold, is no field."""
        if not isinstance(values, dict):
            return values
        for name in values.keys() - cls.model_fields.keys():
            if advice := advice_for(name, cls.model_fields):
                raise ValueError(f"{cls.__name__} has no {name}=: use {advice}")
        return {name: value for name, value in values.items() if name != "class_name"}

    if not TYPE_CHECKING:  # or every attribute would count as known

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, _read(name, value))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with changes."""
        changes = {name: _read(name, value) for name, value in (update or {}).items()}
        return super().model_copy(update=changes, deep=deep)

    def __copy__(self) -> Self:
        """A copy, which may be made to ask another server."""
        copied = super().__copy__()
        for name, attribute in self.__private_attributes__.items():
            if attribute.default_factory is not None:
                make: Any = attribute.default_factory
                setattr(copied, name, make())
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy that shares what holds connections, and the limit of their rate."""
        memo = {} if memo is None else memo
        for name in _SHARED:
            shared = getattr(self, name, None)
            memo[id(shared)] = shared
        return super().__deepcopy__(memo)

    def __getstate__(self) -> Json:
        """The state, without what cannot be pickled; LlamaIndex would delete that from the object itself."""
        state = dict(BaseModel.__getstate__(self))
        fields = {**state["__dict__"], **dict.fromkeys(_HTTP_CLIENTS)}
        for name in [name for name, value in fields.items() if not _can_be_pickled(value)]:
            _logger.warning("%s.%s cannot be pickled: give it again", type(self).__name__, name)
            del fields[name]
            if field := type(self).model_fields.get(name):
                fields[name] = field.get_default(call_default_factory=True)
        private = state["__pydantic_private__"] or {}
        kept = {name: value for name, value in private.items() if _can_be_pickled(value)}
        return {**state, "__dict__": fields, "__pydantic_private__": kept}

    @classmethod
    def from_config(
        cls, config: str | PathLike[str] | Mapping[str, Any], *, watch: bool = False, **fields: Any
    ) -> Self:
        """Make one from Bifrost's configuration.

        Args:
            config: path of a JSON file, or its content: ``{"providers": {"vllm": {"keys": […]}}}``.
            watch: look at the file again while it is used, at most once a second; see
                `vllm_connect.VLLM.from_config`.
            fields: all other fields; they win over the configuration's.

        Raises:
            vllm_connect.ConfigError: something in it cannot be right; the message says where.
        """
        return cls(config=config, watch=watch, **fields)

    @property
    def client(self) -> VLLM:
        """The client behind the sync methods."""
        return self._clients.get(VLLM, self._settings(), self.http_client)

    @property
    def async_client(self) -> AsyncVLLM:
        """The client behind the async methods; several event loops may use it."""
        return self._clients.get(AsyncVLLM, self._settings(), self.async_http_client)

    def close(self) -> None:
        """Close the connections of the sync client; it can still be used.

        Those of `http_client` stay open, and so do those that another one uses which asks the same servers.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of both clients; see `close`."""
        self._clients.close()
        await self._clients.aclose()

    def _settings(self) -> Json:
        secret = self.api_key.get_secret_value() if self.api_key else None
        settings = {
            "config": self.config,
            "watch": self.watch or None,
            "base_url": self.base_url,
            "api_key": secret,
            "keys": self.keys,
            "balance": self.balance,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
        }
        return {name: value for name, value in settings.items() if value is not None}


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 whatever its classes raise
        return False
    return True
