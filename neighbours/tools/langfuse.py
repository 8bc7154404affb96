"""Langfuse: importing `langfuse.openai` patches the SDK."""

from __future__ import annotations

from typing import Any

from langfuse import Langfuse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neighbours import tracing

EXPORTER = InMemorySpanExporter()
CLIENTS: list[Langfuse] = []


def instrument() -> None:
    from langfuse import openai

    assert openai
    CLIENTS.append(
        Langfuse(
            public_key="public",
            secret_key="secret",
            base_url="http://127.0.0.1:9",
            tracer_provider=TracerProvider(),
            span_exporter=EXPORTER,
        )
    )


def seen() -> Any:
    CLIENTS[0].flush()
    return tracing.spans(EXPORTER)


SCENARIOS = tracing.scenarios(seen)
