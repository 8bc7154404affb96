"""vcrpy: cassettes written and replayed; with `record_mode="none"` nothing may leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vcr

from neighbours.scenario import HELLO, MODEL, Subject, error_of, scenario


def ask(subject: Subject) -> str:
    return subject.client().chat.completions.create(model=MODEL, messages=HELLO).id


def read(subject: Subject) -> list[str]:
    stream = subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    return [chunk.id for chunk in stream]


def played(subject: Subject, call: Any) -> Any:
    tape = Path(f"{subject.kind}-{call.__name__}.yaml")
    with vcr.use_cassette(str(tape)):
        first = call(subject)
    with vcr.use_cassette(str(tape), record_mode="none"):
        second = call(subject)
    return tape.exists(), first == second, len(subject.sim.requests)


@scenario("chat")
def chat(subject: Subject) -> Any:
    return played(subject, ask)


@scenario("stream")
def stream(subject: Subject) -> Any:
    return played(subject, read)


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    tape, replies = Path(f"{subject.kind}-async.yaml"), []
    for mode in ("once", "none"):
        with vcr.use_cassette(str(tape), record_mode=mode):
            client = subject.async_client()
            replies.append((await client.chat.completions.create(model=MODEL, messages=HELLO)).id)
    return replies[0] == replies[1], len(subject.sim.requests)


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    tape, vectors = Path(f"{subject.kind}-embeddings.yaml"), []
    for mode in ("once", "none"):
        with vcr.use_cassette(str(tape), record_mode=mode):
            vectors.append(subject.client().embeddings.create(model=MODEL, input="a").data[0].embedding)
    return tape.exists(), vectors[0] == vectors[1], len(subject.sim.requests)


@scenario("errors")
def nothing_recorded(subject: Subject) -> Any:
    with vcr.use_cassette(f"{subject.kind}-none.yaml", record_mode="none"):
        return error_of(lambda: ask(subject)), len(subject.sim.requests)
