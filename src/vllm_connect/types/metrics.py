"""A server's metrics: Prometheus' text, and what vLLM means by it."""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)", re.MULTILINE)
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One number: of a metric, with labels."""

    name: str
    labels: dict[str, str]
    value: float


class ServerMetrics(str):
    """The text of /metrics, and the numbers in it that tell how a vLLM server is doing.

    Numbers are sums over engines and models; those that the server does not tell are None.
    """

    __slots__ = ("__dict__",)

    @cached_property
    def samples(self) -> list[Sample]:
        """Every number of the text."""
        return [Sample(name, _labels(labels), float(value)) for name, labels, value in _LINE.findall(self)]

    @cached_property
    def _by_name(self) -> dict[str, list[Sample]]:
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            found.setdefault(sample.name, []).append(sample)
        return found

    def total(self, name: str, **labels: str) -> float | None:
        """Add up a metric.

        Args:
            name: e.g. ``"vllm:num_requests_running"``.
            labels: only samples that have these.

        Returns:
            The sum, None if there is no such sample.
        """
        values = [
            sample.value for sample in self._by_name.get(name, ()) if labels.items() <= sample.labels.items()
        ]
        return sum(values) if values else None

    @property
    def running(self) -> float | None:
        """Requests that are generated now."""
        return self.total("vllm:num_requests_running")

    @property
    def waiting(self) -> float | None:
        """Requests that wait for their turn."""
        return self.total("vllm:num_requests_waiting")

    @property
    def kv_cache_usage(self) -> float | None:
        """The used part of the KV cache, from 0 to 1; of several engines, the fullest."""
        for name in ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"):  # before 0.11 the latter
            if samples := self._by_name.get(name):
                return max(sample.value for sample in samples)
        return None

    @property
    def prefix_cache_queries(self) -> float | None:
        """Tokens that were looked up in the prefix cache."""
        return self._either("vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries")

    @property
    def prefix_cache_hits(self) -> float | None:
        """Tokens that were found there."""
        return self._either("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits")

    @property
    def prefix_cache_hit_rate(self) -> float | None:
        """The part of them that was found; None before anything was looked up."""
        queries, hits = self.prefix_cache_queries, self.prefix_cache_hits
        return None if not queries or hits is None else hits / queries

    @property
    def prompt_tokens(self) -> float | None:
        """Tokens of prompts since the server began."""
        return self._either("vllm:prompt_tokens")

    @property
    def generation_tokens(self) -> float | None:
        """Tokens generated since the server began."""
        return self._either("vllm:generation_tokens")

    @property
    def preemptions(self) -> float | None:
        """The number of times that a request had to make room since the server began."""
        return self._either("vllm:num_preemptions")

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds to the first token, on average since the server began; None before there was one."""
        total = self.total("vllm:time_to_first_token_seconds_sum")
        count = self.total("vllm:time_to_first_token_seconds_count")
        return None if not count or total is None else total / count

    def _either(self, *names: str) -> float | None:
        """A counter by any of its names, which end with _total or not."""
        for name in names:
            for spelt in (f"{name}_total", name):
                if (found := self.total(spelt)) is not None:
                    return found
        return None


def _labels(text: str) -> dict[str, str]:
    if not text:
        return {}
    return {name: _ESCAPE.sub(_unescaped, value) for name, value in _LABEL.findall(text)}


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
