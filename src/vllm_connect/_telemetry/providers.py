"""The tracer and the histograms of the providers that are set."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._version import __version__

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class Instruments(NamedTuple):
    """OpenTelemetry's tracer and histograms."""

    tracer: Any
    duration: Any
    first_chunk: Any
    tokens: Any


_made: dict[tuple[int, int], tuple[object, object, Instruments]] = {}


def instruments() -> Instruments:
    """The instruments of the providers that are set now."""
    from opentelemetry import metrics, trace

    tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    made = _made.get((id(tracers), id(meters)))
    if made is not None:
        return made[2]
    meter = meters.get_meter("vllm_connect", __version__)
    written = Instruments(
        tracers.get_tracer("vllm_connect", __version__),
        _histogram(meter, "operation.duration", "s", "How long an operation took.", _SECONDS),
        _histogram(meter, "operation.time_to_first_chunk", "s", "Until a stream's first chunk.", _FIRST),
        _histogram(meter, "token.usage", "{token}", "Tokens of prompts and of answers.", _TOKENS),
    )
    _made[id(tracers), id(meters)] = tracers, meters, written  # held, so that their ids stay theirs
    return written


def _histogram(meter: Any, name: str, unit: str, description: str, bounds: tuple[float, ...]) -> Any:
    return meter.create_histogram(
        f"gen_ai.client.{name}",
        unit=unit,
        description=description,
        explicit_bucket_boundaries_advisory=bounds,
    )
