"""LangSmith: `wrap_openai`, which wraps the methods of one client."""

from __future__ import annotations

from typing import Any

from langsmith import Client, tracing_context
from langsmith.wrappers import wrap_openai

from neighbours import tracing
from neighbours.scenario import Scenario, Subject

RUNS: list[Any] = []
UNSEEN = ("chat_of_a_copy", "embeddings", "embeddings_async")


class Memory(Client):
    """Keeps what it is told of, instead of sending it."""

    def create_run(self, name: str, inputs: Any, run_type: Any, **more: Any) -> None:
        RUNS.append(tracing.essence(name, more.get("error"), [inputs, more.get("outputs")]))

    def update_run(self, run_id: Any, **more: Any) -> None:
        RUNS.append(tracing.essence("end", more.get("error"), more.get("outputs")))


class Wrapped(Subject):
    """Makes clients that are wrapped."""

    def client(self, **arguments: Any) -> Any:
        return wrap_openai(super().client(**arguments))

    def async_client(self, **arguments: Any) -> Any:
        return wrap_openai(super().async_client(**arguments))


def seen() -> Any:
    found = list(RUNS)
    RUNS.clear()
    return found


def wrapped(scenario: Scenario) -> Scenario:
    client = Memory(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)

    def run(subject: Subject) -> Any:
        with tracing_context(enabled=True, client=client):
            return scenario.run(Wrapped(subject.kind, subject.url, subject.sim))

    async def run_async(subject: Subject) -> Any:
        with tracing_context(enabled=True, client=client):
            return await scenario.run(Wrapped(subject.kind, subject.url, subject.sim))

    return Scenario(scenario.name, scenario.column, run_async if scenario.name.endswith("_async") else run)


SCENARIOS = [wrapped(each) for each in tracing.scenarios(seen, without=UNSEEN)]
