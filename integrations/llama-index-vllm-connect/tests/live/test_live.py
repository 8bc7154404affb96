"""Scenarios A to D and H to K on real vLLM servers, as far as tiny models can play them."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from typing import Any, Literal

import openai
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.memory import Memory
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from vllm_connect import BadRequestError, ContextLengthError

TEXTS = ["Cats purr when they are happy.", "Paris is the capital of France.", "Dogs bark at strangers."]
QUESTION = "What is the capital of France?"
SAY = [ChatMessage(content="Think: I look outside.\nSay: The sky is blue today.")]


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny"


WEATHER = FunctionTool.from_defaults(get_weather)


class Verdict(BaseModel):
    """A short verdict."""

    answer: Literal["yes", "no"]
    score: int = Field(ge=0, le=9)


# A


async def test_chat(llm, ask):
    response = await ask(llm, "chat", SAY)
    thought, text = response.message.blocks
    assert isinstance(thought, ThinkingBlock)
    assert thought.content == "I look outside."
    assert thought.num_tokens
    assert text == TextBlock(text="The sky is blue today.")
    assert response.raw["usage"]["completion_tokens"] == response.additional_kwargs["completion_tokens"]


async def test_stream_chat(llm, ask):
    responses = await ask.stream(llm, "stream_chat", SAY)
    assert "".join(each.delta for each in responses) == "The sky is blue today."
    assert (
        "".join(each.additional_kwargs.get("thinking_delta") or "" for each in responses) == "I look outside."
    )
    assert responses[-1].raw["usage"]["completion_tokens"] > 5
    assert responses[-1].message.blocks[0].num_tokens


async def test_complete(llm, ask):
    assert (await ask(llm, "complete", "Say: hello")).text == "hello"
    assert (await ask.stream(llm, "stream_complete", "Say: hello"))[-1].text == "hello"


async def test_without_thinking(llm, ask):
    response = await ask(llm, "chat", SAY, enable_thinking=False)
    assert not any(isinstance(block, ThinkingBlock) for block in response.message.blocks)


async def test_constraints(llm, ask):
    constraint = {"choice": ["exactly this"]}
    response = await ask(llm, "complete", "Hello", structured_outputs=constraint, enable_thinking=False)
    assert response.text == "exactly this"


async def test_completion_mode(llm, ask):
    base = llm.model_copy(update={"mode": "completion", "max_tokens": 8})
    response = await ask(base, "complete", "Hello")
    streamed = await ask.stream(base, "stream_complete", "Hello")
    assert streamed[-1].text == response.text
    assert streamed[-1].raw["usage"]["completion_tokens"] == response.raw["usage"]["completion_tokens"] > 0


def test_metadata(llm):
    assert llm.metadata.context_window == 2048
    assert llm.metadata.model_name == "tiny-chat"


async def test_metadata_can_be_awaited(llm):
    assert (await llm.aload_metadata()).context_window == 2048


def test_several_event_loops(llm):
    llm = llm.model_copy(update={"max_retries": 0})
    for _ in range(3):
        assert asyncio.run(llm.acomplete("Say: hello")).text == "hello"


async def test_errors(llm, ask):
    with pytest.raises(ContextLengthError):
        await ask(llm, "complete", "hello " * 5000)
    with pytest.raises(openai.NotFoundError):
        await ask(llm, "complete", "Hello", model="no-such-model")
    with pytest.raises(BadRequestError):  # within the stream, after HTTP 200
        await ask.stream(llm, "stream_complete", "Hello", logit_bias={"99999999": 1})


async def test_closing_a_stream(llm, ask):
    stream = await ask(llm, "stream_chat", SAY, ignore_eos=True, max_tokens=1500)
    if ask.kind == "sync":
        next(stream)
        stream.close()
    else:
        await anext(stream)
        await stream.aclose()
    metrics: Any = None
    for _ in range(40):
        metrics = llm.client.server.metrics()
        if "vllm:num_requests_running" not in str(metrics) or _running(metrics) == 0:
            break
        await asyncio.sleep(0.1)
    assert _running(metrics) == 0


def _running(metrics: Any) -> float:
    lines = [line for line in str(metrics).splitlines() if line.startswith("vllm:num_requests_running")]
    return sum(float(line.split()[-1]) for line in lines)


async def test_counts_are_the_servers(llm, ask):
    for tools in ((), (WEATHER,)):
        counted = await ask(llm, "count_tokens", SAY, tools)
        response = await ask(llm, "chat_with_tools", list(tools), chat_history=SAY)
        assert counted == response.raw["usage"]["prompt_tokens"]


def test_tokenizer(llm):
    assert 1 < len(llm.tokenizer("Say: hello")) < 10


def png(red: int, green: int, blue: int) -> bytes:
    rows = b"".join(b"\0" + bytes((red, green, blue)) * 32 for _ in range(32))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def test_images(vision, ask):
    blocks = [ImageBlock(image=png(255, 0, 0)), TextBlock(text="What color is the image?")]
    response = await ask(vision, "chat", [ChatMessage(role="user", blocks=blocks)])
    assert "red" in response.message.content


# B


async def test_a_tool_loop(llm, ask):
    history = [ChatMessage(content="What is the weather in Paris?")]
    response = await ask(llm, "chat_with_tools", [WEATHER], chat_history=history)
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris"})
    result = ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.tool_id})
    answer = await ask(llm, "chat_with_tools", [WEATHER], chat_history=[*history, response.message, result])
    assert "sunny" in answer.message.content


async def test_streamed_calls(llm, ask):
    responses = await ask.stream(
        llm, "stream_chat_with_tools", [WEATHER], user_msg="What is the weather in Paris?"
    )
    (call,) = llm.get_tool_calls_from_response(responses[-1])
    assert call.tool_kwargs == {"city": "Paris"}
    assert responses[-1].message.additional_kwargs["tool_calls"]


async def test_predict_and_call(llm, ask):
    result = await ask(llm, "predict_and_call", [WEATHER], user_msg="What is the weather in Paris?")
    assert result.response == "sunny"


async def test_a_named_tool(llm, ask):
    response = await ask(
        llm, "chat_with_tools", [WEATHER], user_msg="What is the weather in Paris?", tool_choice="get_weather"
    )
    assert len(llm.get_tool_calls_from_response(response)) == 1


# C


async def test_objects(llm, ask):
    prompt = PromptTemplate("Is the sky blue?")
    made = await ask(llm, "structured_predict", Verdict, prompt)
    assert isinstance(made, Verdict)
    streamed = await ask.stream(llm, "stream_structured_predict", Verdict, prompt)
    assert streamed[-1] == made
    structured = llm.as_structured_llm(Verdict)
    assert (await ask(structured, "complete", "Is the sky blue?")).raw == made


# D


async def run(agent: Any, message: str, **kwargs: Any) -> tuple[Any, list[Any]]:
    handler = agent.run(message, **kwargs)
    events = [event async for event in handler.stream_events()]
    return await handler, events


@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent(llm, streaming):
    agent = FunctionAgent(tools=[WEATHER], llm=llm, streaming=streaming)
    result, events = await run(agent, "What is the weather in Paris?")
    assert "sunny" in str(result)
    assert [event.tool_kwargs for event in events if type(event) is ToolCallResult] == [{"city": "Paris"}]
    if streaming:
        assert any(event.thinking_delta for event in events if type(event) is AgentStream)


async def test_agent_workflow(llm):
    workflow = AgentWorkflow.from_tools_or_functions([WEATHER], llm=llm)
    result, _ = await run(workflow, "What is the weather in Rome?")
    assert "sunny" in str(result)


async def test_memory(llm):
    memory = Memory.from_defaults(session_id="live", token_limit=1500)
    agent = FunctionAgent(tools=[WEATHER], llm=llm)
    await run(agent, "My name is Ada.", memory=memory)
    result, _ = await run(agent, "What is my name?", memory=memory)
    assert "Ada" in str(result)


async def test_react_agent(llm):
    agent = ReActAgent(tools=[WEATHER], llm=llm, system_prompt="x")
    agent.update_prompts({"react_header": PromptTemplate("Answer. {tool_desc} {tool_names}")})
    result, _ = await run(agent, "Say: Thought: I know.\nAnswer: yes")
    assert str(result) == "yes"


async def test_code_act_agent(llm):
    async def execute(code: str) -> str:
        return f"Say: {code.strip()}"

    agent = CodeActAgent(code_execute_fn=execute, llm=llm, code_act_system_prompt="{tool_descriptions}")
    result, events = await run(agent, "Say: <execute>print(1)</execute>")
    assert any(type(event) is ToolCallResult for event in events)
    assert "print(1)" in str(result)


async def test_an_object_in_the_end(llm):
    agent = FunctionAgent(tools=[WEATHER], llm=llm, output_cls=Verdict)
    result, _ = await run(agent, "What is the weather in Paris?")
    assert isinstance(result.get_pydantic_model(Verdict), Verdict)


# H, I, J, K


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
async def test_counted_tokens(llm, ask, method):
    counter = TokenCountingHandler()
    llm = llm.model_copy(update={"callback_manager": CallbackManager([counter])})
    responses = await ask.stream(llm, method, SAY) if "stream" in method else [await ask(llm, method, SAY)]
    usage = responses[-1].raw["usage"]
    assert counter.prompt_llm_token_count == usage["prompt_tokens"]
    assert counter.completion_llm_token_count == usage["completion_tokens"]


async def test_rerank(reranker, ask):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    ranked = await ask(reranker, "postprocess_nodes", nodes, query_str=QUESTION)
    assert ranked[0].node.text == TEXTS[1]
    assert len(ranked) == 2


async def test_evaluation(llm, ask):
    template = PromptTemplate("Say: YES")
    evaluator = FaithfulnessEvaluator(llm=llm, eval_template=template, refine_template=template)
    arguments: Any = {"query": "q", "response": "r", "contexts": ["c"]}
    if ask.kind == "sync":
        assert evaluator.evaluate(**arguments).passing
    else:
        assert (await evaluator.aevaluate(**arguments)).passing


def test_settings(llm, embedding):
    Settings.llm, Settings.embed_model, Settings.tokenizer = llm, embedding, llm.tokenizer
    index = VectorStoreIndex.from_documents([Document(text=TEXTS[1])])
    assert "Paris" in str(
        index.as_query_engine(text_qa_template=PromptTemplate("{query_str}")).query(QUESTION)
    )


def test_responses_can_be_stored(llm):
    for response in llm.stream_chat_with_tools([WEATHER], user_msg="What is the weather in Paris?"):
        json.loads(response.message.model_dump_json())
        json.dumps(response.raw)
