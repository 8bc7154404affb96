"""The SDK's own surface, as tools use it: `beta`, raw replies, extras, assignment, copies, `post`."""

from __future__ import annotations

import copy
import io
import pickle
import wave
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.create_embedding_response import CreateEmbeddingResponse
from pydantic import BaseModel

from neighbours.scenario import HELLO, MODEL, Subject, error_of, scenario


class Person(BaseModel):
    name: str
    age: int


BODY = {"model": MODEL, "messages": HELLO}


def ask(subject: Subject, **arguments: Any) -> ChatCompletion:
    return subject.client().chat.completions.create(model=MODEL, messages=HELLO, **arguments)


def deltas(subject: Subject) -> list[Any]:
    stream = subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    return [chunk.choices[0].delta for chunk in stream if chunk.choices]


def text(completion: Any) -> Any:
    return completion.choices[0].message.content


@scenario("structured")
def beta_parse(subject: Subject) -> Any:
    completions = subject.client().beta.chat.completions
    return completions.parse(model=MODEL, messages=HELLO, response_format=Person).choices[0].message.parsed


@scenario("structured")
async def beta_parse_async(subject: Subject) -> Any:
    completions = subject.async_client().beta.chat.completions
    completion = await completions.parse(model=MODEL, messages=HELLO, response_format=Person)
    return completion.choices[0].message.parsed


@scenario("structured")
def beta_stream(subject: Subject) -> Any:
    completions = subject.client().beta.chat.completions
    with completions.stream(model=MODEL, messages=HELLO, response_format=Person) as stream:
        return stream.get_final_completion().choices[0].message.parsed


@scenario("structured")
def raw_parse(subject: Subject) -> Any:
    raw = subject.client().chat.completions.with_raw_response
    reply = raw.parse(model=MODEL, messages=HELLO, response_format=Person)
    return reply.status_code, reply.parse().choices[0].message.parsed


@scenario("structured")
async def raw_parse_async(subject: Subject) -> Any:
    raw = subject.async_client().chat.completions.with_raw_response
    return (
        (await raw.parse(model=MODEL, messages=HELLO, response_format=Person))
        .parse()
        .choices[0]
        .message.parsed
    )


@scenario("structured")
def streamed_raw_parse(subject: Subject) -> Any:
    raw = subject.client().chat.completions.with_streaming_response
    with raw.parse(model=MODEL, messages=HELLO, response_format=Person) as reply:
        return reply.parse().choices[0].message.parsed


@scenario("responses")
def raw_parse_responses(subject: Subject) -> Any:
    raw = subject.client().responses.with_raw_response
    return raw.parse(model=MODEL, input="Who?", text_format=Person).parse().output_parsed


@scenario("chat")
def raw_create(subject: Subject) -> Any:
    reply = subject.client().chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    return reply.status_code, reply.headers["content-type"], text(reply.parse())


@scenario("own")
def set_on_message(subject: Subject) -> Any:
    message = ask(subject).choices[0].message
    message.reasoning_content = "x"  # type: ignore[attr-defined]
    return message.reasoning_content  # type: ignore[attr-defined]


@scenario("own")
def set_on_delta(subject: Subject) -> Any:
    delta = deltas(subject)[0]
    delta.reasoning_content = "x"
    return delta.reasoning_content


@scenario("own")
def older_name_first(subject: Subject) -> Any:
    """Agents that know both names take the older one for what the server speaks."""
    message = ask(subject).choices[0].message
    return [name for name in ("reasoning_content", "reasoning") if getattr(message, name, None)]


@scenario("stream")
def both_names_in_deltas(subject: Subject) -> Any:
    names = ("reasoning_content", "reasoning")
    return "".join(getattr(delta, name, None) or "" for delta in deltas(subject) for name in names)


@scenario("stream")
def hasattr_and_add(subject: Subject) -> Any:
    """vLLM's own examples of a stream with reasoning."""
    reasoning = content = ""
    for delta in deltas(subject):
        if hasattr(delta, "reasoning"):
            reasoning += delta.reasoning
        if hasattr(delta, "content"):
            content += delta.content or ""
    return reasoning, content


@scenario("stream")
def hasattr_or_else(subject: Subject) -> Any:
    """A reader that takes an attribute that is there for one that says something."""
    content = ""
    for delta in deltas(subject):
        if hasattr(delta, "reasoning"):
            continue
        content += delta.content or ""
    return content


