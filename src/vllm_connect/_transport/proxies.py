"""Proxies: which one a URL is reached by, if any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any

from ._httpx import httpx

Proxy = httpx.Proxy | httpx.URL | str

_PORTS = {"http": 80, "https": 443}
_EXCEPTION = re.compile(
    r"(?:(?P<scheme>\w+)://)?"
    r"(?P<host>\[[^]]*\](?:/\d+)?|[^:/]*(?:/\d+)?|[^/]*:[^/]*:[^/]*(?:/\d+)?)"
    r"(?::(?P<port>\d+))?/?"
)


def proxy_for(url: httpx.URL, proxies: Mapping[str, Any]) -> Proxy | None:
    """Return the proxy for a URL among those of `urllib.request.getproxies`, None if there is none."""
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or url.scheme not in _PORTS or _is_excepted(url, proxies.get("no", "")):
        return None
    return f"http://{proxy}" if isinstance(proxy, str) and "://" not in proxy else proxy


def _is_excepted(url: httpx.URL, no_proxy: str) -> bool:
    """Tell whether NO_PROXY lists a URL: ``[scheme://]host[:port]``, the host by name, address or network.

    ``*`` means every host; a name its subdomains, too, unless it has a scheme, as in httpx; ``*.name`` and
    ``.name`` those even then.
    """
    for entry in no_proxy.lower().split(","):
        match = _EXCEPTION.fullmatch(entry.strip())
        if match is None or match["scheme"] not in (None, "all", url.scheme):
            continue
        if match["port"] and int(match["port"]) != (url.port or _PORTS[url.scheme]):
            continue
        if _is_host(url.host, match["host"], exactly=match["scheme"] is not None):
            return True
    return False


def _is_host(host: str, pattern: str, exactly: bool) -> bool:
    if pattern == "*":
        return True
    name = pattern.removeprefix("*").removeprefix(".").replace("[", "").replace("]", "")
    if host == name:
        return True
    if name and host.endswith(f".{name}") and (not exactly or name != pattern):
        return True
    with suppress(ValueError):
        return ip_address(host) in ip_network(name, strict=False)
    return False
