"""An agent that calls tools and thinks aloud.

VLLM_BASE_URL names the server; without it a simulator answers.
"""

import asyncio
import os
from contextlib import ExitStack

from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult

from llama_index.llms.vllm_connect import VLLM
from vllm_connect.sim import SimServer


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return "sunny"


async def main() -> None:
    with ExitStack() as stack:
        url = os.environ.get("VLLM_BASE_URL") or stack.enter_context(SimServer()).url
        llm = VLLM(base_url=url, temperature=0)
        await llm.aload_metadata()  # the loop does not even wait for the model's context
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        handler = agent.run("What is the weather in Paris?")
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                print(event.thinking_delta or event.delta, end="", flush=True)
            elif isinstance(event, ToolCallResult):
                print(f"\n{event.tool_name}({event.tool_kwargs}) -> {event.tool_output}")
        print("\n---\n" + str(await handler))
        await llm.aclose()


asyncio.run(main())
