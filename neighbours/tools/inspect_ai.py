"""Inspect AI: its `openai` provider with the client put in its place, in generation, tools and a task."""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate as solve
from inspect_ai.solver import use_tools
from inspect_ai.tool import Tool, tool

from neighbours.scenario import MODEL, WEATHER, Subject, async_error_of, scenario


@tool
def get_weather() -> Tool:
    async def execute(city: str) -> str:
        """Tell the weather in a city.

        Args:
            city: The city.
        """
        return f"sunny in {city}"

    return execute


def model(subject: Subject) -> Any:
    found = get_model(
        f"vllm/{MODEL}",
        base_url=f"{subject.url}/v1",
        api_key="none",
        config=GenerateConfig(max_retries=0),
        memoize=False,
    )
    api: Any = found.api
    # It is called when the model is first used, and again whenever a task begins.
    api._create_client = lambda: subject.async_client(max_retries=0)
    return found


@scenario("chat")
async def chat(subject: Subject) -> Any:
    output = await model(subject).generate("Think: I say it.\nSay: hello there")
    return output.completion, output.usage.total_tokens


@scenario("tools")
async def tools(subject: Subject) -> Any:
    messages, output = await model(subject).generate_loop(
        [ChatMessageUser(content=WEATHER)], tools=[get_weather()]
    )
    return output.completion, [each.role for each in messages], subject.reasoning_sent_back()


@scenario("own")
async def task(subject: Subject) -> Any:
    sample = Sample(input=WEATHER, target="sunny")
    work = Task(dataset=[sample], solver=[use_tools(get_weather()), solve()], scorer=includes())
    log = (await eval_async(work, model=model(subject), log_dir="logs"))[0]
    return log.status, log.results.scores[0].metrics["accuracy"].value  # type: ignore[union-attr]


@scenario("errors")
async def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return await async_error_of(model(subject).generate("Say: hi"))
