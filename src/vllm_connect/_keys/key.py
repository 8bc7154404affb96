"""Keys: which server a request goes to, and with which credentials.

A `Key` describes one vLLM server; `resolve` reads the environment, and gives the server's URL and
credentials; `wire_model` is the name of a model on that server. The rules are those of the Bifrost
gateway's vLLM provider, version 1.5 and later.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes

from ..errors import ConfigError, MissingURLError
from .references import (
    NOT_SENDABLE,
    SENDABLE,
    kind_of,
    masked,
    misses_variable,
    parse_url,
    public_secret,
    public_url,
    read,
    variable_of,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Key:
    """One vLLM server: where it is, how to authenticate, and which models it may be asked for.

    ``url`` and ``api_key`` may be references: ``"env.NAME"`` stands for the environment variable
    ``NAME``, which is read when the key is used, not when it is made. If the variable is missing then,
    that is an error: no request goes out without the credentials that were configured.
    ``repr`` and ``str`` show references, but neither a secret nor the credentials inside a URL.

    Wherever a model is named, ``"vllm/NAME"`` means ``"NAME"``.

    Attributes:
        name: what errors, logs and results call this key; unique among the keys of a client.
        url: ``http://host:8000``, with or without a path prefix and ``/v1``. Required by the time
            the key is used. ``http://user:password@host`` sends HTTP Basic authentication.
            ``unix:///run/vllm.sock`` is a Unix socket (``vllm serve --uds``), and
            ``unix:///run/vllm.sock:/team`` one with a path prefix.
        api_key: sent as a bearer token; None, or blank, sends no ``Authorization`` header.
        models: the models this key may be asked for, in any case. ``["*"]``, the default, allows
            all of them; an empty list allows none.
        blacklisted_models: the models it may not be asked for, in any case; ``["*"]`` blocks all.
            It wins over ``models``.
        model_name: the one model this server has, matched exactly after aliases; None means any.
        weight: how often this key is chosen, relative to the others. A key of weight 0 is a spare:
            it serves only when the other eligible keys were tried, or when all of them weigh 0.
        aliases: the server's own name of a model, by the name that is asked for. ``models`` must
            allow the alias; what it stands for need not be in there.
        enabled: False takes the key out of service.

    Raises:
        ConfigError: a field cannot be right; the message says which one and what to do.
    """

    name: str
    url: str | None = None
    api_key: str | None = None
    models: Sequence[str] = ("*",)
    blacklisted_models: Sequence[str] = ()
    model_name: str | None = None
    weight: float = 1.0
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    enabled: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigError("a key's name must be a string that is not empty, for example 'gpu1'")
        if not isinstance(self.enabled, bool):
            raise _invalid(self, "enabled", f"must be True or False, not {kind_of(self.enabled)}")
        clean: dict[str, object] = {"weight": _clean_weight(self), "aliases": _clean_aliases(self)}
        for name in ("url", "api_key", "model_name"):
            clean[name] = _clean_text(self, name)
        for name in ("models", "blacklisted_models"):
            clean[name] = _clean_models(self, name)
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        if shown["api_key"]:
            shown["api_key"] = public_secret(shown["api_key"]) or "***"
        if shown["url"]:
            shown["url"] = masked(shown["url"])
        differing = (f"{name}={value!r}" for name, value in shown.items() if value != getattr(Key, name, {}))
        return f"Key({', '.join(differing)})"


@dataclass(frozen=True)
class Server:
    """A key ready for use: references read, URL normalised.

    Attributes:
        key: the key that it came from.
        root: the server's URL without a trailing slash, without ``/v1`` and without credentials.
        api_key: the bearer token, or None.
        userinfo: the ``user:password`` of the key's URL, or None.
    """

    key: Key
    root: str
    api_key: str | None = field(default=None, repr=False)
    userinfo: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The root as people write it, who know Unix sockets as ``unix:///run/vllm.sock``."""
        if self.root.startswith("unix:"):
            return self.root.replace("unix://localhost", "unix://", 1).removesuffix(":")
        return self.root

    @cached_property
    def authorization(self) -> str | None:
        """The value of the ``Authorization`` header, or None if there is to be none."""
        if self.api_key:
            return f"Bearer {self.api_key}"
        if self.userinfo:
            user, _, password = self.userinfo.partition(":")
            return f"Basic {b64encode(unquote_to_bytes(user) + b':' + unquote_to_bytes(password)).decode()}"
        return None

    def url(self, path: str) -> str:
        """The URL of a route, for example ``/v1/chat/completions`` or ``/rerank``."""
        return f"{self.root}/{path.lstrip('/')}"


