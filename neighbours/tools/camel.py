"""CAMEL: `OpenAICompatibleModel` with clients of ours, alone and under a `ChatAgent`."""

from __future__ import annotations

from typing import Any

from camel.agents import ChatAgent
from camel.models import OpenAICompatibleModel
from camel.toolkits import FunctionTool
from camel.utils import BaseTokenCounter
from pydantic import BaseModel

from neighbours.scenario import (
    GET_WEATHER,
    HELLO,
    MODEL,
    WEATHER,
    Subject,
    async_error_of,
    error_of,
    scenario,
)


class Person(BaseModel):
    name: str
    age: int


class Words(BaseTokenCounter):
    """Counts words, where CAMEL would download a tokenizer."""

    def count_tokens_from_messages(self, messages: Any) -> int:
        return sum(len(str(each).split()) for each in messages)

    def encode(self, text: str) -> list[int]:
        return list(range(len(text.split())))

    def decode(self, token_ids: list[int]) -> str:
        return " ".join(map(str, token_ids))


def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city (str): The city.
    """
    return f"sunny in {city}"


def model(subject: Subject, **config: Any) -> OpenAICompatibleModel:
    return OpenAICompatibleModel(
        MODEL,
        model_config_dict=config,
        api_key="none",
        url=f"{subject.url}/v1",
        token_counter=Words(),
        client=subject.client(max_retries=0),
        async_client=subject.async_client(max_retries=0),
    )


@scenario("chat")
def chat(subject: Subject) -> Any:
    reply: Any = model(subject).run(HELLO)  # type: ignore[arg-type]
    return reply.choices[0].message.content


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    reply: Any = await model(subject).arun(HELLO)  # type: ignore[arg-type]
    return reply.choices[0].message.content


@scenario("stream")
def stream(subject: Subject) -> Any:
    chunks: Any = model(subject, stream=True).run(HELLO)  # type: ignore[arg-type]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@scenario("tools")
def tool(subject: Subject) -> Any:
    reply: Any = model(subject).run([{"role": "user", "content": WEATHER}], tools=[GET_WEATHER])
    return [each.function.arguments for each in reply.choices[0].message.tool_calls]


@scenario("tools")
def agent(subject: Subject) -> Any:
    reply = ChatAgent("Be short.", model=model(subject), tools=[FunctionTool(get_weather)]).step(WEATHER)
    return reply.msgs[0].content


@scenario("structured")
def structured(subject: Subject) -> Any:
    reply: Any = model(subject).run(HELLO, response_format=Person)  # type: ignore[arg-type]
    return reply.choices[0].message.content


@scenario("structured")
async def structured_async(subject: Subject) -> Any:
    reply: Any = await model(subject).arun(HELLO, response_format=Person)  # type: ignore[arg-type]
    return reply.choices[0].message.content


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: model(subject).run(HELLO))  # type: ignore[arg-type]


@scenario("errors")
async def error_async(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(model(subject).arun(HELLO))  # type: ignore[arg-type]
