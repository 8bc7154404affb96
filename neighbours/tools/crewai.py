"""CrewAI: its OpenAI provider, with the clients put in their places."""

from __future__ import annotations

from typing import Any

from crewai import Agent, Crew, Task
from crewai.llms.providers.openai.completion import OpenAICompletion
from crewai.tools import tool
from pydantic import BaseModel

from neighbours.scenario import MODEL, WEATHER, Subject, error_of, scenario


class Person(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def model(subject: Subject, **arguments: Any) -> OpenAICompletion:
    llm = OpenAICompletion(model=MODEL, api_key="none", base_url=f"{subject.url}/v1", **arguments)
    llm._client, llm._async_client = subject.client(max_retries=0), subject.async_client(max_retries=0)
    return llm


@scenario("chat")
def call(subject: Subject) -> Any:
    return model(subject).call("Say: hello there")


@scenario("stream")
def stream(subject: Subject) -> Any:
    return model(subject, stream=True).call("Say: hello there")


@scenario("structured")
def structured(subject: Subject) -> Any:
    return model(subject).call("Who?", response_model=Person)


@scenario("structured")
def structured_stream(subject: Subject) -> Any:
    return model(subject, stream=True).call("Who?", response_model=Person)


@scenario("tools")
def crew(subject: Subject) -> Any:
    agent = Agent(
        role="forecaster", goal="tell the weather", backstory="none", llm=model(subject), tools=[get_weather]
    )
    task = Task(description=WEATHER, expected_output="the weather", agent=agent)
    return str(Crew(agents=[agent], tasks=[task]).kickoff())[:80]


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: model(subject).call("Say: hi"))
