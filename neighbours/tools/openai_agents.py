"""openai-agents: both of its models, in tool loops, streams, handoffs and guardrails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario

set_tracing_disabled(True)


class Person(BaseModel):
    """What a structured answer is."""

    name: str
    age: int


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def chat_model(subject: Subject) -> Model:
    """Make the model that speaks chat completions."""
    return OpenAIChatCompletionsModel(model=MODEL, openai_client=subject.async_client())


def responses_model(subject: Subject) -> Model:
    """Make the model that speaks the Responses API."""
    return OpenAIResponsesModel(model=MODEL, openai_client=subject.async_client())


def usage(result: Any) -> list[int]:
    """Return the tokens of a run."""
    used = result.context_wrapper.usage
    return [used.requests, used.input_tokens, used.output_tokens]


async def plain(model: Model, prompt: str) -> Any:
    """Run an agent without tools."""
    result = await Runner.run(Agent(name="a", instructions="Be short.", model=model), prompt)
    return result.final_output, [type(each).__name__ for each in result.new_items], usage(result)


async def streamed(agent: Agent[Any], prompt: str) -> Any:
    """Run an agent streamed; return its output and how often each kind of event came."""
    run = Runner.run_streamed(agent, prompt)
    kinds: Counter[str] = Counter()
    async for event in run.stream_events():
        kinds[event.data.type if event.type == "raw_response_event" else event.type] += 1
    return run.final_output, [type(each).__name__ for each in run.new_items], kinds


@scenario("chat")
async def chat(subject: Subject) -> Any:
    """Answer a question."""
    return await plain(chat_model(subject), "Say: hello there")


@scenario("own")
def run_sync(subject: Subject) -> Any:
    """Run without a loop of one's own."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    return Runner.run_sync(Agent(name="a", model=chat_model(subject)), "Say: hello there").final_output


@scenario("stream")
async def chat_stream(subject: Subject) -> Any:
    """Stream an answer, with its reasoning."""
    return await streamed(Agent(name="a", model=chat_model(subject)), "Think: I say it.\nSay: hello there")


@scenario("tools")
async def chat_tool_loop(subject: Subject) -> Any:
    """Call a tool and answer; the reasoning of the first turn goes back to the server."""
    result = await Runner.run(Agent(name="a", model=chat_model(subject), tools=[get_weather]), WEATHER)
    return result.final_output, usage(result), subject.reasoning_sent_back()


@scenario("tools")
async def chat_tool_loop_streamed(subject: Subject) -> Any:
    """The same, streamed."""
    seen = await streamed(Agent(name="a", model=chat_model(subject), tools=[get_weather]), WEATHER)
    return seen, subject.reasoning_sent_back()


@scenario("structured")
async def chat_structured(subject: Subject) -> Any:
    """Answer with an object."""
    agent = Agent(name="a", model=chat_model(subject), output_type=Person)
    return (await Runner.run(agent, "Who?")).final_output


@scenario("own")
async def chat_handoff(subject: Subject) -> Any:
    """Hand a conversation over to another agent."""
    other = Agent(name="other", model=chat_model(subject))
    agent = Agent(name="a", model=chat_model(subject), handoffs=[other])
    result = await Runner.run(agent, "Call transfer_to_other {}")
    return result.last_agent.name, [type(each).__name__ for each in result.new_items]


@scenario("own")
async def chat_agent_as_tool(subject: Subject) -> Any:
    """Use another agent as a tool."""
    other = Agent(name="other", model=chat_model(subject)).as_tool("ask_other", "Ask the other one.")
    agent = Agent(name="a", model=chat_model(subject), tools=[other])
    return (await Runner.run(agent, 'Call ask_other {"input": "Say: hi"}')).final_output


@scenario("own")
async def chat_guardrail(subject: Subject) -> Any:
    """Let a guardrail stop a run."""

    async def refuse(*_: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    agent = Agent(name="a", model=chat_model(subject), input_guardrails=[InputGuardrail(refuse)])
    return await async_error_of(Runner.run(agent, "Say: hi"))


@scenario("own")
async def chat_session(subject: Subject) -> Any:
    """Remember what was said."""
    agent, session = Agent(name="a", model=chat_model(subject)), SQLiteSession("s")
    await Runner.run(agent, "My name is Ada.", session=session)
    return (await Runner.run(agent, "What is my name?", session=session)).final_output


@scenario("own")
async def chat_settings(subject: Subject) -> Any:
    """Pass sampling parameters, vLLM's own included."""
    settings = ModelSettings(temperature=0.1, max_tokens=50, extra_body={"top_k": 3})
    result = await Runner.run(
        Agent(name="a", model=chat_model(subject), model_settings=settings), "Count to 9"
    )
    body = subject.sent()[-1]
    return result.final_output, body["temperature"], body["top_k"]


@scenario("errors")
async def chat_error(subject: Subject) -> Any:
    """Meet a server that refuses."""
    subject.sim.fail_always("400")
    return await async_error_of(Runner.run(Agent(name="a", model=chat_model(subject)), "Say: hi"))


@scenario("responses")
async def responses(subject: Subject) -> Any:
    """Answer a question."""
    output, items, _ = await plain(responses_model(subject), "Say: hello there")
    return output, items


@scenario("responses")
async def responses_stream(subject: Subject) -> Any:
    """Stream an answer."""
    output, items, kinds = await streamed(Agent(name="a", model=responses_model(subject)), "Say: hello there")
    return output, items, kinds["response.output_text.delta"]


@scenario("responses")
async def responses_tool_loop(subject: Subject) -> Any:
    """Call a tool and answer."""
    agent = Agent(name="a", model=responses_model(subject), tools=[get_weather])
    result = await Runner.run(agent, WEATHER)
    return result.final_output, [type(each).__name__ for each in result.new_items]


@scenario("responses")
async def responses_structured(subject: Subject) -> Any:
    """Answer with an object."""
    agent = Agent(name="a", model=responses_model(subject), output_type=Person)
    return (await Runner.run(agent, "Who?")).final_output
