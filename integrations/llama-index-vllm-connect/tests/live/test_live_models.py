"""The LLM, tools, structured answers, the embedding model, reranking and evaluation on real vLLM servers.

What the tiny models cannot play, and the simulator does instead:

* errors 401, 500 and 503, timeouts and broken connections: a healthy server has none of them.
* arguments other than a city: the model was trained on one tool. Several calls in one piece of a
  stream: this server sends them one after the other. Calls without id: vLLM gives each one.
* an object with a meaning: the schema is held, but what stands in it is noise.
* sounds and videos, which the tiny vision model does not take.
* a verdict of the model's own: it repeats the one in the prompt.
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from typing import Any, Literal

import openai
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.evaluation import CorrectnessEvaluator, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.rate_limiter import TokenBucketRateLimiter
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


class Place(BaseModel):
    """A capital."""

    city: str
    country: str


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


@pytest.mark.parametrize("method", ["stream_chat", "stream_complete", "stream_structured_predict"])
async def test_closing_a_stream(llm, ask, method):
    arguments: dict[str, tuple[Any, ...]] = {
        "stream_chat": (SAY,),
        "stream_complete": ("Count to 5",),
        "stream_structured_predict": (Verdict, PromptTemplate("Count to 5")),
    }
    llm = llm.model_copy(update={"ignore_eos": True, "max_tokens": 1500})
    stream = await ask(llm, method, *arguments[method])
    await ask.leave_early(stream)
    await _nothing_runs(llm)
    del stream  # held until here: closing is more than dropping


async def test_cancelling(llm):
    task = asyncio.create_task(llm.achat(SAY, ignore_eos=True, max_tokens=1500))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _nothing_runs(llm)


async def _nothing_runs(llm: Any) -> None:
    for _ in range(40):
        if _running(llm.client.server.metrics()) == 0:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the server goes on")


def _running(metrics: Any) -> float:
    lines = [line for line in str(metrics).splitlines() if line.startswith("vllm:num_requests_running")]
    assert lines
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


async def test_programs(llm, ask):
    prompt = ChatPromptTemplate([ChatMessage(content='Say: {"city": "Rome", "country": "Italy"}')])
    # Instructions after what is to be said would be said, too.
    parser = PydanticOutputParser(Place, pydantic_format_tmpl="{schema:.0}")
    reading = LLMTextCompletionProgram.from_defaults(output_parser=parser, llm=llm, prompt=prompt)
    calling = FunctionCallingProgram.from_defaults(Place, prompt_template_str="Hello", llm=llm)
    for program in (reading, calling):
        made = program() if ask.kind == "sync" else await program.acall()
        assert isinstance(made, Place)


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


@pytest.mark.parametrize("kind", [FaithfulnessEvaluator, RelevancyEvaluator])
@pytest.mark.parametrize("said", ["YES", "NO"])
async def test_evaluation(llm, ask, kind, said):
    template = PromptTemplate(f"Say: {said}")
    evaluator = kind(llm=llm, eval_template=template, refine_template=template)
    result = await ask(evaluator, "evaluate", query="q", response="r", contexts=["c"])
    assert result.passing == (said == "YES")


async def test_evaluation_by_a_score(llm, ask):
    evaluator = CorrectnessEvaluator(llm=llm, eval_template=PromptTemplate("Say: 4.5\nfine"))
    result = await ask(evaluator, "evaluate", query="q", response="r", reference="a")
    assert (result.score, result.feedback) == (4.5, "fine")


async def test_events_and_limits(llm, ask, events):
    limiter = TokenBucketRateLimiter(requests_per_minute=600)
    llm = llm.model_copy(update={"rate_limiter": limiter})
    responses = await ask.stream(llm, "stream_chat", SAY)
    assert [name.removesuffix("Event") for name in events.names("LLMChat")] == [
        "LLMChatStart",
        *["LLMChatInProgress"] * len(responses),
        "LLMChatEnd",
    ]
    assert limiter._request_tokens < 600


def test_llm_rerank(llm):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    said = PromptTemplate("Say: Doc: 2, Relevance: 9")
    (best,) = LLMRerank(llm=llm, top_n=1, choice_select_prompt=said).postprocess_nodes(
        nodes, query_str=QUESTION
    )
    assert best.node.text == TEXTS[1]
    # The schema is held, or this would raise; the numbers of the documents are noise.
    StructuredLLMRerank(llm=llm, top_n=1, raise_on_structured_prediction_failure=True).postprocess_nodes(
        nodes, query_str=QUESTION
    )


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
