"""autogen: `BaseOpenAIChatCompletionClient` of autogen-ext, alone and under an `AssistantAgent`."""

from __future__ import annotations

import asyncio
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken
from autogen_core.models import ModelInfo, UserMessage
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import BaseOpenAIChatCompletionClient
from pydantic import BaseModel

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


class Person(BaseModel):
    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def model(subject: Subject) -> BaseOpenAIChatCompletionClient:
    info = ModelInfo(
        vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True
    )
    return BaseOpenAIChatCompletionClient(
        client=subject.async_client(), create_args={"model": MODEL}, model_info=info
    )


def says(text: str) -> list[Any]:
    return [UserMessage(content=text, source="user")]


@scenario("chat")
async def chat(subject: Subject) -> Any:
    result = await model(subject).create(says("Think: I say it.\nSay: hello there"))
    return result.content, result.thought, result.finish_reason, result.usage.completion_tokens


@scenario("stream")
async def stream(subject: Subject) -> Any:
    pieces = [each async for each in model(subject).create_stream(says("Think: I say it.\nSay: hello there"))]
    return pieces[:-1], pieces[-1].content, pieces[-1].thought


@scenario("tools")
async def tool(subject: Subject) -> Any:
    result = await model(subject).create(
        says(WEATHER), tools=[FunctionTool(get_weather, "Tell the weather.")]
    )
    return [[call.name, call.arguments] for call in result.content]


@scenario("tools")
async def agent(subject: Subject) -> Any:
    assistant = AssistantAgent("a", model(subject), tools=[get_weather], reflect_on_tool_use=True)
    result = await assistant.run(task=WEATHER)
    return [[type(each).__name__, each.to_text()[:80]] for each in result.messages][-1]


@scenario("structured")
async def structured(subject: Subject) -> Any:
    return (await model(subject).create(says("Who?"), json_output=Person)).content


@scenario("structured")
async def structured_stream(subject: Subject) -> Any:
    pieces = [each async for each in model(subject).create_stream(says("Who?"), json_output=Person)]
    return pieces[-1].content


@scenario("own")
async def cancelled(subject: Subject) -> Any:
    token = CancellationToken()
    token.cancel()
    try:
        await model(subject).create(says("Say: hi"), cancellation_token=token)
    except asyncio.CancelledError:
        return "cancelled"
    return "answered"


@scenario("errors")
async def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(model(subject).create(says("Say: hi")))
