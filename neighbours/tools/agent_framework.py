"""Microsoft's Agent Framework: its chat and its Responses client with `async_client=`."""

from __future__ import annotations

from typing import Any

from agent_framework import Agent
from agent_framework_openai import OpenAIChatClient, OpenAIChatCompletionClient
from pydantic import BaseModel

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


class Person(BaseModel):
    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def completions(subject: Subject) -> Any:
    return OpenAIChatCompletionClient(model=MODEL, async_client=subject.async_client(max_retries=0))


def responses_client(subject: Subject) -> Any:
    return OpenAIChatClient(model=MODEL, async_client=subject.async_client(max_retries=0))


@scenario("chat")
async def chat(subject: Subject) -> Any:
    return (await Agent(completions(subject)).run("Say: hello there")).text


@scenario("stream")
async def stream(subject: Subject) -> Any:
    return [update.text async for update in Agent(completions(subject)).run("Say: hello there", stream=True)]


@scenario("tools")
async def tools(subject: Subject) -> Any:
    return (await Agent(completions(subject), tools=[get_weather]).run(WEATHER)).text


@scenario("structured")
async def structured(subject: Subject) -> Any:
    return (await Agent(completions(subject)).run("Who?", options={"response_format": Person})).value


@scenario("responses")
async def responses(subject: Subject) -> Any:
    return (await Agent(responses_client(subject)).run("Say: hello there", options={"store": False})).text


@scenario("responses")
async def responses_tools(subject: Subject) -> Any:
    agent = Agent(responses_client(subject), tools=[get_weather])
    return (await agent.run(WEATHER, options={"store": False})).text


@scenario("responses")
async def responses_structured(subject: Subject) -> Any:
    options = {"store": False, "response_format": Person}
    return (await Agent(responses_client(subject)).run("Who?", options=options)).value


@scenario("errors")
async def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(Agent(completions(subject)).run("Say: hi"))
