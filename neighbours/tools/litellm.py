"""LiteLLM: `completion(client=…)` and its kin."""

from __future__ import annotations

import io
import wave
from typing import Any

import litellm

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


def arguments(subject: Subject, client: Any) -> dict[str, Any]:
    return {
        "model": f"openai/{MODEL}",
        "client": client,
        "api_base": f"{subject.url}/v1",
        "api_key": "none",
        "max_retries": 0,
    }


def complete(subject: Subject, **more: Any) -> Any:
    return litellm.completion(**arguments(subject, subject.client()), **{"messages": HELLO, **more})


@scenario("chat")
def chat(subject: Subject) -> Any:
    reply = complete(subject)
    return (
        reply.choices[0].message.content,
        reply.choices[0].message.get("reasoning_content"),
        reply.usage.total_tokens,
    )


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    reply = await litellm.acompletion(**arguments(subject, subject.async_client()), messages=HELLO)
    return reply.choices[0].message.content


@scenario("stream")
def stream(subject: Subject) -> Any:
    return [chunk.choices[0].delta.content or "" for chunk in complete(subject, stream=True)]


@scenario("stream")
async def stream_async(subject: Subject) -> Any:
    chunks = await litellm.acompletion(
        **arguments(subject, subject.async_client()), messages=HELLO, stream=True
    )
    return [chunk.choices[0].delta.content or "" async for chunk in chunks]


@scenario("stream")
def stream_of_done_only(subject: Subject) -> Any:
    subject.sim.fail_next("done_only")
    return error_of(lambda: list(complete(subject, stream=True)))


@scenario("stream")
def stream_with_flat_error(subject: Subject) -> Any:
    subject.sim.fail_next("error_chunk", after=2, shape="flat")
    return error_of(lambda: list(complete(subject, stream=True)))


@scenario("tools")
def tool(subject: Subject) -> Any:
    reply = complete(subject, messages=[{"role": "user", "content": WEATHER}], tools=[GET_WEATHER])
    return [[each.function.name, each.function.arguments] for each in reply.choices[0].message.tool_calls]


@scenario("structured")
def structured(subject: Subject) -> Any:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    return complete(subject, response_format=shape).choices[0].message.content


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    reply = litellm.embedding(**arguments(subject, subject.client()), input=["a", "b"])
    return [[round(number, 5) for number in each["embedding"][:3]] for each in reply.data]


@scenario("own")
def text_completion(subject: Subject) -> Any:
    model = {**arguments(subject, subject.client()), "model": f"text-completion-openai/{MODEL}"}
    return litellm.text_completion(**model, prompt="Say: hello there").choices[0].text


@scenario("own")
def transcription(subject: Subject) -> Any:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"\0\0" * 16000)
    file.seek(0)
    file.name = "a.wav"
    return litellm.transcription(**arguments(subject, subject.client()), file=file).text


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: complete(subject))


@scenario("errors")
def error_in_200(subject: Subject) -> Any:
    subject.sim.fail_always("error_200")
    return error_of(lambda: complete(subject))


@scenario("errors")
async def error_async(subject: Subject) -> Any:
    subject.sim.fail_always("503")
    return await async_error_of(
        litellm.acompletion(**arguments(subject, subject.async_client()), messages=HELLO)
    )
