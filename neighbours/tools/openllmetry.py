"""OpenLLMetry: `OpenAIInstrumentor` of opentelemetry-instrumentation-openai (Traceloop)."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neighbours import tracing

EXPORTER = InMemorySpanExporter()


def instrument() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    OpenAIInstrumentor().instrument(tracer_provider=provider)


def seen() -> Any:
    return tracing.spans(EXPORTER)


SCENARIOS = tracing.scenarios(seen)
