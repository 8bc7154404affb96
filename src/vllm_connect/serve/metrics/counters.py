"""Requests, errors, times and tokens, for Prometheus.

Labels are the operation, the key and the model. A model counts under its own name once a server has answered
for it: names that anybody may invent make no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..._keys.key import split_prefix
from ...types import ServerStatus
from ..http.exchange import Exchange

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_LABELS = ("operation", "model", "key")
_STATES = ("healthy", "resting", "probing")


class Counters:
    """The counters of one gateway.

    Args:
        servers: tells how the servers are.
    """

    def __init__(self, servers: Callable[[], Iterable[ServerStatus]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Servers(servers))
        self._requests = Counter(
            "vllm_connect_requests", "Requests.", (*_LABELS, "status"), registry=self._registry
        )
        self._errors = Counter(
            "vllm_connect_errors", "Requests that failed.", (*_LABELS, "error"), registry=self._registry
        )
        self._tokens = Counter(
            "vllm_connect_tokens",
            "Tokens, as servers count them.",
            (*_LABELS, "kind"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "vllm_connect_request_seconds",
            "Whole requests.",
            _LABELS,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._first = Histogram(
            "vllm_connect_time_to_first_token_seconds",
            "Until the first event of a stream, or a whole reply, went out.",
            _LABELS,
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count(self, exchange: Exchange) -> None:
        """Count a request that is over."""
        answered = exchange.key_name is not None and exchange.status == 200
        model = split_prefix(exchange.model) if answered and exchange.model else ""
        labels = exchange.operation, model, exchange.key_name or ""
        self._requests.labels(*labels, str(exchange.status)).inc()
        self._seconds.labels(*labels).observe(perf_counter() - exchange.began)
        if exchange.failure:
            self._errors.labels(*labels, exchange.failure).inc()
        elif exchange.first:
            self._first.labels(*labels).observe(exchange.first - exchange.began)
        for kind, tokens in _tokens(exchange.usage):
            self._tokens.labels(*labels, kind).inc(tokens)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)


def _tokens(usage: object) -> Iterator[tuple[str, int]]:
    """Kinds and numbers of tokens, under any of the names that servers have for them."""
    if usage is None:
        return
    prompt = _number(usage, "prompt_tokens") or _number(usage, "input_tokens")
    completion = _number(usage, "completion_tokens") or _number(usage, "output_tokens")
    details = _field(usage, "prompt_tokens_details") or _field(usage, "input_tokens_details")
    cached = _number(details, "cached_tokens") or _number(usage, "cache_read_input_tokens")
    for kind, number in (("input", prompt), ("output", completion), ("cached", cached)):
        if number:
            yield kind, number


def _number(source: object, name: str) -> int:
    value = _field(source, name)
    return value if isinstance(value, int) and value > 0 else 0


def _field(source: object, name: str) -> object:
    return source.get(name) if isinstance(source, dict) else getattr(source, name, None)


class _Servers(Collector):
    """The state of the servers, at the moment that somebody asks."""

    def __init__(self, servers: Callable[[], Iterable[ServerStatus]]) -> None:
        self._servers = servers

    def collect(self) -> Iterable[Metric]:
        in_flight = GaugeMetricFamily(
            "vllm_connect_requests_in_flight", "Requests that run on a server.", labels=["key"]
        )
        state = GaugeMetricFamily(
            "vllm_connect_server_state", "1 for the state that a server is in.", labels=["key", "state"]
        )
        for server in self._servers():
            in_flight.add_metric([server.key_name], server.in_flight)
            for name in _STATES:
                state.add_metric([server.key_name, name], float(server.state == name))
        return in_flight, state
