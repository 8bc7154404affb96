"""Semantic Kernel: `OpenAIChatCompletion` and `OpenAITextEmbedding` with `async_client=`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
    OpenAITextEmbedding,
)
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


class Person(BaseModel):
    name: str
    age: int


class Weather:
    @kernel_function(description="Tell the weather in a city.")
    def get_weather(self, city: str) -> str:
        return f"sunny in {city}"


def service(subject: Subject) -> OpenAIChatCompletion:
    return OpenAIChatCompletion(ai_model_id=MODEL, async_client=subject.async_client(max_retries=0))


def history(text: str) -> ChatHistory:
    messages = ChatHistory()
    messages.add_user_message(text)
    return messages


async def ask(subject: Subject, text: str, **settings: Any) -> Any:
    arguments = OpenAIChatPromptExecutionSettings(**settings)
    return await service(subject).get_chat_message_content(history(text), arguments)


@scenario("chat")
async def chat(subject: Subject) -> Any:
    message = await ask(subject, "Say: hello there")
    return str(message), message.metadata["usage"].completion_tokens


@scenario("stream")
async def stream(subject: Subject) -> Any:
    settings = OpenAIChatPromptExecutionSettings()
    pieces = service(subject).get_streaming_chat_message_content(history("Say: hello there"), settings)
    return "".join([str(piece) async for piece in pieces if piece])


@scenario("tools")
async def tools(subject: Subject) -> Any:
    kernel = Kernel()
    kernel.add_plugin(Weather(), "weather")
    settings = OpenAIChatPromptExecutionSettings(function_choice_behavior=FunctionChoiceBehavior.Auto())
    message = await service(subject).get_chat_message_content(history(WEATHER), settings, kernel=kernel)
    return str(message), len(subject.sent())


@scenario("structured")
async def structured(subject: Subject) -> Any:
    return str(await ask(subject, "Who?", response_format=Person))


@scenario("embeddings")
async def embeddings(subject: Subject) -> Any:
    embedder = OpenAITextEmbedding(ai_model_id=MODEL, async_client=subject.async_client())
    vectors = await embedder.generate_embeddings(["a", "b"])
    return [[round(float(number), 5) for number in vector[:3]] for vector in vectors]


@scenario("errors")
async def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(ask(subject, "Say: hi"))
