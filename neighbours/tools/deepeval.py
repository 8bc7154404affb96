"""deepeval: its models for local servers and for OpenAI, with `load_model` returning the client."""

from __future__ import annotations

from typing import Any

from deepeval.models import GPTModel, LocalModel
from pydantic import BaseModel

from neighbours.scenario import MODEL, Subject, scenario


class Person(BaseModel):
    name: str
    age: int


def model(subject: Subject, kind: Any, **arguments: Any) -> Any:
    class Ours(kind):  # type: ignore[misc]
        def load_model(self, async_mode: bool = False) -> Any:
            return subject.async_client(max_retries=0) if async_mode else subject.client(max_retries=0)

    return Ours(model=MODEL, api_key="none", base_url=f"{subject.url}/v1", **arguments)


def gpt(subject: Subject) -> Any:
    return model(subject, GPTModel, cost_per_input_token=0, cost_per_output_token=0)


@scenario("chat")
def local(subject: Subject) -> Any:
    return model(subject, LocalModel).generate("Say: hello there")[0]


@scenario("chat")
async def local_async(subject: Subject) -> Any:
    return (await model(subject, LocalModel).a_generate("Say: hello there"))[0]


@scenario("structured")
def local_structured(subject: Subject) -> Any:
    return model(subject, LocalModel).generate('Say: {"name": "Ada", "age": 36}', schema=Person)[0]


@scenario("chat")
def openai(subject: Subject) -> Any:
    return gpt(subject).generate("Say: hello there")[0]


@scenario("structured")
def openai_structured(subject: Subject) -> Any:
    return gpt(subject).generate('Say: {"name": "Ada", "age": 36}', schema=Person)[0]


@scenario("structured")
async def openai_structured_async(subject: Subject) -> Any:
    return (await gpt(subject).a_generate('Say: {"name": "Ada", "age": 36}', schema=Person))[0]
