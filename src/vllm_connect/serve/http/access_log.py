"""One line for each request: who, what, how it went, where it went, how long it took."""

from __future__ import annotations

import logging
from time import perf_counter

from .exchange import Exchange

_LOGGER = logging.getLogger("vllm_connect.serve.access")


def log(exchange: Exchange, ended: str) -> None:
    """Log a request.

    Args:
        exchange: the request.
        ended: how it ended, ``""`` if as it should.
    """
    if not _LOGGER.isEnabledFor(logging.INFO):
        return
    client = exchange.scope.get("client")
    parts = [
        client[0] if client else "-",
        exchange.method,
        _printable(exchange.path),
        str(exchange.status or "-"),
        f"{(perf_counter() - exchange.began) * 1000:.1f}ms",
    ]
    if exchange.model is not None:
        parts.append(f"model={_printable(exchange.model)}")
    if exchange.key_name is not None:
        parts.append(f"key={_printable(exchange.key_name)}")
    if exchange.first:
        parts.append(f"first={(exchange.first - exchange.began) * 1000:.1f}ms")
    parts.append(f"bytes={exchange.bytes_sent}")
    if problem := ended or exchange.failure:
        parts.append(f"({problem})")
    _LOGGER.info(" ".join(parts))


def _printable(text: str) -> str:
    """A client's text on one line, and without what terminals obey."""
    return text[:200].encode("unicode_escape").decode().replace(" ", "\\x20")
