"""Agents of every kind, on a model that does what it is told."""

from __future__ import annotations

import base64
import contextlib
import io
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from pydantic import BaseModel

from llama_index.llms.vllm_connect import VLLM

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return "sunny"


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [get_weather, multiply, add]


def of_type(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if type(event) is kind]


@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent(llm, sent, streaming, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm, streaming=streaming, system_prompt="Help.")
    result, events = await run(agent, "What is the weather in Paris?")
    assert str(result) == "The weather in Paris is sunny."
    (call,) = of_type(events, ToolCallResult)
    assert (call.tool_name, call.tool_kwargs, call.tool_output.content) == (
        "get_weather",
        {"city": "Paris"},
        "sunny",
    )
    assert len(sent()) == 2
    if streaming:
        streamed = of_type(events, AgentStream)
        assert (
            "".join(event.thinking_delta or "" for event in streamed) == "I call the tool.I tell the result."
        )
        assert "".join(event.delta for event in streamed) == "The weather in Paris is sunny."
        assert streamed[-1].response == "The weather in Paris is sunny."
        assert any(event.tool_calls for event in streamed)
        assert streamed[-1].raw["usage"]["total_tokens"] > 0


async def test_reasoning_goes_back_in_the_loop(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    await run(agent, 'Think: I wonder\nCall get_weather {"city": "Rome"}')
    assistant = sent()[1]["messages"][1]
    assert assistant["reasoning"] == "I wonder"
    assert assistant["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Rome"}'}


async def test_several_calls_at_once(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    result, events = await run(agent, "What is 15 * 23? What is 15 + 23?")
    outputs = {event.tool_output.content for event in of_type(events, ToolCallResult)}
    assert outputs == {"345", "38"}
    assert "345" in str(result)
    assert "38" in str(result)
    assert len(sent()) == 2
    assert sent()[0]["parallel_tool_calls"] is True


async def test_one_call_at_a_time(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm, allow_parallel_tool_calls=False)
    result, events = await run(agent, "What is 15 * 23? What is 15 + 23?")
    assert len(of_type(events, ToolCallResult)) == 1
    assert sent()[0]["parallel_tool_calls"] is False
    assert str(result) == "The result is 345."


async def test_initial_tool_choice(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm, initial_tool_choice="get_weather")
    _, events = await run(agent, "Hello")
    assert of_type(events, ToolCall)[0].tool_name == "get_weather"
    assert [body["tool_choice"] for body in sent()] == [
        {"type": "function", "function": {"name": "get_weather"}},
        "auto",
    ]


async def test_thinking_alone(vllm_sim, run):
    llm = VLLM(base_url=vllm_sim.url, max_tokens=2)
    result, events = await run(FunctionAgent(tools=TOOLS, llm=llm), "Think: I wonder and wonder\nSay: x")
    assert isinstance(result.response.blocks[0], ThinkingBlock)
    assert "".join(event.thinking_delta or "" for event in of_type(events, AgentStream)).startswith("I")


class Report(BaseModel):
    """What was found out."""

    text: str


async def test_an_object_in_the_end(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm, output_cls=Report)
    result, _ = await run(agent, "What is the weather in Paris?")
    assert isinstance(result.get_pydantic_model(Report), Report)
    assert sent()[-1]["response_format"]["type"] == "json_schema"


async def test_return_direct(llm, sent, run):
    direct = FunctionTool.from_defaults(get_weather, return_direct=True)
    result, _ = await run(FunctionAgent(tools=[direct], llm=llm), "What is the weather in Paris?")
    assert str(result) == "sunny"
    assert len(sent()) == 1


async def test_return_direct_and_then_another_question(llm, run):
    direct = FunctionTool.from_defaults(get_weather, return_direct=True)
    agent = FunctionAgent(tools=[direct], llm=llm)
    context = Context(agent)
    await run(agent, "What is the weather in Paris?", ctx=context)
    result, _ = await run(agent, "Say: more", ctx=context)
    assert str(result) == "more"


@pytest.mark.parametrize("method", ["force", "generate"])
async def test_too_many_iterations(llm, method):
    agent = FunctionAgent(tools=TOOLS, llm=llm, early_stopping_method=method)
    handler = agent.run("What is the weather in Paris?", max_iterations=1)
    if method == "force":
        with pytest.raises(Exception, match="Max iterations"):
            await handler
    else:
        assert (await handler).response.content


async def test_an_image_from_a_tool(llm, sent, run):
    def camera() -> list[Any]:
        """Take a picture."""
        return [TextBlock(text="here"), ImageBlock(image=PNG)]

    await run(FunctionAgent(tools=[FunctionTool.from_defaults(camera)], llm=llm), "Call camera {}")
    result = sent()[1]["messages"][-1]
    assert result["role"] == "tool"
    kinds = [part["type"] for part in result["content"]] if isinstance(result["content"], list) else []
    assert "image_url" in kinds


@pytest.mark.parametrize(
    "memory",
    [
        lambda: Memory.from_defaults(session_id="s", token_limit=4000),
        lambda: ChatMemoryBuffer.from_defaults(token_limit=4000),
    ],
)
async def test_memory(llm, sent, memory, run):
    remembered = memory()
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    await run(agent, "My name is Ada.", memory=remembered)
    await run(agent, "What is the weather in Paris?", memory=remembered)
    result, _ = await run(agent, "What is my name?", memory=remembered)
    assert str(result) == "Your name is Ada."
    roles = [message["role"] for message in sent()[-1]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]


async def test_a_memory_that_is_summed_up(llm, sent, run):
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=25, tokenizer_fn=llm.tokenizer)
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    await run(agent, "Hello\nSay: Ada was here, and so on and so on and so on", memory=memory)
    result, _ = await run(agent, "Say: x", memory=memory)
    assert str(result) == "x"
    (summed_up,) = [body for body in sent() if "Transcript so far" in str(body["messages"][-1]["content"])]
    assert "tools" not in summed_up
    system, *_ = sent()[-1]["messages"]
    assert system["role"] == "system"
    assert system["content"].startswith("Ada was here")


async def test_a_memory_that_is_saved(llm, sent, run):
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
    await run(agent, "What is the weather in Paris?", memory=memory)
    saved = [message.model_dump_json() for message in memory.get_all()]
    messages = [ChatMessage.model_validate_json(text) for text in saved]
    restored = ChatMemoryBuffer.from_defaults(messages, token_limit=4000)
    await run(agent, "Say: x", memory=restored)
    _, assistant, tool, *_ = sent()[-1]["messages"]
    assert assistant["reasoning"] == "I call the tool."
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_react_agent(llm, sent, streaming, run):
    def look_up(city: str) -> str:
        """Look something up."""
        return f"{city} is fine.\nSay: Thought: I know.\nAnswer: {city} is fine."

    agent = ReActAgent(tools=[look_up], llm=llm, streaming=streaming)
    result, events = await run(
        agent, 'Say: Thought: I look.\nAction: look_up\nAction Input: {"city": "Rome"}'
    )
    assert str(result) == "Rome is fine."
    assert of_type(events, ToolCallResult)[0].tool_kwargs == {"city": "Rome"}
    assert all("tools" not in body for body in sent())
    if streaming:
        assert any(event.thinking_delta for event in of_type(events, AgentStream))


async def test_code_act_agent(llm, run):
    async def execute(code: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code)
        return printed.getvalue()

    agent = CodeActAgent(code_execute_fn=execute, llm=llm)
    message = "Say: <execute>\nprint('Say: it is', 6 * 7)\n</execute>"
    result, events = await run(agent, message)
    assert str(result).strip().startswith("it is 42")
    assert of_type(events, ToolCallResult)[0].tool_output.content.strip() == "Say: it is 42"


async def test_workflow_from_tools(llm, run):
    workflow = AgentWorkflow.from_tools_or_functions(TOOLS, llm=llm)
    assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
    result, _ = await run(workflow, "What is the weather in Paris?")
    assert str(result) == "The weather in Paris is sunny."


async def test_workflow_without_function_calling(vllm_sim, run):
    llm = VLLM(base_url=vllm_sim.url, is_function_calling_model=False)
    workflow = AgentWorkflow.from_tools_or_functions(TOOLS, llm=llm)
    assert isinstance(next(iter(workflow.agents.values())), ReActAgent)
    result, _ = await run(workflow, "Say: Thought: I know.\nAnswer: yes")
    assert str(result) == "yes"


async def test_a_handoff(llm, sent, run):
    first = FunctionAgent(name="first", description="Asks.", tools=[add], llm=llm, can_handoff_to=["second"])
    second = FunctionAgent(name="second", description="Knows.", tools=[get_weather], llm=llm)
    workflow = AgentWorkflow(
        agents=[first, second],
        root_agent="first",
        handoff_output_prompt="{to_agent} takes over: {reason}\nSay: I am here.",
    )
    result, events = await run(workflow, 'Call handoff {"to_agent": "second", "reason": "weather"}')
    assert of_type(events, AgentOutput)[-1].current_agent_name == "second"
    names = [tool["function"]["name"] for tool in sent()[-1]["tools"]]
    assert "get_weather" in names
    assert result.current_agent_name == "second"


async def test_errors_end_the_run(llm, vllm_sim, run):
    vllm_sim.fail_always("400", message="no such thing")
    with pytest.raises(Exception, match="no such thing"):
        await run(FunctionAgent(tools=TOOLS, llm=llm), "Hello")
