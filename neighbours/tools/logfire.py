"""Logfire: `logfire.instrument_openai()`, for all clients at once."""

from __future__ import annotations

from typing import Any

import logfire
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neighbours import tracing

EXPORTER = InMemorySpanExporter()


def instrument() -> None:
    processors = [SimpleSpanProcessor(EXPORTER)]
    logfire.configure(
        send_to_logfire=False, console=False, inspect_arguments=False, additional_span_processors=processors
    )
    logfire.instrument_openai()


def seen() -> Any:
    return tracing.spans(EXPORTER)


SCENARIOS = tracing.scenarios(seen)
