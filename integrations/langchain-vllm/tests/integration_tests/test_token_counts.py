"""Counting tokens: never a failure, never a wait on an event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages

from langchain_vllm import ChatVLLM, VLLMCompletion
from tests.answering import Body, answering

HISTORY = [SystemMessage("Be kind.")]
for number in range(6):
    HISTORY += [HumanMessage(f"question number {number} " * 3), AIMessage(f"answer number {number} " * 3)]
HISTORY.append(HumanMessage("and now?"))


def strict(path: str, body: Body) -> Any:
    """A server whose template insists on alternating roles, and counts words."""
    messages = body.get("messages") or [{"role": "user", "content": body.get("prompt")}]
    turns = [message["role"] for message in messages if message["role"] != "system"]
    if not turns or any((role == "user") != (place % 2 == 0) for place, role in enumerate(turns)):
        return 400, {"error": {"message": "roles must alternate", "type": "BadRequestError", "code": 400}}
    count = sum(len(str(message["content"]).split()) + 4 for message in messages)
    return {"count": count, "max_model_len": 100, "tokens": list(range(count))}


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "last", "include_system": True, "start_on": "human"},
        {"strategy": "last"},
        {"strategy": "first"},
    ],
)
def test_trimming_works_on_strict_templates(options):
    with answering(strict) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        trimmed = trim_messages(HISTORY, max_tokens=60, token_counter=model, **options)
        assert 0 < len(trimmed) < len(HISTORY)


@pytest.mark.parametrize(
    "messages",
    [HISTORY[:1], HISTORY[2:3], HISTORY[1:3] + HISTORY[2:3], [ToolMessage("3", tool_call_id="c")]],
    ids=["system", "assistant", "twice", "tool"],
)
async def test_what_a_template_refuses_is_counted_as_text(messages):
    with answering(strict) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        count = await model.aget_num_tokens_from_messages(messages)
        assert sum(len(message.text.split()) for message in messages) <= count <= 60
        assert [set(body) & {"messages", "prompt"} for _, body in server.requests] == [
            {"messages"},
            {"prompt"},
        ]


def test_a_server_that_does_not_count_is_warned_about_once(caplog):
    for answer in ((404, {"error": {"message": "no"}}), (500, {}), (401, {"error": {"message": "no"}})):
        caplog.clear()
        with answering(lambda path, body, answer=answer: answer) as server, caplog.at_level(logging.WARNING):
            model = ChatVLLM(model="m", base_url=server.url, max_retries=0)
            assert model.get_num_tokens_from_messages(HISTORY) > 50
            assert model.get_num_tokens("one two three") > 0
            (record,) = [each for each in caplog.records if each.name.startswith("langchain_vllm")]
            assert "estimated" in record.getMessage()


def test_a_server_that_is_not_there_does_not_matter():
    model = ChatVLLM(model="m", base_url="http://127.0.0.1:9", max_retries=0)
    assert model.get_num_tokens_from_messages(HISTORY) > 50


async def test_an_event_loop_never_waits(sim, model):
    for count in (
        model.get_num_tokens_from_messages(HISTORY),
        model.get_num_tokens("word " * 20),
        VLLMCompletion(base_url=sim.url).get_num_tokens("word " * 20),
        VLLMCompletion(base_url=sim.url).get_num_tokens_from_messages(HISTORY),
    ):
        assert count > 20
    assert len(trim_messages(HISTORY, max_tokens=60, token_counter=model)) < len(HISTORY)
    assert sim.requests == []


def test_an_estimate_comes_near_once_the_server_has_counted(model):
    exact = model.get_num_tokens_from_messages(HISTORY)

    async def estimate() -> int:
        return model.get_num_tokens_from_messages(HISTORY)

    assert exact <= asyncio.run(estimate()) <= exact * 1.5
    assert asyncio.run(model.aget_num_tokens_from_messages(HISTORY)) == exact


@pytest.mark.parametrize("counter", ["the default", "the model"])
async def test_summaries_are_made_on_an_event_loop_without_asking_for_counts(sim, model, counter):
    options = {"token_counter": model.get_num_tokens_from_messages} if counter == "the model" else {}
    middleware = SummarizationMiddleware(model, trigger=("tokens", 60), keep=("messages", 2), **options)
    agent: Any = create_agent(model, [], middleware=[middleware])
    result = await agent.ainvoke({"messages": HISTORY[1:]})
    assert len(result["messages"]) < len(HISTORY)
    assert [request.path for request in sim.requests] == ["/v1/chat/completions"] * 2


def test_texts_are_counted_without_special_tokens(sim, model):
    text = "one two three"
    assert (
        model.get_num_tokens(text)
        == len(model.get_token_ids(text))
        == VLLMCompletion(base_url=sim.url).get_num_tokens(text)
    )
    assert model.get_num_tokens("") == 0


def test_own_tokenizers_are_asked_instead(sim):
    model = ChatVLLM(base_url=sim.url, custom_get_token_ids=lambda text: [1] * len(text.split()))
    assert model.get_num_tokens("one two three") == 3
    assert model.get_num_tokens_from_messages([HumanMessage("one two")]) >= 2
    assert sim.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": False},
        {"reasoning_effort": "none"},
        {"extra_body": {"reasoning_effort": "none"}},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        {"thinking": True, "reasoning_effort": "none"},
    ],
)
async def test_counts_know_what_the_template_is_told(sim, fields):
    model = ChatVLLM(base_url=sim.url, **fields)
    messages = [HumanMessage("Say: x")]
    wanted = model.invoke(messages).usage_metadata["input_tokens"]
    assert await model.aget_num_tokens_from_messages(messages) == wanted
    assert await asyncio.to_thread(model.get_num_tokens_from_messages, messages) == wanted
