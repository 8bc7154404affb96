"""Numbers that servers tell in /metrics, with a short history; asked for while somebody looks."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import openai

from ..._client import AsyncVLLM

_LINE = re.compile(r"^(vllm:\w+)(?:\{[^}]*\})? ([-+\d.eE]+)", re.MULTILINE)
_SECONDS = 2.0  # between two looks
_PATIENCE = 3.0
_HISTORY = 60
#: Names of one thing, from vLLM 0.8 to 0.33.
_NAMES = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    "hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "tokens": ("vllm:generation_tokens_total",),
    "first_sum": ("vllm:time_to_first_token_seconds_sum",),
    "first_count": ("vllm:time_to_first_token_seconds_count",),
}


class Sample(NamedTuple):
    """One look at a server; None where it does not say.

    Attributes:
        running: requests that it works on.
        waiting: requests in its queue.
        kv_cache: the share of the KV cache in use.
        hits: the share of prompt tokens found in the prefix cache, since the last look or since its start.
        tokens: generated a second, since the last look.
        first: milliseconds to the first token, since the last look or since its start.
    """

    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
    hits: float | None = None
    tokens: float | None = None
    first: float | None = None


class Look(NamedTuple):
    """The counters of one moment."""

    at: float
    values: Mapping[str, float]


def read_metrics(text: str, at: float) -> Look:
    """Read what matters of a server's metrics; engines of one server are added up, but for shares."""
    found: dict[str, list[float]] = {}
    for name, value in _LINE.findall(text):
        found.setdefault(name, []).append(float(value))
    values = {}
    for what, names in _NAMES.items():
        numbers = next((found[name] for name in names if name in found), None)
        if numbers:
            values[what] = max(numbers) if what == "kv_cache" else sum(numbers)
    return Look(at, values)


def compare(look: Look, before: Look | None) -> Sample:
    """Return what a look shows, beside the one before."""
    values = look.values
    earlier = before.values if before is not None else {}

    def since(name: str) -> float | None:
        value = values.get(name)
        if value is None:
            return None
        gained = value - earlier.get(name, 0.0)
        return value if gained < 0 else gained  # it was started anew

    def share(part: str, whole: str) -> float | None:
        gained, total = since(part), since(whole)
        if gained is not None and total:
            return gained / total
        return values[part] / values[whole] if values.get(whole) and part in values else None

    tokens = since("tokens") if before is not None and look.at > before.at else None
    first = share("first_sum", "first_count")
    return Sample(
        running=values.get("running"),
        waiting=values.get("waiting"),
        kv_cache=values.get("kv_cache"),
        hits=share("hits", "queries"),
        tokens=None if tokens is None or before is None else tokens / (look.at - before.at),
        first=None if first is None else first * 1000,
    )


class Upstream:
    """The servers of a gateway, looked at when somebody asks, and not more often than every other second."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._history: dict[str, deque[Sample]] = {}
        self._last = -_SECONDS
        self._lock = asyncio.Lock()

    def history(self, name: str) -> list[Sample]:
        """Return what the last looks at a server showed, oldest first."""
        return list(self._history.get(name, ()))

    async def look(self, client: AsyncVLLM) -> None:
        """Look at every server."""
        async with self._lock:
            if time.monotonic() < self._last + _SECONDS:
                return
            names = [key.name for key in client.keys if key.enabled]
            asking = client.with_options(max_retries=0, timeout=_PATIENCE)
            await asyncio.gather(*(self._look_at(asking, name) for name in names))
            for gone in self._history.keys() - set(names):
                self._history.pop(gone, None)
                self._looks.pop(gone, None)
            self._last = time.monotonic()

    async def _look_at(self, client: AsyncVLLM, name: str) -> None:
        try:
            text = await client.server.metrics(key=name)
        except openai.OpenAIError:
            sample = Sample()
            self._looks.pop(name, None)
        else:
            look = read_metrics(text, time.monotonic())
            sample = compare(look, self._looks.get(name))
            self._looks[name] = look
        self._history.setdefault(name, deque(maxlen=_HISTORY)).append(sample)