@scenario("own")
def model_extra(subject: Subject) -> Any:
    message = ask(subject).choices[0].message
    return (message.model_extra or {}).get("reasoning")


@scenario("own")
def type_names(subject: Subject) -> Any:
    """How tools tell types without importing them."""
    stream = subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    things = [ask(subject), ask(subject).choices[0].message, next(iter(stream))]
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in things]


@scenario("own")
def pickled_reply(subject: Subject) -> Any:
    reply = pickle.loads(pickle.dumps(ask(subject)))
    return text(reply), reply.choices[0].message.reasoning


@scenario("own")
def copied_reply(subject: Subject) -> Any:
    reply = copy.deepcopy(ask(subject))
    return text(reply.model_copy()), reply.choices[0].message.reasoning  # type: ignore[attr-defined]


@scenario("own")
def dumped_reply(subject: Subject) -> Any:
    """What a log, a cache or a history keeps of a message."""
    dumped = ask(subject).choices[0].message.model_dump(exclude_none=True)
    return {name: dumped.get(name) for name in ("role", "content", "reasoning", "reasoning_content")}


@scenario("own")
def copied_client(subject: Subject) -> Any:
    return text(subject.client().with_options(timeout=30).chat.completions.create(**BODY))  # type: ignore[call-overload]


@scenario("own")
def copied_client_with_organization(subject: Subject) -> Any:
    client = subject.client().with_options(organization="o", project="p")
    return text(client.chat.completions.create(model=MODEL, messages=HELLO))


@scenario("own")
def client_with_organization(subject: Subject) -> Any:
    client = subject.client(organization="o", project="p", webhook_secret="w")
    return text(client.chat.completions.create(model=MODEL, messages=HELLO))


@scenario("own")
def pickled_client(subject: Subject) -> Any:
    client = pickle.loads(pickle.dumps(subject.client()))
    return text(client.chat.completions.create(model=MODEL, messages=HELLO))


@scenario("tools")
def no_tools(subject: Subject) -> Any:
    """What agents without tools send."""
    return text(ask(subject, tools=[]))


@scenario("own")
def post(subject: Subject) -> Any:
    return text(subject.client().post("/chat/completions", body=BODY, cast_to=ChatCompletion))


@scenario("stream")
def post_stream(subject: Subject) -> Any:
    return posted_stream(subject)


def posted_stream(subject: Subject) -> str:
    stream = subject.client(max_retries=0).post(
        "/chat/completions",
        body={**BODY, "stream": True},
        cast_to=ChatCompletion,
        stream=True,
        stream_cls=openai.Stream[ChatCompletionChunk],
    )
    return "".join(each.choices[0].delta.content or "" for each in stream if each.choices)


@scenario("errors")
def post_stream_of_done_only(subject: Subject) -> Any:
    subject.sim.fail_next("done_only")
    return error_of(lambda: posted_stream(subject))


@scenario("errors")
def post_stream_with_flat_error(subject: Subject) -> Any:
    subject.sim.fail_next("error_chunk", after=2, shape="flat")
    return error_of(lambda: posted_stream(subject))


@scenario("errors")
def post_stream_unfinished(subject: Subject) -> Any:
    subject.sim.fail_next("unfinished")
    return error_of(lambda: posted_stream(subject))


@scenario("embeddings")
def post_embeddings(subject: Subject) -> Any:
    """vLLM's own examples."""
    body = {"model": MODEL, "input": ["a", "b"]}
    reply = subject.client().post("/embeddings", body=body, cast_to=CreateEmbeddingResponse)
    return [[round(number, 5) for number in each.embedding[:3]] for each in reply.data]


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    reply = subject.client().embeddings.create(model=MODEL, input=["a", "b"])
    return [[round(number, 5) for number in each.embedding[:3]] for each in reply.data]


@scenario("responses")
def responses_with_mcp(subject: Subject) -> Any:
    """A server may or may not speak MCP; the client does not know better."""
    tool: Any = {"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1:1"}
    return subject.client().responses.create(model=MODEL, input="Say: hi", tools=[tool]).output_text


@scenario("stream")
async def transcription_choices(subject: Subject) -> Any:
    """vLLM's own example of a streamed transcription."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"\0\0" * 16000)
    file.seek(0)
    file.name = "a.wav"
    stream: Any = await subject.async_client().audio.transcriptions.create(
        model=MODEL, file=file, stream=True
    )
    choices = [chunk.choices[0] async for chunk in stream if chunk.choices]
    return "".join(each.get("delta", {}).get("content") or "" for each in choices)
