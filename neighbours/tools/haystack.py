"""Haystack: `OpenAIChatGenerator`, whose client is put in its place once it is warm."""

from __future__ import annotations

from typing import Any

from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import Tool
from haystack.utils import Secret

from neighbours.scenario import GET_WEATHER, MODEL, WEATHER, Subject, async_error_of, error_of, scenario

TOOL = Tool(**GET_WEATHER["function"], function=lambda city: f"sunny in {city}")


def generator(subject: Subject, **arguments: Any) -> Any:
    made = OpenAIChatGenerator(
        model=MODEL, api_key=Secret.from_token("none"), api_base_url=f"{subject.url}/v1", **arguments
    )
    made.warm_up()
    made.client = subject.client(max_retries=0)
    return made


def asked(text: str) -> list[ChatMessage]:
    return [ChatMessage.from_user(text)]


@scenario("chat")
def chat(subject: Subject) -> Any:
    (reply,) = generator(subject).run(asked("Think: I say it.\nSay: hello there"))["replies"]
    return reply.text, reply.meta["finish_reason"], reply.meta["usage"]["total_tokens"]


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    made = generator(subject)
    await made.warm_up_async()
    made.async_client = subject.async_client()
    (reply,) = (await made.run_async(asked("Say: hello there")))["replies"]
    return reply.text


@scenario("stream")
def stream(subject: Subject) -> Any:
    pieces: list[str] = []
    made = generator(subject, streaming_callback=lambda chunk: pieces.append(chunk.content))
    (reply,) = made.run(asked("Say: hello there"))["replies"]
    return pieces, reply.text


@scenario("tools")
def tools(subject: Subject) -> Any:
    (reply,) = generator(subject, tools=[TOOL]).run(asked(WEATHER))["replies"]
    return [[call.tool_name, call.arguments] for call in reply.tool_calls]


@scenario("structured")
def structured(subject: Subject) -> Any:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    made = generator(subject, generation_kwargs={"response_format": shape})
    return made.run(asked("Who?"))["replies"][0].text


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    embedder = OpenAITextEmbedder(
        model=MODEL, api_key=Secret.from_token("none"), api_base_url=f"{subject.url}/v1"
    )
    embedder.warm_up()
    embedder.client = subject.client()
    return [round(number, 5) for number in embedder.run("a")["embedding"][:3]]


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: generator(subject).run(asked("Say: hi")))


@scenario("errors")
async def error_async(subject: Subject) -> Any:
    subject.sim.fail_always("503")
    made = generator(subject)
    await made.warm_up_async()
    made.async_client = subject.async_client(max_retries=0)
    return await async_error_of(made.run_async(asked("Say: hi")))
