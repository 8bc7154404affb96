"""pydantic-ai: chat, Responses and embeddings, through its `OpenAIProvider`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, NativeOutput, PromptedOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


class Person(BaseModel):
    """What a structured answer is."""

    name: str
    age: int


def chat_model(subject: Subject, **client: Any) -> Model:
    """Make the model that speaks chat completions."""
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=subject.async_client(**client)))


def responses_model(subject: Subject) -> Model:
    """Make the model that speaks the Responses API."""
    return OpenAIResponsesModel(MODEL, provider=OpenAIProvider(openai_client=subject.async_client()))


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def parts(messages: list[Any]) -> list[list[Any]]:
    """Return kind and content of every part of a history."""
    return [
        [part.part_kind, str(getattr(part, "content", None) or getattr(part, "args", None))]
        for message in messages
        for part in message.parts
    ]


@scenario("chat")
async def chat(subject: Subject) -> Any:
    """Answer a question, with reasoning."""
    result = await Agent(chat_model(subject)).run("Think: I say it.\nSay: hello there")
    return result.output, parts(result.all_messages()), result.usage.output_tokens


@scenario("stream")
async def chat_stream(subject: Subject) -> Any:
    """Stream an answer."""
    async with Agent(chat_model(subject)).run_stream("Think: I say it.\nSay: hello there") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    return pieces, parts(run.all_messages())


@scenario("tools")
async def chat_tool_loop(subject: Subject) -> Any:
    """Call a tool and answer; the reasoning of the first turn goes back to the server."""
    result = await Agent(chat_model(subject), tools=[get_weather]).run(WEATHER)
    return result.output, parts(result.all_messages()), subject.reasoning_sent_back()


@scenario("tools")
async def chat_tool_loop_streamed(subject: Subject) -> Any:
    """The same, streamed."""
    async with Agent(chat_model(subject), tools=[get_weather]).run_stream(WEATHER) as run:
        output = await run.get_output()
    return output, parts(run.all_messages()), subject.reasoning_sent_back()


@scenario("structured")
async def chat_structured_by_tool(subject: Subject) -> Any:
    """Answer with an object, by a tool."""
    return (await Agent(chat_model(subject), output_type=Person).run("Who?")).output


@scenario("structured")
async def chat_structured_native(subject: Subject) -> Any:
    """Answer with an object, by the response format."""
    return (await Agent(chat_model(subject), output_type=NativeOutput(Person)).run("Who?")).output


@scenario("structured")
async def chat_structured_prompted(subject: Subject) -> Any:
    """Answer with an object, by the prompt."""
    agent = Agent(chat_model(subject), output_type=PromptedOutput(Person))
    return (await agent.run('Say: {"name": "Ada", "age": 36}')).output


@scenario("errors")
async def chat_error(subject: Subject) -> Any:
    """Meet a server that refuses."""
    subject.sim.fail_always("400")
    return await async_error_of(Agent(chat_model(subject)).run("Say: hi"))


@scenario("errors")
async def chat_fallback(subject: Subject) -> Any:
    """Fall back to another model."""
    subject.sim.fail_next("503")
    model = FallbackModel(chat_model(subject, max_retries=0), chat_model(subject))
    return (await Agent(model).run("Say: hello there")).output


@scenario("responses")
async def responses(subject: Subject) -> Any:
    """Answer a question."""
    result = await Agent(responses_model(subject)).run("Say: hello there")
    return result.output


@scenario("responses")
async def responses_stream(subject: Subject) -> Any:
    """Stream an answer."""
    async with Agent(responses_model(subject)).run_stream("Say: hello there") as run:
        return [piece async for piece in run.stream_text(delta=True, debounce_by=None)]


@scenario("responses")
async def responses_tool_loop(subject: Subject) -> Any:
    """Call a tool and answer."""
    result = await Agent(responses_model(subject), tools=[get_weather]).run(WEATHER)
    return result.output, [part.part_kind for message in result.all_messages() for part in message.parts]


@scenario("responses")
async def responses_structured(subject: Subject) -> Any:
    """Answer with an object."""
    return (await Agent(responses_model(subject), output_type=NativeOutput(Person)).run("Who?")).output


@scenario("embeddings")
async def embeddings(subject: Subject) -> Any:
    """Embed a document."""
    model = OpenAIEmbeddingModel(MODEL, provider=OpenAIProvider(openai_client=subject.async_client()))
    result = await Embedder(model).embed_documents(["a", "b"])
    return [[round(number, 5) for number in vector[:4]] for vector in result.embeddings]
