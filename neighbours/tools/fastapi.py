"""FastAPI: our answers as response models and as streams of a web service; pydantic models around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from pydantic import BaseModel, TypeAdapter

from neighbours.scenario import HELLO, MODEL, Subject, scenario


class Log(BaseModel):
    reply: ChatCompletion


class History(BaseModel):
    messages: list[ChatCompletionMessage]


def ask(subject: Subject) -> ChatCompletion:
    return subject.client().chat.completions.create(model=MODEL, messages=HELLO)


def served(route: Any, **arguments: Any) -> Any:
    app = FastAPI()
    app.get("/", **arguments)(route)
    return TestClient(app, base_url="http://localhost").get("/")


def message_of(reply: Any) -> Any:
    message = reply["choices"][0]["message"]
    return {name: message.get(name) for name in ("content", "reasoning")}


@scenario("chat")
def response(subject: Subject) -> Any:
    return message_of(served(lambda: ask(subject)).json())


@scenario("chat")
def response_model(subject: Subject) -> Any:
    return message_of(served(lambda: ask(subject), response_model=ChatCompletion).json())


@scenario("stream")
def streaming_response(subject: Subject) -> Any:
    async def route() -> StreamingResponse:
        client = subject.async_client()
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)

        async def texts() -> Any:
            async for chunk in stream:
                yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

        return StreamingResponse(texts(), media_type="text/plain")

    return served(route).text


@scenario("own")
def nested_reply(subject: Subject) -> Any:
    return message_of(Log(reply=ask(subject)).model_dump()["reply"])


@scenario("own")
def nested_message(subject: Subject) -> Any:
    return "I say it" in History(messages=[ask(subject).choices[0].message]).model_dump_json()


@scenario("own")
def nested_chunks(subject: Subject) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(ChatCompletionChunk)
    stream = subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    deltas = [each for chunk in stream for each in adapter.dump_python(chunk)["choices"]]
    return "".join(each["delta"].get("reasoning") or "" for each in deltas)