def saved_key(key: Key) -> dict[str, object]:
    """A key as plain data without secrets: the arguments of `Key` that make it again, defaults left out.

    An API key is kept only if it is a reference to the environment; a URL loses its credentials.
    """
    saved: dict[str, object] = {each.name: getattr(key, each.name) for each in fields(key)}
    saved |= {
        "url": key.url and public_url(key.url),
        "api_key": public_secret(key.api_key),
        "models": list(key.models),
        "blacklisted_models": list(key.blacklisted_models),
        "aliases": dict(key.aliases),
    }
    default = Key(name=key.name)
    plain = {"models": ["*"], "blacklisted_models": [], "aliases": {}}
    return {
        name: value
        for name, value in saved.items()
        if name == "name" or value != plain.get(name, getattr(default, name))
    }


def missing_server(example: str) -> ConfigError:
    """Say that there is no server, and what to pass.

    Args:
        example: how the URL is passed, `VLLM('http://localhost:8000')`.
    """
    return ConfigError(
        f"no vLLM server: pass its URL, {example}, or keys=[Key(…)], "
        "or set the environment variable VLLM_BASE_URL"
    )


def read_keys(keys: Iterable[Key | Mapping[str, Any]]) -> list[Key]:
    """The keys of a client, of which some may be mappings of their fields.

    Raises:
        ConfigError: no keys, something that is no key, or two keys of the same name.
    """
    if isinstance(keys, (Mapping, Key, str)) or not isinstance(keys, Iterable):
        raise ConfigError(f"keys is a list of keys, not {kind_of(keys)}")
    return list(check_keys(Key(**key) if isinstance(key, Mapping) else key for key in keys))


def check_keys(keys: Iterable[Key]) -> tuple[Key, ...]:
    """The keys of a client, after checking that there are some and that their names differ.

    Raises:
        ConfigError: no keys, something that is not a `Key`, or two keys of the same name.
    """
    checked = tuple(keys)
    if not checked:
        raise ConfigError("no keys: give at least one, e.g. Key(name='gpu1', url='http://localhost:8000')")
    names = set()
    for key in checked:
        if not isinstance(key, Key):
            raise ConfigError(f"keys must be a list of vllm_connect.Key, not of {kind_of(key)}")
        if key.name in names:
            raise ConfigError(f"two keys are named '{key.name}': give each key a name of its own")
        names.add(key.name)
    return checked


def resolve(key: Key) -> Server:
    """Read a key's references and normalise its URL.

    An API key that refers to a variable which does not exist is an error; a variable that exists and
    is blank says that no key is to be sent.

    Raises:
        MissingURLError: the key has no URL, or its URL refers to nothing.
        ConfigError: the URL, or the API key, cannot be used.
    """
    url, variable = read(key.url)
    if not url:
        problem = f"no base URL configured: set vllm_key_config.url on key '{key.name}'"
        if variable:
            state = "empty" if variable in os.environ else "not set"
            problem += f" (environment variable {variable} is {state})"
        raise _about(key, MissingURLError(problem))
    root, userinfo, problem = parse_url(url)
    if problem:
        subject = f"(environment variable {variable})" if variable else repr(masked(url))
        raise _invalid(key, "url", f"{subject} {problem}")

    api_key, variable = read(key.api_key)
    if variable and variable not in os.environ:
        problem = f"environment variable {variable} for the api_key of key '{key.name}' is not set: "
        raise _about(key, ConfigError(problem + "set it, or take api_key off the key if none is needed"))
    if not SENDABLE.fullmatch(api_key):
        raise _invalid(key, "api_key", NOT_SENDABLE)
    if api_key and userinfo:
        raise _invalid(key, "api_key", "cannot be sent along with the credentials in url: remove one of them")
    return Server(key, root, api_key or None, userinfo)


