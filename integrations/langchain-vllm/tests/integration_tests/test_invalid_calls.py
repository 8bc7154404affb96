"""Agents whose model calls tools with arguments that nobody can read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import (
    ProviderStrategy,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import InvalidToolCallsError
from langchain_vllm.invalid_calls import results_of_invalid
from langchain_vllm.middleware import InvalidToolCallMiddleware
from tests.answering import Answering, Said, answering, called

CUT = '{"path": "/tmp/old", "patt'
WHOLE = '{"path": "/tmp/old", "pattern": "*.csv"}'
ran: list[tuple[str, str]] = []


def delete_file(path: str = "/", pattern: str = "*") -> str:
    """Delete the files in a folder that match a pattern."""
    ran.append((path, pattern))
    return "deleted"


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


def script(*answers: Said) -> Callable[[str, dict[str, Any]], Said]:
    """Answer by how often the model has spoken; the last answer is given again and again."""

    def answer(path: str, body: dict[str, Any]) -> Said:
        spoken = sum(message["role"] == "assistant" for message in body["messages"])
        return answers[min(spoken, len(answers) - 1)]

    return answer


CALLS_HALF = Said(called("delete_file", CUT), ("length",))
CALLS_WHOLE = Said(called("delete_file", WHOLE, "c2"), ("tool_calls",))
ANSWERS = Said({"content": "It is done."})


@pytest.fixture
def recovering() -> Iterator[Answering]:
    with answering(script(CALLS_HALF, CALLS_WHOLE, ANSWERS)) as server:
        yield server


async def invoked(agent: Any, question: Any) -> Any:
    return agent.invoke(question)


async def ainvoked(agent: Any, question: Any) -> Any:
    return await agent.ainvoke(question)


async def streamed(agent: Any, question: Any) -> Any:
    parts = list(agent.stream(question, stream_mode=["messages", "values"]))
    return [part for mode, part in parts if mode == "values"][-1]


async def astreamed(agent: Any, question: Any) -> Any:
    parts = [part async for part in agent.astream(question, stream_mode=["messages", "values"])]
    return [part for mode, part in parts if mode == "values"][-1]


async def of_events(agent: Any, question: Any) -> Any:
    events = [event async for event in agent.astream_events(question, version="v2")]
    return events[-1]["data"]["output"]


FACES = [invoked, ainvoked, streamed, astreamed, of_events]
QUESTION = {"messages": [("user", "Delete the old tables.")]}


@pytest.mark.parametrize("face", FACES)
async def test_the_model_is_told_and_goes_on(recovering: Answering, face: Any) -> None:
    model = ChatVLLM(base_url=recovering.url, model="m")
    agent = create_agent(model, [delete_file], middleware=[InvalidToolCallMiddleware()])
    messages = (await face(agent, QUESTION))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert messages[2].status == "error"
    assert messages[2].tool_call_id == messages[1].invalid_tool_calls[0]["id"]
    assert "delete_file was not called" in messages[2].content
    assert ran == [("/tmp/old", "*.csv")]
    told = recovering.chats[1]["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool"]
    assert "was not called" in told[2]["content"]
    assert told[2]["tool_call_id"] == told[1]["tool_calls"][0]["id"]


@pytest.mark.parametrize("face", FACES)
async def test_without_the_middleware_the_end_is_said(
    recovering: Answering, face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    agent = create_agent(ChatVLLM(base_url=recovering.url, model="m"), [delete_file])
    messages = (await face(agent, QUESTION))["messages"]
    assert messages[-1].invalid_tool_calls
    assert not ran
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len([text for text in warnings if "InvalidToolCallMiddleware" in text]) == 1
    assert "delete_file" in warnings[0]


def test_events_say_it_too(recovering: Answering, caplog: pytest.LogCaptureFixture) -> None:
    message = ChatVLLM(base_url=recovering.url, model="m").stream_events("x", version="v3").output
    assert message.invalid_tool_calls
    assert caplog.text.count("InvalidToolCallMiddleware") == 1


@pytest.mark.parametrize("face", FACES)
async def test_it_does_not_go_on_for_ever(face: Any) -> None:
    with answering(script(CALLS_HALF)) as server:
        model = ChatVLLM(base_url=server.url, model="m")
        agent = create_agent(model, [delete_file], middleware=[InvalidToolCallMiddleware(max_in_a_row=2)])
        with pytest.raises(InvalidToolCallsError, match=r"2 answers in a row .*delete_file was not called"):
            await face(agent, QUESTION)
        assert len(server.chats) == 2
    assert not ran


@pytest.mark.parametrize("face", FACES)
async def test_calls_beside_an_invalid_one_are_made(face: Any, caplog: pytest.LogCaptureFixture) -> None:
    both = called("delete_file", WHOLE, "c1")
    both["tool_calls"] += called("delete_file", CUT, "c2")["tool_calls"]
    with answering(script(Said(both, ("length",)), ANSWERS)) as server:
        model = ChatVLLM(base_url=server.url, model="m")
        agent = create_agent(model, [delete_file], middleware=[InvalidToolCallMiddleware()])
        messages = (await face(agent, QUESTION))["messages"]
        results = {each.tool_call_id: each.status for each in messages if each.type == "tool"}
        assert results == {"c1": "success", "c2": "error"}
        assert messages[-1].text == "It is done."
        told = [each["tool_call_id"] for each in server.chats[1]["messages"] if each["role"] == "tool"]
        assert sorted(told) == ["c1", "c2"]
    assert ran == [("/tmp/old", "*.csv")]
    assert "InvalidToolCallMiddleware" not in caplog.text


class Deleted(BaseModel):
    path: str


IN_FORM = Said({"content": '{"path": "/tmp/old"}'})
BESIDE_TEXT = Said({**CALLS_HALF.message, **IN_FORM.message}, ("length",))
STRATEGIES = {"default": Deleted, "provider": ProviderStrategy(Deleted), "tool": ToolStrategy(Deleted)}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("half", [CALLS_HALF, BESIDE_TEXT], ids=["the call alone", "beside a text"])
async def test_an_agent_with_a_format_goes_on_too(half: Said, strategy: str, face: Any) -> None:
    def answer(path: str, body: dict[str, Any]) -> Said:
        spoken = sum(message["role"] == "assistant" for message in body["messages"])
        if strategy == "tool" and spoken == 2:
            return Said(called("Deleted", '{"path": "/tmp/old"}', "c3"), ("tool_calls",))
        return [half, CALLS_WHOLE, IN_FORM][spoken]

    with answering(answer) as server:
        agent = create_agent(
            ChatVLLM(base_url=server.url, model="m"),
            [delete_file],
            response_format=STRATEGIES[strategy],
            middleware=[InvalidToolCallMiddleware()],
        )
        result = await face(agent, QUESTION)
    types = [message.type for message in result["messages"]]
    assert types == ["human", "ai", "tool", "ai", "tool", "ai", *["tool"] * (strategy == "tool")]
    assert result["messages"][2].status == "error"
    assert result["structured_response"] == Deleted(path="/tmp/old")
    assert ran == [("/tmp/old", "*.csv")]


async def test_a_text_beside_calls_in_vain_is_read_at_no_time() -> None:
    with answering(script(BESIDE_TEXT, CALLS_WHOLE, IN_FORM)) as server:
        model = ChatVLLM(base_url=server.url, model="m")
        middleware = [InvalidToolCallMiddleware()]
        agent = create_agent(model, [delete_file], response_format=Deleted, middleware=middleware)
        states = list(agent.stream(QUESTION, stream_mode="values"))
        states += [state async for state in agent.astream(QUESTION, stream_mode="values")]
    read = [len(state["messages"]) for state in states if state.get("structured_response")]
    assert set(read) == {6}


@pytest.mark.parametrize("face", FACES)
async def test_an_answer_that_does_not_suit_the_format_stays_an_error(face: Any) -> None:
    with answering(lambda path, body: Said({"content": '{"file": "/tmp/old"}'})) as server:
        agent = create_agent(
            ChatVLLM(base_url=server.url, model="m"),
            [delete_file],
            response_format=Deleted,
            middleware=[InvalidToolCallMiddleware()],
        )
        with pytest.raises(StructuredOutputValidationError, match="Deleted"):
            await face(agent, QUESTION)


@pytest.mark.parametrize("face", FACES)
async def test_a_format_does_not_make_it_go_on_for_ever(face: Any) -> None:
    with answering(script(CALLS_HALF)) as server:
        agent = create_agent(
            ChatVLLM(base_url=server.url, model="m"),
            [delete_file],
            response_format=Deleted,
            middleware=[InvalidToolCallMiddleware(max_in_a_row=2)],
        )
        with pytest.raises(InvalidToolCallsError, match="2 answers in a row"):
            await face(agent, QUESTION)
        assert len(server.chats) == 2


def test_results_for_graphs_of_ones_own() -> None:
    bad: Any = {"type": "invalid_tool_call", "id": "a", "name": "f", "args": "{", "error": "cut"}
    answer = AIMessage("", invalid_tool_calls=[bad, {**bad, "id": "b"}])
    asked = HumanMessage("x")
    assert [each.tool_call_id for each in results_of_invalid([asked, answer])] == ["a", "b"]
    answered = ToolMessage("no", tool_call_id="a")
    assert [each.tool_call_id for each in results_of_invalid([answer, answered])] == ["b"]
    assert results_of_invalid([asked]) == results_of_invalid([answer, AIMessage("done")]) == []
