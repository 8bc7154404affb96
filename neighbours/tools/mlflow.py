"""MLflow: `mlflow.openai.autolog()`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow

from neighbours import tracing

KNOWN: set[str] = set()


def instrument() -> None:
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    mlflow.openai.autolog()


def seen() -> Any:
    mlflow.flush_trace_async_logging()
    traces = mlflow.search_traces(return_type="list", max_results=20)
    found = [
        tracing.essence(span.name, span.status.status_code.name == "ERROR", span.attributes)
        for trace in traces
        if trace.info.trace_id not in KNOWN
        for span in trace.data.spans
    ]
    KNOWN.update(trace.info.trace_id for trace in traces)
    return found


SCENARIOS = tracing.scenarios(seen)
