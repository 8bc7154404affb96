"""Strands Agents: `OpenAIModel(client=…)`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from strands import Agent, tool
from strands.models.openai import OpenAIModel

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def model(subject: Subject) -> OpenAIModel:
    return OpenAIModel(client=subject.async_client(max_retries=0), model_id=MODEL)


def agent(subject: Subject, *tools: Any) -> Agent:
    return Agent(model=model(subject), tools=list(tools), callback_handler=None)


@scenario("tools")
async def tools(subject: Subject) -> Any:
    return str(await agent(subject, get_weather).invoke_async(WEATHER)).strip()


@scenario("stream")
async def stream(subject: Subject) -> Any:
    events = agent(subject, get_weather).stream_async("Say: hello there")
    return [event["data"] async for event in events if "data" in event]


@scenario("chat")
async def without_tools(subject: Subject) -> Any:
    return str(await agent(subject).invoke_async("Say: hello there")).strip()


@scenario("structured")
async def structured(subject: Subject) -> Any:
    return [event async for event in model(subject).structured_output(Person, [user("Who?")])][-1]


def user(text: str) -> Any:
    return {"role": "user", "content": [{"text": text}]}


@scenario("errors")
async def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(agent(subject, get_weather).invoke_async("Say: hi"))
