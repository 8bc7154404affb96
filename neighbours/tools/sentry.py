"""Sentry: its integration for OpenAI, which is on where the SDK is installed."""

from __future__ import annotations

from typing import Any

import sentry_sdk
from sentry_sdk.integrations.openai import OpenAIIntegration
from sentry_sdk.transport import Transport

from neighbours import tracing
from neighbours.scenario import Scenario, Subject

EVENTS: list[Any] = []


class Memory(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        EVENTS.extend(item.payload.json for item in envelope.items if item.type == "span")


def instrument() -> None:
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Memory,
        traces_sample_rate=1.0,
        send_default_pii=True,
        integrations=[OpenAIIntegration(include_prompts=True)],
    )


def seen() -> Any:
    sentry_sdk.flush(5)
    spans = [span for event in EVENTS for span in event["items"] if "gen_ai" in str(span["attributes"])]
    EVENTS.clear()
    return [
        tracing.essence(
            each["name"], each["status"] != "ok", {k: v["value"] for k, v in each["attributes"].items()}
        )
        for each in spans
    ]


def in_transaction(scenario: Scenario) -> Scenario:
    """Run a call within a transaction, without which there are no spans."""

    def run(subject: Subject) -> Any:
        seen()
        with sentry_sdk.start_transaction(name="test"):
            scenario.run(subject)
        return tracing.something(subject, seen())

    async def run_async(subject: Subject) -> Any:
        seen()
        with sentry_sdk.start_transaction(name="test"):
            await scenario.run(subject)
        return tracing.something(subject, seen())

    return Scenario(scenario.name, scenario.column, run_async if scenario.name.endswith("_async") else run)


SCENARIOS = [
    in_transaction(Scenario(call.__name__, column, call))
    for column, call in tracing.CALLS
    if call not in (tracing.completions, tracing.parse)
]
