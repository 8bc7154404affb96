"""Bifrost's own configuration file, read for its ``vllm`` provider.

Accepted are the whole document (``{"providers": {"vllm": {…}}}``), the provider alone
(``{"keys": […], …}``) and a bare list of keys. What becomes of each field:

    of a key
      name (or id), value, models, blacklisted_models, weight, aliases,
      enabled, vllm_key_config.url, vllm_key_config.model_name           a `Key`
      id, status, description, config_hash, use_for_batch_api            the gateway's own: ignored
      use_anthropic_endpoints                                            warning if true
      anything else                                                      error
    of network_config
      default_request_timeout_in_seconds, max_retries, extra_headers,
      keep_alive_timeout_in_seconds, max_conns_per_host,
      insecure_skip_verify, ca_cert_pem                                  `ProviderConfig`
      stream_idle_timeout_in_seconds,
      retry_backoff_initial, retry_backoff_max                           `ProviderConfig.policy`
      base_url                                                           warning: Bifrost ignores it too
      anything else                                                      warning if set
    of key_selection
      strategy                                                           `ProviderConfig.balance`
      sticky_limit, cooldown_seconds                                     `ProviderConfig.policy`
    of the provider
      proxy_config                                                       `ProviderConfig.proxy`
      name, provider, status, description, config_hash,
      concurrency_and_buffer_size, store_raw_request_response            the gateway's own: ignored
      anything else                                                      warning if set
    of the document
      version                                                            1: ``"models": []`` allows all
      anything else                                                      not read

A field that is missing, null, or (a time or a limit) 0 means this client's default, which need not
be Bifrost's. So a key without ``models`` allows all; with an empty list, none, as in Bifrost 1.5.
References to the environment (``"env.NAME"``, or ``{"value", "env_var", "from_env"}``) stay references,
which are read when they are used. No message quotes a secret.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .._transport._httpx import httpx
from .._transport.clients import LIMITS, TIMEOUT
from ..errors import ConfigError
from .balancing import Balance
from .document import Node, open_document
from .key import Key, check_keys
from .policy import Policy
from .references import HEADER_NAME, SENDABLE, is_url, kind_of, masked, read


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """The way to the servers: ``proxy_config``. Its strings may be references to the environment.

    Attributes:
        type: ``http`` and ``socks5`` use ``url``; ``environment`` the usual variables
            (``HTTPS_PROXY`` …); ``none`` no proxy at all, not even those.
        url: where the proxy is.
        username: for the proxy.
        password: for the proxy.
        ca_cert_pem: a certificate authority to trust for the proxy.
    """

    type: Literal["none", "http", "socks5", "environment"]
    url: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca_cert_pem: str | None = field(default=None, repr=False)

    def address(self) -> tuple[str, tuple[str, str] | None] | None:
        """The proxy's URL and credentials; None if ``type`` is ``none`` or ``environment``.

        Raises:
            ConfigError: a reference leads nowhere, or the URL is not that of a proxy.
        """
        if self.type not in ("http", "socks5"):
            return None
        url = _resolved(self.url, "proxy_config.url")
        url = url if "://" in url else f"{self.type}://{url}"
        schemes = ("http://", "https://") if self.type == "http" else ("socks5://", "socks5h://")
        if not re.fullmatch(rf"(?:{'|'.join(schemes)})[^\s/]+/?", url, re.IGNORECASE) or not is_url(url):
            raise ConfigError(
                f"proxy_config.url {masked(url)!r} is not of the form {schemes[0]}HOST:PORT, "
                f"as type {self.type!r} needs"
            )
        username = _resolved(self.username, "proxy_config.username")
        return url, (username, _resolved(self.password, "proxy_config.password")) if username else None

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context that verifies an ``https`` proxy, or None for the default."""
        return _ssl_context(True, self.ca_cert_pem, "proxy_config.ca_cert_pem")