def refers(key: Key) -> bool:
    """Tell whether the environment has a say in what `resolve` makes of a key."""
    return variable_of(key.url) is not None or variable_of(key.api_key) is not None


def split_prefix(model: str) -> str:
    """``"vllm/NAME"`` becomes ``"NAME"``; any other name stays as it is."""
    # A bare "vllm/" stays too: vLLM takes an empty name for "whatever model you have".
    return model.removeprefix("vllm/") or model


def wire_model(key: Key, model: str) -> str:
    """The name of a model on a key's server: aliases are looked up exactly, then in any case."""
    name = split_prefix(model)
    for same in (str, str.casefold):
        for source, target in key.aliases.items():
            if same(split_prefix(source)) == same(name):
                return split_prefix(target)
    return name


def fold(name: str) -> str:
    """A model's name as lists compare it: without prefix, in any case."""
    return split_prefix(name).casefold()


def _clean_text(key: Key, attribute: str) -> str | None:
    value = getattr(key, attribute)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(key, attribute, f"must be a string, not {kind_of(value)}")
    value = value.strip()
    if attribute == "model_name":
        return value or None
    variable = variable_of(value)
    if misses_variable(value):
        raise _invalid(key, attribute, "must name an environment variable after 'env.'")
    if variable is None and attribute == "api_key" and not SENDABLE.fullmatch(value):
        raise _invalid(key, attribute, NOT_SENDABLE)
    if variable is None and attribute == "url" and value:
        _, _, problem = parse_url(value)
        if problem:
            raise _invalid(key, attribute, f"{masked(value)!r} {problem}")
    return value or None


def _clean_models(key: Key, attribute: str) -> tuple[str, ...]:
    value = getattr(key, attribute)
    # A string is a sequence of strings too: models="llama" would allow "l", "a" and "m".
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise _invalid(key, attribute, f"must be a list of model names, not {kind_of(value)}")
    names = tuple(value)
    _check_names(key, attribute, names)
    if len(names) > 1 and any(fold(name) == "*" for name in names):
        raise _invalid(key, attribute, "holds '*', which means every model, beside other values: keep one")
    return names


def _clean_weight(key: Key) -> float:
    weight: Any = key.weight
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise _invalid(key, "weight", f"must be a number, not {kind_of(weight)}")
    if not 0 <= weight <= sys.float_info.max:
        raise _invalid(key, "weight", "must be finite and not negative")
    return float(weight)


def _clean_aliases(key: Key) -> dict[str, str]:
    if not isinstance(key.aliases, Mapping):
        raise _invalid(
            key, "aliases", f"must be a mapping of names to model names, not {kind_of(key.aliases)}"
        )
    _check_names(key, "aliases", key.aliases)
    for target in key.aliases.values():
        _check_names(key, "aliases", [target])
    return dict(key.aliases)


def _check_names(key: Key, attribute: str, names: Iterable[str]) -> None:
    folded_names: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise _invalid(key, attribute, f"must hold names of models, not {kind_of(name)}")
        if not name or name != name.strip():
            raise _invalid(key, attribute, f"holds {name!r}, which is empty or has spaces around it")
        if fold(name) in folded_names:
            raise _invalid(key, attribute, f"holds {name!r} twice (upper and lower case are the same)")
        folded_names.add(fold(name))


def _invalid(key: Key, attribute: str, problem: str) -> ConfigError:
    return _about(key, ConfigError(f"key '{key.name}': {attribute} {problem}"))


def _about(key: Key, error: ConfigError) -> ConfigError:
    error.key_name = key.name
    return error
