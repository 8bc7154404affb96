"""agno: `OpenAILike(client=…, async_client=…)` in agents, with tools, structured answers and streams."""

from __future__ import annotations

from typing import Any

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from pydantic import BaseModel

from neighbours.scenario import MODEL, WEATHER, Subject, scenario


class Person(BaseModel):
    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def agent(subject: Subject, **arguments: Any) -> Agent:
    clients = {"client": subject.client(), "async_client": subject.async_client()}
    model = OpenAILike(id=MODEL, api_key="none", base_url=f"{subject.url}/v1", **clients)
    return Agent(model=model, telemetry=False, **arguments)


@scenario("chat")
def chat(subject: Subject) -> Any:
    run = agent(subject).run("Think: I say it.\nSay: hello there")
    return run.content, run.reasoning_content


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    return (await agent(subject).arun("Say: hello there")).content


@scenario("stream")
def stream(subject: Subject) -> Any:
    events = agent(subject).run("Say: hello there", stream=True)
    return "".join(event.content or "" for event in events if event.event == "RunContent")


@scenario("tools")
def tools(subject: Subject) -> Any:
    run = agent(subject, tools=[get_weather]).run(WEATHER)
    return run.content, [tool.tool_name for tool in run.tools or []], len(subject.sent())


@scenario("structured")
def structured(subject: Subject) -> Any:
    return agent(subject, output_schema=Person).run("Who?").content