@dataclass(frozen=True, kw_only=True)
class ProviderConfig:
    """The keys of a configuration, and how to talk to their servers; None means the client's default.

    Attributes:
        keys: the servers, at least one.
        timeout: seconds to wait for a reply, or for the next part of a stream.
        max_retries: how often a request that failed is repeated.
        policy: how long to wait, between repetitions and for the parts of a stream.
        balance: how one of several keys is chosen (``key_selection``).
        extra_headers: sent with every request; a key's own credentials replace an ``Authorization`` here.
        verify: False accepts any certificate (``insecure_skip_verify``).
        ca_cert_pem: a certificate authority to trust besides the system's; may be a reference.
        max_connections: connections to one server, at most.
        keep_alive_timeout: seconds after which an idle connection is closed.
        proxy: how to reach the servers.
    """

    keys: tuple[Key, ...]
    timeout: float | None = None
    max_retries: int | None = None
    policy: Policy | None = None
    balance: Balance | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    verify: bool = True
    ca_cert_pem: str | None = field(default=None, repr=False)
    max_connections: int | None = None
    keep_alive_timeout: float | None = None
    proxy: ProxyConfig | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context that verifies the servers, or None for the default.

        Raises:
            ConfigError: ``ca_cert_pem`` is no certificate, or a reference that leads nowhere.
        """
        return _ssl_context(self.verify, self.ca_cert_pem, "network_config.ca_cert_pem")

    def arguments(self, make_http_client: Callable[..., Any]) -> dict[str, Any]:
        """The arguments of a client's constructor that these settings stand for.

        Args:
            make_http_client: is called with ``limits``, ``verify``, ``proxy`` and ``trust_env`` as far
                as these settings say something about them, and not at all if they say nothing.

        Raises:
            ConfigError: a reference leads nowhere, or a certificate or the proxy's URL is not one.
        """
        arguments = {
            "timeout": self.timeout and httpx.Timeout(self.timeout, connect=TIMEOUT.connect, pool=None),
            "max_retries": self.max_retries,
            "policy": self.policy,
            "balance": self.balance,
            "default_headers": dict(self.extra_headers) or None,
        }
        transport: dict[str, Any] = {"verify": self.ssl_context()}
        if self.max_connections or self.keep_alive_timeout:
            # httpx counts the connections to all servers together.
            most = self.max_connections and self.max_connections * len(self.keys)
            transport["limits"] = httpx.Limits(
                max_connections=most or LIMITS.max_connections,
                max_keepalive_connections=most or LIMITS.max_keepalive_connections,
                keepalive_expiry=self.keep_alive_timeout or LIMITS.keepalive_expiry,
            )
        if self.proxy:
            address = self.proxy.address()
            if address:
                url, auth = address
                transport["proxy"] = httpx.Proxy(url, auth=auth, ssl_context=self.proxy.ssl_context())
            else:
                transport["trust_env"] = self.proxy.type == "environment"
        transport = {name: value for name, value in transport.items() if value is not None}
        if transport:
            arguments["http_client"] = make_http_client(**transport)
        return {"keys": self.keys, **{name: value for name, value in arguments.items() if value is not None}}


def load_keys(config: str | os.PathLike[str] | Mapping[str, object] | Sequence[Any]) -> ProviderConfig:
    """Read a configuration: the path of a JSON file, or what is in one.

    Raises:
        ConfigError: says the file, the place in it, and what to do.
    """
    document = open_document(config)
    provider, empty_means_all = document, False
    if isinstance(document.value, Mapping):
        if "providers" in document.value:
            empty_means_all = document["version"].value == 1
            providers = document["providers"]
            present = ", ".join(map(str, providers.mapping()))
            provider = providers["vllm"]
            if provider.value is None:
                raise providers.error(f"no provider 'vllm': there is {present or 'none at all'}")
        elif "keys" not in document.value:
            raise document.error("has neither 'providers' nor 'keys', and is no list of keys")
        provider.check_fields("keys network_config proxy_config key_selection", _GATEWAYS_OWN, strict=False)
        listed = provider["keys"]
    else:
        provider, listed = Node({}, document.source, ""), document

    if isinstance(listed.value, str) or not isinstance(listed.value, Sequence):
        raise listed.error(f"must be a list of keys, not {kind_of(listed.value)}")
    keys = [
        _key(Node(value, listed.source, f"{listed.path}[{index}]"), empty_means_all)
        for index, value in enumerate(listed.value)
    ]
    try:
        check_keys(keys)
    except ConfigError as error:
        raise listed.error(str(error)) from None
    network, selection = _network(provider["network_config"]), provider["key_selection"]
    return ProviderConfig(
        keys=tuple(keys),
        proxy=_proxy(provider["proxy_config"]),
        policy=_policy(provider["network_config"], selection),
        balance=_balance(selection),
        **network,
    )


_GATEWAYS_OWN = (
    "name provider id status description config_hash use_for_batch_api "
    "concurrency_and_buffer_size store_raw_request_response"
)


# Where people who know `Key` would write them.
def _key(node: Node, empty_means_all: bool) -> Key:
    node.check_fields(
        "name value models blacklisted_models weight aliases enabled vllm_key_config",
        _GATEWAYS_OWN,
        without_effect="use_anthropic_endpoints",
    )
    server = node["vllm_key_config"]
    server.check_fields("url model_name")
    name = node["name"].value or node["id"].value
    if not isinstance(name, str):
        raise node["name"].error("must be a string: every key needs a name")
    places = {
        "name": node["name"],
        "url": server["url"],
        "api_key": node["value"],
        "model_name": server["model_name"],
        "aliases": node["aliases"],
    }
    places |= {name: node[name] for name in ("models", "blacklisted_models", "weight", "enabled")}
    attributes: dict[str, Any] = {attribute: place.value for attribute, place in places.items()}
    attributes |= {"name": name, "url": server["url"].secret(), "api_key": node["value"].secret()}
    if empty_means_all and attributes["models"] == []:
        attributes["models"] = ["*"]
    if isinstance(attributes["aliases"], Mapping):
        attributes["aliases"] = {source: _alias(node["aliases"][source]) for source in attributes["aliases"]}
    attributes = {attribute: value for attribute, value in attributes.items() if value is not None}
    for attribute, value in attributes.items():
        # One at a time, to be able to say where in the document the culprit is.
        try:
            Key(**{"name": name, attribute: value})
        except ConfigError as error:
            raise places[attribute].error(str(error)) from None
    return Key(**attributes)


def _alias(node: Node) -> Any:
    """The plain form of an alias, whose long form is ``{"model_id": …}``; `Key` checks what is in it."""
    if not isinstance(node.value, Mapping):
        return node.value
    node.check_fields(
        "model_id", "model_name model_family description", without_effect="use_anthropic_endpoints"
    )
    return node["model_id"].value


def _network(node: Node) -> dict[str, Any]:
    node.check_fields(
        "default_request_timeout_in_seconds stream_idle_timeout_in_seconds keep_alive_timeout_in_seconds "
        "max_retries retry_backoff_initial retry_backoff_max max_conns_per_host extra_headers "
        "insecure_skip_verify ca_cert_pem",
        strict=False,
    )
    retries = node["max_retries"]
    headers = node["extra_headers"]
    for header, value in headers.mapping().items():
        if not HEADER_NAME.fullmatch(str(header)):
            raise headers.error(f"{str(header)!r} is not the name of a header")
        if not (isinstance(value, str) and SENDABLE.fullmatch(value)):
            raise headers[header].error("must be a string of ASCII characters")
    ca_cert_pem = node["ca_cert_pem"].secret()
    if ca_cert_pem and not ca_cert_pem.startswith("env.") and "BEGIN CERTIFICATE" not in ca_cert_pem:
        raise node["ca_cert_pem"].error("must be a certificate in PEM form, or 'env.NAME'")
    return {
        "timeout": node["default_request_timeout_in_seconds"].number(),
        "keep_alive_timeout": node["keep_alive_timeout_in_seconds"].number(),
        # Here alone, 0 means 0.
        "max_retries": None if retries.value is None else retries.number(whole=True) or 0,
        "max_connections": node["max_conns_per_host"].number(whole=True),
        "extra_headers": dict(headers.mapping()),
        "verify": not node["insecure_skip_verify"].flag(),
        "ca_cert_pem": ca_cert_pem,
    }


_BALANCES: dict[object, Balance] = {
    "weighted_random": "weighted",
    "round_robin": "round_robin",
    "least_used": "least_busy",
    "fill_first": "fill_first",
}


def _balance(selection: Node) -> Balance | None:
    selection.check_fields("strategy sticky_limit cooldown_seconds", strict=False)
    strategy = selection["strategy"]
    if strategy.value in (None, ""):
        return None
    if not isinstance(strategy.value, str) or strategy.value not in _BALANCES:
        raise strategy.error(f"must be {' or '.join(map(repr, _BALANCES))}, not {strategy.value!r}")
    return _BALANCES[strategy.value]


def _policy(network: Node, selection: Node) -> Policy | None:
    values = {
        "stream_idle_timeout": network["stream_idle_timeout_in_seconds"].number(),
        "retry_backoff_initial": network["retry_backoff_initial"].duration(),
        "retry_backoff_max": network["retry_backoff_max"].duration(),
        "cooldown": selection["cooldown_seconds"].number(),
        "sticky_limit": selection["sticky_limit"].number(whole=True),
    }
    given = {name: value for name, value in values.items() if value is not None}
    return Policy(**given) if given else None


def _proxy(node: Node) -> ProxyConfig | None:
    if not node.mapping():
        return None
    node.check_fields("type url username password ca_cert_pem")
    strings = {name: node[name].secret() for name in ("url", "username", "password", "ca_cert_pem")}
    kind = node["type"].value
    if kind not in ("none", "http", "socks5", "environment"):
        raise node["type"].error("must be 'none', 'http', 'socks5' or 'environment'")
    if kind in ("http", "socks5") and not strings["url"]:
        raise node["url"].error(f"is needed by a proxy of type '{kind}'")
    return ProxyConfig(type=kind, **strings)


def _resolved(value: str | None, place: str) -> str:
    text, variable = read(value)
    if variable and not text:
        raise ConfigError(f"{place} refers to environment variable {variable}, which is empty or not set")
    return text


def _ssl_context(verify: bool, ca_cert_pem: str | None, place: str) -> ssl.SSLContext | None:
    if verify and not ca_cert_pem:
        return None
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_cert_pem:
        try:
            context.load_verify_locations(cadata=_resolved(ca_cert_pem, place))
        except (ssl.SSLError, ValueError):
            raise ConfigError(f"{place} is not a certificate in PEM form") from None
    return context
