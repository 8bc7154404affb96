"""The servers as they are now, for the script of the page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ..gateway import Gateway
from ..metrics.upstream import Sample

_CHARTS = ("tokens", "running", "kv_cache", "first")


async def live(gateway: Gateway) -> dict[str, Any]:
    """Look at every server, and tell what is known of all of them."""
    if gateway.has_servers:
        await gateway.upstream.look(gateway.client)
    now = datetime.now(timezone.utc)
    return {
        "problem": gateway.problem,
        "servers": [
            {
                "name": status.key_name,
                "url": status.url,
                "state": status.state,
                "seconds": max((now - status.since).total_seconds(), 0.0),
                "again": None if status.until is None else max((status.until - now).total_seconds(), 0.0),
                "reason": status.reason,
                "in_flight": status.in_flight,
                "sessions": status.sessions,
                **_numbers(gateway.upstream.history(status.key_name)),
            }
            for status in gateway.servers()
        ],
        "troubles": [trouble._asdict() for trouble in gateway.troubles.recent()],
    }


def _numbers(history: list[Sample]) -> dict[str, Any]:
    last = history[-1] if history else Sample()
    charts = {name: [getattr(sample, name) for sample in history] for name in _CHARTS}
    return {**last._asdict(), "charts": charts}
