"""instructor: objects in every mode that vLLM can serve, plain, partial, iterable and async."""

from __future__ import annotations

from typing import Any

import instructor
from instructor import Mode
from pydantic import BaseModel, field_validator

from neighbours.scenario import MODEL, Subject, error_of, scenario

WHO: list[Any] = [{"role": "user", "content": "Who?"}]


class Person(BaseModel):
    name: str
    age: int


class Picky(BaseModel):
    """Accepts nothing that the simulator says."""

    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, name: str) -> str:
        raise ValueError(f"{name} is no name")


def create(subject: Subject, mode: Mode, **arguments: Any) -> Any:
    client = instructor.from_openai(subject.client(), mode=mode)
    return client.chat.completions.create(model=MODEL, messages=WHO, response_model=Person, **arguments)


@scenario("structured")
def json_schema(subject: Subject) -> Any:
    return create(subject, Mode.JSON_SCHEMA)


@scenario("tools")
def tools(subject: Subject) -> Any:
    return create(subject, Mode.TOOLS)


@scenario("tools")
def tools_strict(subject: Subject) -> Any:
    return create(subject, Mode.TOOLS_STRICT)


@scenario("tools")
async def tools_async(subject: Subject) -> Any:
    client = instructor.from_openai(subject.async_client(), mode=Mode.TOOLS)
    return await client.chat.completions.create(model=MODEL, messages=WHO, response_model=Person)


@scenario("structured")
async def json_schema_async(subject: Subject) -> Any:
    client = instructor.from_openai(subject.async_client(), mode=Mode.JSON_SCHEMA)
    return await client.chat.completions.create(model=MODEL, messages=WHO, response_model=Person)


@scenario("stream")
def partial(subject: Subject) -> Any:
    client = instructor.from_openai(subject.client(), mode=Mode.JSON_SCHEMA)
    objects = client.chat.completions.create_partial(model=MODEL, messages=WHO, response_model=Person)
    return [each.model_dump() for each in objects]


@scenario("stream")
def iterable(subject: Subject) -> Any:
    client = instructor.from_openai(subject.client(), mode=Mode.TOOLS)
    return list(client.chat.completions.create_iterable(model=MODEL, messages=WHO, response_model=Person))


@scenario("structured")
def with_completion(subject: Subject) -> Any:
    client = instructor.from_openai(subject.client(), mode=Mode.JSON_SCHEMA)
    person, completion = client.chat.completions.create_with_completion(
        model=MODEL, messages=WHO, response_model=Person
    )
    return person, completion.usage.total_tokens


@scenario("responses")
def responses(subject: Subject) -> Any:
    client = instructor.from_openai(subject.client(), mode=Mode.RESPONSES_TOOLS)
    return client.responses.create(model=MODEL, input="Who?", response_model=Person)


@scenario("own")
def patched(subject: Subject) -> Any:
    client = instructor.patch(subject.client(), mode=Mode.TOOLS)
    return client.chat.completions.create(model=MODEL, messages=WHO, response_model=Person)


@scenario("own")
def hooks(subject: Subject) -> Any:
    seen: list[str] = []
    client = instructor.from_openai(subject.client(), mode=Mode.TOOLS)
    client.on("completion:kwargs", lambda *_, **arguments: seen.append(arguments["model"]))
    client.on("completion:response", lambda response: seen.append(type(response).__mro__[-4].__name__))
    client.chat.completions.create(model=MODEL, messages=WHO, response_model=Person)
    return seen[0], len(seen)


@scenario("own")
def retries(subject: Subject) -> Any:
    client = instructor.from_openai(subject.client(), mode=Mode.TOOLS)
    error = error_of(
        lambda: client.chat.completions.create(model=MODEL, messages=WHO, response_model=Picky, max_retries=2)
    )
    return error, len(subject.sent())


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: create(subject, Mode.JSON_SCHEMA))
