"""outlines: `from_openai` and `from_vllm`."""

from __future__ import annotations

from typing import Any, Literal

import outlines
from pydantic import BaseModel

from neighbours.scenario import MODEL, Subject, error_of, scenario


class Person(BaseModel):
    name: str
    age: int


@scenario("chat")
def chat(subject: Subject) -> Any:
    return outlines.from_openai(subject.client(), MODEL)("Say: hello there")


@scenario("stream")
def stream(subject: Subject) -> Any:
    return list(outlines.from_openai(subject.client(), MODEL).stream("Say: hello there"))


@scenario("structured")
def structured(subject: Subject) -> Any:
    return outlines.from_openai(subject.client(), MODEL)("Who?", Person)


@scenario("chat")
def vllm(subject: Subject) -> Any:
    return outlines.from_vllm(subject.client(), MODEL)("Say: hello there")


@scenario("structured")
def vllm_choice(subject: Subject) -> Any:
    return outlines.from_vllm(subject.client(), MODEL)("Is the sky blue?", Literal["yes", "no"])


@scenario("structured")
def vllm_structured(subject: Subject) -> Any:
    return outlines.from_vllm(subject.client(), MODEL)("Who?", Person)


@scenario("structured")
async def vllm_structured_async(subject: Subject) -> Any:
    return await outlines.from_vllm(subject.async_client(), MODEL)("Who?", Person)


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: outlines.from_openai(subject.client(), MODEL)("Say: hi"))
