"""The calls that every tracer should see, as scenarios that return what it saw."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .scenario import MODEL, Column, Scenario, Subject, async_error_of, error_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

QUESTION, ANSWER = "What is the capital of France?", "Paris"
CHAT: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": QUESTION}],
    "temperature": 0.0,
    "extra_body": {"top_k": 3},
}


class Person(BaseModel):
    """What a structured answer is."""

    name: str


def chat(subject: Subject) -> None:
    """Ask."""
    subject.client().chat.completions.create(**CHAT)


async def chat_async(subject: Subject) -> None:
    """Ask."""
    await subject.async_client().chat.completions.create(**CHAT)


def chat_of_a_copy(subject: Subject) -> None:
    """Ask by a copy of the client."""
    subject.client().with_options(timeout=60).chat.completions.create(**CHAT)


def stream(subject: Subject) -> None:
    """Read a stream to its end."""
    options = {"include_usage": True}
    completions: Any = subject.client().chat.completions
    for _ in completions.create(**CHAT, stream=True, stream_options=options):
        pass


async def stream_async(subject: Subject) -> None:
    """Read a stream to its end."""
    options = {"include_usage": True}
    completions: Any = subject.async_client().chat.completions
    async for _ in await completions.create(**CHAT, stream=True, stream_options=options):
        pass


def parse(subject: Subject) -> None:
    """Ask for an object."""
    subject.client().chat.completions.parse(**CHAT, response_format=Person)


def completions(subject: Subject) -> None:
    """Complete a text."""
    subject.client().completions.create(model=MODEL, prompt=QUESTION)


def embeddings(subject: Subject) -> None:
    """Embed."""
    subject.client().embeddings.create(model=MODEL, input=[QUESTION, "b"])


async def embeddings_async(subject: Subject) -> None:
    """Embed."""
    await subject.async_client().embeddings.create(model=MODEL, input=QUESTION)


def responses(subject: Subject) -> None:
    """Ask by the Responses API."""
    subject.client().responses.create(model=MODEL, input=QUESTION)


async def responses_async(subject: Subject) -> None:
    """Ask by the Responses API."""
    await subject.async_client().responses.create(model=MODEL, input=QUESTION)


def responses_stream(subject: Subject) -> None:
    """Read a stream of the Responses API to its end."""
    for _ in subject.client().responses.create(model=MODEL, input=QUESTION, stream=True):
        pass


def error(subject: Subject) -> None:
    """Ask a server that refuses."""
    subject.sim.fail_always("400")
    error_of(lambda: chat(subject))


async def error_async(subject: Subject) -> None:
    """Ask a server that refuses."""
    subject.sim.fail_always("400")
    await async_error_of(chat_async(subject))


CALLS: tuple[tuple[Column, Callable[[Subject], Any]], ...] = (
    ("chat", chat),
    ("chat", chat_async),
    ("chat", chat_of_a_copy),
    ("stream", stream),
    ("stream", stream_async),
    ("structured", parse),
    ("own", completions),
    ("embeddings", embeddings),
    ("embeddings", embeddings_async),
    ("responses", responses),
    ("responses", responses_async),
    ("responses", responses_stream),
    ("errors", error),
    ("errors", error_async),
)


def scenarios(seen: Callable[[], Any], without: tuple[str, ...] = ()) -> list[Scenario]:
    """Make a scenario of each call.

    Args:
        seen: Returns what the tracer has seen since it was called last, and forgets it.
        without: Calls that this tracer does not look at.
    """

    def of(column: Column, call: Callable[[Subject], Any]) -> Scenario:
        async def run_async(subject: Subject) -> Any:
            seen()
            await call(subject)
            return something(subject, comparably(call, seen()))

        def run(subject: Subject) -> Any:
            seen()
            call(subject)
            return something(subject, comparably(call, seen()))

        return Scenario(call.__name__, column, run_async if call.__name__.endswith("_async") else run)

    return [of(column, call) for column, call in CALLS if call.__name__ not in without]


def comparably(call: Callable[[Subject], Any], found: Any) -> Any:
    """What was found without what differs on purpose: our `parse` shows the model the schema."""
    for each in found if call is parse else ():
        del each["tokens"]
    return found


def something(subject: Subject, found: Any) -> Any:
    """Return what was found; a tracer that does not see the stock client is no tracer, and proves nothing."""
    if not found and subject.kind == "stock":
        raise AssertionError("the tracer saw nothing")
    return found


def essence(operation: str, failed: object, data: Any) -> dict[str, Any]:
    """Return what matters of a span, whatever the tracer calls its parts.

    Args:
        operation: The span's name.
        failed: Whether it says that the call failed.
        data: All else that it carries.
    """
    text = json.dumps(data, default=str)
    return {
        "operation": operation,
        "failed": bool(failed),
        "model": MODEL in text,
        "question": QUESTION in text,
        "answer": ANSWER in text,
        "parameter of vLLM": "top_k" in text,
        "tokens": sorted(_counts(data)),
    }


def _counts(data: Any, counted: bool = False) -> set[int]:
    if isinstance(data, dict):
        return set().union(*(_counts(each, bool(_USAGE.search(str(name)))) for name, each in data.items()))
    if isinstance(data, list | tuple):
        return set().union(*(_counts(each) for each in data))
    if not counted:
        return set()
    return {round(float(each)) for each in _NUMBER.findall(str(data)) if float(each) > 0}


_USAGE = re.compile("^(?!.*time).*(token|usage|input$|output$|total$)")
_NUMBER = re.compile(r"(?<![\w-])\d+(?:\.\d+)?(?![\w-])")  # no part of an id


def spans(exporter: InMemorySpanExporter) -> list[Any]:
    """Take the essence of OpenTelemetry's spans out of an exporter."""
    finished = exporter.get_finished_spans()
    exporter.clear()
    return [
        essence(each.name, each.status.status_code.name == "ERROR", dict(each.attributes or {}))
        for each in finished
    ]
