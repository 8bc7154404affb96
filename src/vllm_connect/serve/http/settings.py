"""Settings of a gateway, which the command line decides."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        api_keys: what a client must present, one of them; none asks for nothing.
        allowed_hosts: further names by which the gateway may be addressed; ``*`` for any.
        allowed_origins: further web origins whose pages may send requests.
        max_body: bytes of a request's body, at most.
        max_connections: connections at once, at most.
        grace: seconds that streams may take to end when the gateway stops.
        access_log: whether each request is logged.
        head_seconds: for the head of a request to arrive.
        body_seconds: for each next part of a body to arrive.
        stall_seconds: for a client that does not read to go on reading.
        idle_seconds: for which an idle connection is kept.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body: int = 64 * MEBIBYTE
    max_connections: int = 4096
    grace: float = 30.0
    access_log: bool = True
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    stall_seconds: float = 60.0
    idle_seconds: int = 75

    def __post_init__(self) -> None:
        if not self.is_local and not self.api_keys:
            raise ConfigError(
                f"--host {self.host} lets others in: give --api-key, too (KEY, or env.NAME), "
                "or listen on 127.0.0.1"
            )

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's own, by its name or number."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_api_keys(values: Sequence[str]) -> tuple[str, ...]:
    """Read API keys, of which each may be ``env.NAME``.

    Raises:
        ConfigError: a variable is not set, or a key is empty.
    """
    return tuple(_read(value) for value in values)


def _read(value: str) -> str:
    if value.startswith("env."):
        found = os.environ.get(value[4:], "")
        if not found.strip():
            raise ConfigError(f"environment variable {value[4:]}, named by --api-key, is not set")
        value = found
    if not (value := value.strip()):
        raise ConfigError("--api-key is empty: leave it out, or give a key")
    return value
