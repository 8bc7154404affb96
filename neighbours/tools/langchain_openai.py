"""langchain-openai: `ChatOpenAI` and `OpenAIEmbeddings` with a client put in (`root_client=`, `client=`)."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from neighbours.scenario import GET_WEATHER, MODEL, WEATHER, Subject, async_error_of, error_of, scenario


class Person(BaseModel):
    """What a structured answer is."""

    name: str
    age: int


def model(subject: Subject, **arguments: Any) -> ChatOpenAI:
    """Make a model around the clients."""
    client, async_client = subject.client(), subject.async_client()
    return ChatOpenAI(
        model=MODEL,
        api_key="none",
        root_client=client,
        root_async_client=async_client,
        client=client.chat.completions,
        async_client=async_client.chat.completions,
        **arguments,
    )


@scenario("chat")
def invoke(subject: Subject) -> Any:
    """Answer a question."""
    answer = model(subject).invoke("Say: hello there")
    return answer.text, answer.usage_metadata


@scenario("chat")
async def ainvoke(subject: Subject) -> Any:
    """Answer a question, async."""
    answer = await model(subject).ainvoke("Say: hello there")
    return answer.text, answer.usage_metadata


@scenario("chat")
def logprobs(subject: Subject) -> Any:
    """Tell how likely the tokens were."""
    answer = model(subject, logprobs=True).invoke("Say: hello there")
    return [each["token"] for each in answer.response_metadata["logprobs"]["content"]]


@scenario("stream")
def stream(subject: Subject) -> Any:
    """Stream an answer."""
    return [chunk.text for chunk in model(subject).stream("Say: hello there")]


@scenario("stream")
async def astream(subject: Subject) -> Any:
    """Stream an answer, async."""
    return [chunk.text async for chunk in model(subject, stream_usage=True).astream("Say: hello there")]


@scenario("tools")
def tool_loop(subject: Subject) -> Any:
    """Call a tool and answer."""
    bound, messages = model(subject).bind_tools([GET_WEATHER]), [HumanMessage(WEATHER)]
    messages.append(bound.invoke(messages))
    call = messages[-1].tool_calls[0]
    messages.append(ToolMessage("sunny", tool_call_id=call["id"]))
    return call["name"], call["args"], bound.invoke(messages).text


@scenario("tools")
def tool_stream(subject: Subject) -> Any:
    """Stream a tool call."""
    whole: Any = None
    for chunk in model(subject).bind_tools([GET_WEATHER]).stream(WEATHER):
        whole = chunk if whole is None else whole + chunk
    return [[call["name"], call["args"]] for call in whole.tool_calls]


@scenario("structured")
def structured(subject: Subject) -> Any:
    """Answer with an object, the default way."""
    return model(subject).with_structured_output(Person).invoke("Who?")


@scenario("structured")
async def structured_async(subject: Subject) -> Any:
    """Answer with an object, async."""
    return await model(subject).with_structured_output(Person).ainvoke("Who?")


@scenario("structured")
def structured_stream(subject: Subject) -> Any:
    """Stream an object."""
    return list(model(subject).with_structured_output(Person).stream("Who?"))[-1]


@scenario("structured")
def structured_by_tool(subject: Subject) -> Any:
    """Answer with an object, by a tool."""
    return model(subject).with_structured_output(Person, method="function_calling").invoke("Who?")


@scenario("structured")
def structured_by_schema(subject: Subject) -> Any:
    """Answer with a dict."""
    bound = model(subject).with_structured_output(Person.model_json_schema(), method="json_schema")
    return bound.invoke("Who?")


@scenario("responses")
def responses(subject: Subject) -> Any:
    """Answer a question."""
    return model(subject, use_responses_api=True).invoke("Say: hello there").text


@scenario("responses")
def responses_stream(subject: Subject) -> Any:
    """Stream an answer."""
    return "".join(each.text for each in model(subject, use_responses_api=True).stream("Say: hello there"))


@scenario("responses")
def responses_structured(subject: Subject) -> Any:
    """Answer with an object."""
    return model(subject, use_responses_api=True).with_structured_output(Person).invoke("Who?")


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    """Embed documents."""
    embedder = OpenAIEmbeddings(
        model=MODEL,
        api_key="none",
        client=subject.client().embeddings,
        async_client=subject.async_client().embeddings,
        check_embedding_ctx_length=False,
    )
    return [[round(number, 5) for number in each[:4]] for each in embedder.embed_documents(["a", "b"])]


@scenario("errors")
def error(subject: Subject) -> Any:
    """Meet a server that refuses."""
    subject.sim.fail_always("400")
    return error_of(lambda: model(subject).invoke("Say: hi"))


@scenario("errors")
async def error_async(subject: Subject) -> Any:
    """Meet a server that refuses, async."""
    subject.sim.fail_always("400")
    return await async_error_of(model(subject).ainvoke("Say: hi"))
