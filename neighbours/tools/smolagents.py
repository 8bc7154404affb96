"""smolagents: a subclass of `OpenAIModel` whose `create_client` makes the client; alone and in an agent."""

from __future__ import annotations

from typing import Any

from smolagents import ChatMessage, MessageRole, OpenAIModel, Tool, ToolCallingAgent

from neighbours.scenario import MODEL, WEATHER, Subject, error_of, scenario


class Weather(Tool):
    name = "get_weather"
    description = "Tell the weather in a city."
    inputs = {"city": {"type": "string", "description": "The city."}}  # noqa: RUF012
    output_type = "string"

    def forward(self, city: str) -> str:
        return f"sunny in {city}"


def model(subject: Subject) -> OpenAIModel:
    class Model(OpenAIModel):
        def create_client(self) -> Any:
            return subject.client(max_retries=0)

    return Model(model_id=MODEL, api_base=f"{subject.url}/v1", api_key="none", retry=False)


def asked(text: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": text}])]


@scenario("chat")
def chat(subject: Subject) -> Any:
    reply = model(subject).generate(asked("Say: hello there"))
    return reply.content, reply.token_usage.total_tokens


@scenario("stream")
def stream(subject: Subject) -> Any:
    deltas = model(subject).generate_stream(asked("Say: hello there"))
    return "".join(delta.content or "" for delta in deltas)


@scenario("tools")
def tools(subject: Subject) -> Any:
    reply = model(subject).generate(asked(WEATHER), tools_to_call_from=[Weather()])
    return [[call.function.name, call.function.arguments] for call in reply.tool_calls]


@scenario("tools")
def agent(subject: Subject) -> Any:
    agent = ToolCallingAgent(tools=[Weather()], model=model(subject), max_steps=2, verbosity_level=0)
    agent.run(WEATHER)
    return [type(step).__name__ for step in agent.memory.steps], len(subject.sent())


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: model(subject).generate(asked("Say: hi")))
