"""What the standard tests do not ask of the real servers."""

from __future__ import annotations

import asyncio
import re
import runpy
from pathlib import Path
from typing import Literal

import pytest
from langchain_core import exceptions as core
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank
from tests.faces import FACES
from tests.media import as_base64, png
from tests.servers import live_url

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}
ASK = "Think: I look it up.\nSay: The answer is 42."
DOCUMENTS = [
    Document("Cats purr.", id="d1"),
    Document("Paris is the capital of France.", id="d2"),
    Document("Berlin has many lakes.", id="d3"),
]


@pytest.fixture
def model() -> ChatVLLM:
    return ChatVLLM(model="tiny-chat", base_url=live_url("chat"), temperature=0)


async def test_reasoning_every_way(model):
    streamed = [chunk async for chunk in model.astream(ASK)]
    events = model.stream_events(ASK, version="v3")
    assert_valid_event_stream(list(events))
    for message in (
        model.invoke(ASK),
        await model.ainvoke(ASK),
        add_ai_message_chunks(streamed[0], *streamed[1:]),
        events.output,
    ):
        reasoning, text = message.content_blocks
        assert (reasoning["type"], reasoning["reasoning"]) == ("reasoning", "I look it up.")
        assert (text["type"], text["text"]) == ("text", "The answer is 42.")
        assert message.usage_metadata["output_tokens"] > 5


def test_reasoning_goes_round(model):
    """The server takes it; tiny-chat's own template makes nothing of it."""
    call = {"name": "f", "args": {}, "id": "c1", "type": "tool_call"}
    thought = AIMessage("", tool_calls=[call], additional_kwargs={"reasoning_content": "I look it up."})
    messages = [HumanMessage("Hello"), thought, ToolMessage("3", tool_call_id="c1")]
    assert model.invoke(messages).content == "The result is 3."


def test_choice_and_regex():
    model = ChatVLLM(base_url=live_url("chat"), temperature=0, max_tokens=50, **QUIET)
    assert model.with_structured_output(Literal["yes", "no"]).invoke("Hello") in ("yes", "no")
    found = model.with_structured_output(re.compile(r"\d{3}-\d{2}")).invoke("Hello")
    assert re.fullmatch(r"\d{3}-\d{2}", found)
    grammar = 'root ::= "up" | "down"'
    assert model.with_structured_output(grammar, method="grammar").invoke("Hello") in ("up", "down")


def test_several_answers(model):
    result = model.generate([[HumanMessage("Say: hello")]], n=2, temperature=1)
    assert len(result.generations[0]) == 2
    chunks = list(model.stream("Say: hello", n=2, temperature=0.01))
    whole = add_ai_message_chunks(chunks[0], *chunks[1:])
    assert (whole.content, whole.response_metadata["finish_reason"]) == ("hello", "stop")


def test_continuous_usage(model):
    chunks = list(model.stream(ASK, stream_options={"continuous_usage_stats": True}))
    whole = add_ai_message_chunks(chunks[0], *chunks[1:])
    assert whole.usage_metadata["total_tokens"] == model.invoke(ASK).usage_metadata["total_tokens"]


def test_tokens_and_profile(model):
    count = model.get_num_tokens_from_messages([HumanMessage("Say: hello")])
    assert count == model.invoke("Say: hello").usage_metadata["input_tokens"]
    assert model.get_num_tokens("hello") > 0
    assert model.profile["max_input_tokens"] == model.refresh_profile()["max_input_tokens"] == 2048


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return city


@pytest.mark.parametrize(
    ("choice", "limit", "reasons"),
    [
        (None, None, ("tool_calls", "tool_call")),
        ("get_weather", None, ("stop", "tool_call")),  # vLLM calls it so where the tool is forced
        ("get_weather", 4, ("length", "length")),
    ],
)
def test_endings(model, choice, limit, reasons):
    bound = model.bind_tools([get_weather], tool_choice=choice, **({"max_tokens": limit} if limit else {}))
    for face in FACES.values():
        found = face(bound, prompt='Call get_weather {"city": "Rome"}').response_metadata
        assert (found["finish_reason"], found["normalized_finish_reason"]) == reasons


def test_reasoning_effort(model):
    assert model.invoke("Say: hello", reasoning_effort="low").text == "hello"
    with pytest.raises(core.ModelError, match="'none', 'minimal', 'low'"):
        model.invoke("Say: hello", reasoning_effort="silly")


def test_errors(model):
    with pytest.raises(core.ContextOverflowError):
        model.invoke("word " * 4000)
    with pytest.raises(core.ModelNotFoundError):
        model.invoke("Hello", model="nobody")
    with pytest.raises(core.ModelError):  # inside an HTTP 200
        list(model.stream("Hello", logit_bias={"99999999": 1}))


def test_second_event_loop(model):
    for _ in range(2):
        assert asyncio.run(model.ainvoke("Say: hello")).content == "hello"


def test_an_image():
    model = ChatVLLM(base_url=live_url("vision"), temperature=0, max_tokens=50)
    image = {"type": "image", "base64": as_base64(png((255, 0, 0), 64)), "mime_type": "image/png"}
    text = {"type": "text", "text": "What color is the image?"}
    assert "red" in model.invoke([HumanMessage([image, text])]).text


def test_completion():
    llm = VLLMCompletion(base_url=live_url("chat"), temperature=0, max_tokens=8)
    result = llm.generate(["Once upon", "Hello"])
    assert [len(answers) for answers in result.generations] == [1, 1]
    assert "".join(llm.stream("Once upon")) == result.generations[0][0].text


def test_embeddings():
    embeddings = VLLMEmbeddings(base_url=live_url("embed"), batch_size=2)
    vectors = embeddings.embed_documents(["one", "two", "three"])
    assert [len(vector) for vector in vectors] == [384] * 3
    assert vectors[2] == pytest.approx(embeddings.embed_query("three"), abs=1e-3)


def test_rerank():
    for name in ("rerank", "embed"):
        found = VLLMRerank(base_url=live_url(name), top_n=1).compress_documents(
            DOCUMENTS, "What is the capital of France?"
        )
        assert [document.id for document in found] == ["d2"]


def test_cross_encoder():
    pairs = [("What is the capital of France?", document.page_content) for document in DOCUMENTS]
    scores = VLLMCrossEncoder(base_url=live_url("rerank")).score(pairs)
    assert scores.index(max(scores)) == 1


def test_example_rag(capsys):
    urls = [live_url(name) for name in ("chat", "embed", "rerank")]
    runpy.run_path(str(EXAMPLES / "rag.py"))["main"](*urls)
    assert "Paris" in capsys.readouterr().out


def test_example_agent(capsys):
    runpy.run_path(str(EXAMPLES / "agent.py"))["main"](live_url("chat"), "tiny-chat")
    printed = capsys.readouterr().out
    assert "The weather in Paris is sunny." in printed
    assert "punchline=" in printed
