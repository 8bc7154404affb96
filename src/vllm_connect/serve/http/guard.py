"""Admission: by the Host that was named, by the Origin of the page that asks, and by an API key.

A page of another site can make a browser send requests here. Under a name of its own that leads to this
machine (DNS rebinding) it could even read the answers: so only names that are the gateway's are answered.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import b64decode
from binascii import Error as NotBase64
from hashlib import sha256

from .errors import Refusal
from .exchange import Exchange
from .settings import LOOPBACK_NAMES, Settings, is_loopback

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_MOST_HOSTS = 256


class Guard:
    """Refuses whoever may not ask.

    Args:
        settings: of the gateway.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digests = [_digest(key) for key in settings.api_keys]
        self._any_host = "*" in settings.allowed_hosts
        self._hosts = {name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts)}
        self._good_hosts: set[bytes] = set()  # values of Host that were found good

    def check(self, exchange: Exchange) -> None:
        """Check a request.

        Raises:
            Refusal: it may not be answered.
        """
        host = exchange.headers.get(b"host", b"")
        if [name for name, _ in exchange.scope["headers"]].count(b"host") > 1:
            raise Refusal(400, "a request must name one Host (RFC 9112, section 3.2)", close=True)
        if host not in self._good_hosts:
            self._check_host(host)
        if b"origin" in exchange.headers or b"sec-fetch-site" in exchange.headers:
            self._check_origin(exchange)
        if self._digests:
            self._check_key(exchange)

    def _check_host(self, header: bytes) -> None:
        match = _AUTHORITY.fullmatch(header.decode("latin-1"))
        name = match[1].strip("[]").lower().removesuffix(".") if match else ""
        if not name or not (self._any_host or name in self._hosts or self._is_number(name)):
            raise Refusal(
                421,
                f"this gateway is not known as {name!r}: start it with --allow-host {name or 'NAME'}",
            )
        if len(self._good_hosts) < _MOST_HOSTS:
            self._good_hosts.add(header)

    def _is_number(self, name: str) -> bool:
        """Tell whether it is an address in figures, which no name server can lead elsewhere."""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self._settings.is_local or is_loopback(name)

    def _check_origin(self, exchange: Exchange) -> None:
        origin = exchange.header(b"origin")
        if origin and origin in self._settings.allowed_origins:
            return
        if origin:
            _, _, authority = origin.partition("://")
            is_own = authority.lower() == exchange.header(b"host").lower()
        else:  # a browser that names no origin asks for itself, or for a link that was followed
            site = exchange.header(b"sec-fetch-site")
            is_own = site in ("same-origin", "none") or (
                exchange.method == "GET" and exchange.header(b"sec-fetch-mode") == "navigate"
            )
        if not is_own:
            raise Refusal(
                403,
                "a page of another site may not ask this gateway: if it is yours, use --allow-origin",
            )

    def _check_key(self, exchange: Exchange) -> None:
        given = _digest(_key_in(exchange))
        # All of them, so that the time tells nothing.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        if not any(matches):
            raise Refusal(
                401,
                "this gateway asks for an API key: send it as Authorization: Bearer KEY",
                code="invalid_api_key",
                headers=(
                    (
                        b"www-authenticate",
                        b'Basic realm="vllm-connect, any name, the API key", charset="UTF-8"',
                    ),
                ),
            )


def _key_in(exchange: Exchange) -> str:
    """The key that a request presents: as OpenAI's and Anthropic's clients do, or as browsers do."""
    scheme, _, value = exchange.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(value).decode().partition(":")[2]
        except (NotBase64, UnicodeDecodeError):
            return ""
    return exchange.header(b"x-api-key")


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
