"""OpenTelemetry's httpx: spans of HTTP requests, and `traceparent`, by which vLLM continues the trace."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neighbours.scenario import HELLO, MODEL, Subject, error_of, scenario

EXPORTER = InMemorySpanExporter()


def instrument() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)


def seen(subject: Subject) -> Any:
    spans = EXPORTER.get_finished_spans()
    EXPORTER.clear()
    assert spans or subject.kind == "ours", "the tracer saw nothing"
    carried = ["traceparent" in request.headers for request in subject.sim.requests]
    return [[span.name, span.status.status_code.name] for span in spans], carried


@scenario("chat")
def chat(subject: Subject) -> Any:
    EXPORTER.clear()
    subject.client().chat.completions.create(model=MODEL, messages=HELLO)
    return seen(subject)


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    EXPORTER.clear()
    await subject.async_client().chat.completions.create(model=MODEL, messages=HELLO)
    return seen(subject)


@scenario("stream")
def stream(subject: Subject) -> Any:
    EXPORTER.clear()
    list(subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    return seen(subject)


@scenario("errors")
def error(subject: Subject) -> Any:
    EXPORTER.clear()
    subject.sim.fail_always("400")
    error_of(lambda: subject.client().chat.completions.create(model=MODEL, messages=HELLO))
    return seen(subject)
