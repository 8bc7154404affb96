"""Tools, their choice, their calls, whole and in pieces."""

from __future__ import annotations

import datetime
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.tools import FunctionTool

from llama_index.llms.vllm_connect import VLLM
from llama_index.llms.vllm_connect.answers import ChatSoFar
from llama_index.llms.vllm_connect.tools import wire_calls, wire_choice
from vllm_connect.types import ChatCompletionChunk

ROOT = Path(__file__).parents[3]
TOOL_CALL_CASES = runpy.run_path(str(ROOT / "tests/unit/tool_call_cases.py"))["CASES"]


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def now() -> str:
    """Tell the time."""
    return "noon"


WEATHER = FunctionTool.from_defaults(get_weather)
NOW = FunctionTool.from_defaults(now)
TOOLS = [WEATHER, NOW]
TWO = 'Call get_weather {"city": "Köln"}\nCall now'


def calls_in(response: ChatResponse) -> list[tuple[str, Any]]:
    return [
        (block.tool_name, block.tool_kwargs)
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


async def test_a_call(llm, ask, sent):
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg="What is the weather in Paris?")
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris"})
    (listed,) = response.message.additional_kwargs["tool_calls"]
    assert json.loads(listed["function"]["arguments"]) == {"city": "Paris"}
    assert listed["id"] == call.tool_id != ""
    (body,) = sent()
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "now"]
    assert body["tool_choice"] == "auto"
    assert body["parallel_tool_calls"] is False
    assert "strict" not in body["tools"][0]["function"]


async def test_two_calls(llm, ask):
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg=TWO, allow_parallel_tool_calls=True)
    assert calls_in(response) == [("get_weather", '{"city": "Köln"}'), ("now", "{}")]
    assert len(llm.get_tool_calls_from_response(response)) == 2


async def test_only_one_call_is_allowed(llm, ask, vllm_sim):
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg=TWO)
    assert len(calls_in(response)) == len(response.message.additional_kwargs["tool_calls"]) == 1


class Unheeding(VLLM):
    """On a server that does not heed `parallel_tool_calls`."""

    def _chat_request(self, messages: Any, given: Any, stream: bool = False) -> Any:
        request = super()._chat_request(messages, given, stream)
        request.params["parallel_tool_calls"] = True
        return request


async def test_a_server_that_calls_too_often(vllm_sim, ask):
    llm = Unheeding(base_url=vllm_sim.url)
    whole = await ask(llm, "chat_with_tools", TOOLS, user_msg=TWO)
    streamed = await ask.stream(llm, "stream_chat_with_tools", TOOLS, user_msg=TWO)
    for response in (whole, *streamed):
        assert len(calls_in(response)) == len(response.message.additional_kwargs.get("tool_calls", ())) <= 1
    assert calls_in(whole) == calls_in(streamed[-1]) == [("get_weather", '{"city": "Köln"}')]


@pytest.mark.parametrize("fault", [None, "whole_call", "calls_together"])
async def test_streamed_calls(llm, ask, vllm_sim, fault):
    if fault:
        vllm_sim.fail_next(fault)
    responses = await ask.stream(
        llm, "stream_chat_with_tools", TOOLS, user_msg=TWO, allow_parallel_tool_calls=True
    )
    for response in responses:  # agents look at every one of them
        llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    last = responses[-1]
    assert calls_in(last) == [("get_weather", '{"city": "Köln"}'), ("now", "{}")]
    selections = llm.get_tool_calls_from_response(last)
    assert [call.tool_kwargs for call in selections] == [{"city": "Köln"}, {}]
    assert len({call.tool_id for call in selections}) == 2
    assert len(last.message.additional_kwargs["tool_calls"]) == 2
    assert last.additional_kwargs["finish_reason"] == "tool_calls"
    json.loads(last.message.model_dump_json())


def test_every_response_of_a_stream_stays_as_it_was(llm):
    responses = list(
        llm.stream_chat_with_tools(TOOLS, user_msg='Call get_weather {"city": "Rio de Janeiro"}')
    )
    lengths = [len(calls_in(response)[0][1]) for response in responses if calls_in(response)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 2
    listed = [response.message.additional_kwargs.get("tool_calls") for response in responses]
    assert lengths == [len(calls[0]["function"]["arguments"]) for calls in listed if calls]


def chunk(*calls: dict[str, Any]) -> ChatCompletionChunk:
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": None}
    return ChatCompletionChunk.model_validate({**data, "choices": [choice]})


def piece(
    index: int, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def test_calls_that_all_have_number_0(llm):
    so_far = ChatSoFar()
    so_far.feed(chunk(piece(0, "a", "f", '{"x"')))
    so_far.feed(chunk(piece(0, arguments=": 1}"), piece(0, "b", "g", "{")))
    response = so_far.feed(chunk(piece(0, arguments="}")))
    assert calls_in(response) == [("f", '{"x": 1}'), ("g", "{}")]


def test_calls_without_an_id_get_one():
    """The result of a tool names its call."""
    so_far = ChatSoFar()
    first = so_far.feed(chunk(piece(0, None, "f", "{"), piece(1, None, "g", "{}")))
    last = so_far.feed(chunk(piece(0, arguments="}")))
    ids = [call["id"] for call in last.message.additional_kwargs["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(id.startswith("chatcmpl-tool-") for id in ids)
    for response in (first, last):  # and they stay
        assert [block.tool_call_id for block in response.message.blocks] == ids
        assert [call["id"] for call in response.message.additional_kwargs["tool_calls"]] == ids


def test_an_id_that_comes_late():
    so_far = ChatSoFar()
    so_far.feed(chunk(piece(0, None, "f", "{")))
    (block,) = so_far.feed(chunk(piece(0, "a", "f", "}"))).message.blocks
    assert block.tool_kwargs == "{}"
    assert block.tool_call_id.startswith("chatcmpl-tool-")  # as it was before


async def test_whole_calls_that_lack_things(ask, canned):
    calls = [{"function": {"name": "now", "arguments": "{}"}}, {"id": "", "function": {"name": "now"}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    llm = VLLM(base_url=canned({"id": "1", "object": "chat.completion", "created": 1, "choices": [choice]}))
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg="x", allow_parallel_tool_calls=True)
    selections = llm.get_tool_calls_from_response(response)
    assert [(call.tool_name, call.tool_kwargs) for call in selections] == [("now", {}), ("now", {})]
    assert len({call.tool_id for call in selections} - {""}) == 2


def test_an_id_that_is_repeated_is_the_same_call(llm):
    so_far = ChatSoFar()
    so_far.feed(chunk(piece(0, "a", "f", '{"x"')))
    assert calls_in(so_far.feed(chunk(piece(0, "a", "f", ": 1}")))) == [("f", '{"x": 1}')]


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"city": "Pa', {"city": "Pa"}),
        ('{"ci', {}),
        ("", {}),
        ("nonsense", {}),
        ("[1]", {}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_partial_arguments(llm, arguments, read):
    block = ToolCallBlock(tool_call_id=None, tool_name="f", tool_kwargs=arguments)
    (call,) = llm.get_tool_calls_from_response(ChatResponse(message=ChatMessage(blocks=[block])))
    assert call.tool_kwargs == read


def finished(arguments: Any, finish_reason: str = "tool_calls") -> ChatResponse:
    block = ToolCallBlock(tool_call_id=None, tool_name="f", tool_kwargs=arguments)
    facts = {"finish_reason": finish_reason}
    return ChatResponse(message=ChatMessage(blocks=[block]), additional_kwargs=facts)


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"city": "Pa\nris"}', {"city": "Pa\nris"}),
        ('{"city": "Paris"}', {"city": "Paris"}),
        (json.dumps('{"city": "Paris"}'), {"city": "Paris"}),
        ("", {}),
        ("null", {}),
    ],
)
def test_arguments_of_a_finished_call(llm, arguments, read):
    (call,) = llm.get_tool_calls_from_response(finished(arguments))
    assert (call.tool_name, call.tool_kwargs) == ("f", read)


UNREADABLE = [
    ('{"pattern": "tmp/*.log", "dry_', "length"),
    ("{'pattern': 'tmp/*.log', 'dry_run': True}", "tool_calls"),
    ('{"pattern": "tmp/*.log",}', "tool_calls"),
    ('{"pattern": "say "hi".log"}', "tool_calls"),
    ('[{"pattern": "tmp/*.log"}]', "tool_calls"),
    ("", "length"),
    ("{}", "length"),  # vLLM itself writes that for a call that was cut
    ('{"pattern": "tmp', None),
]


@pytest.mark.parametrize(("arguments", "finish_reason"), UNREADABLE)
def test_what_cannot_be_read_selects_no_tool_that_there_is(llm, arguments, finish_reason):
    (call,) = llm.get_tool_calls_from_response(finished(arguments, finish_reason))
    assert call.tool_name != "f"
    assert call.tool_name.startswith("f (")
    assert call.tool_kwargs == {"invalid_arguments": arguments}


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def delete_files(ran):
    def delete_files(pattern: str = "*", dry_run: bool = False, **more: Any) -> str:
        """Delete the files that match a pattern."""
        ran.append(pattern)
        return "deleted"

    return FunctionTool.from_defaults(delete_files)


@pytest.mark.parametrize(("arguments", "finish_reason"), UNREADABLE)
async def test_predict_and_call_runs_no_half_of_a_call(
    ask, scripted, ran, delete_files, arguments, finish_reason
):
    llm = VLLM(model="m", base_url=scripted(arguments, finish_reason), context_window=4096)
    answer = await ask(llm, "predict_and_call", [delete_files], user_msg="delete the logs")
    assert ran == []
    assert "delete_files was not called: its arguments are no JSON object" in answer.response
    assert arguments in answer.response
    assert [source.is_error for source in answer.sources] == [True]
    with pytest.raises(ValueError, match="was not called"):
        await ask(llm, "predict_and_call", [delete_files], user_msg="x", error_on_tool_error=True)
    assert [tool["function"]["name"] for tool in scripted.requests[0]["tools"]] == ["delete_files"]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("many", [True, False], ids=["AgentWorkflow", "FunctionAgent"])
@pytest.mark.parametrize(("arguments", "finish_reason"), UNREADABLE)
async def test_agents_tell_the_model_what_they_could_not_read(
    scripted, ran, delete_files, streaming, many, arguments, finish_reason
):
    llm = VLLM(model="m", base_url=scripted(arguments, finish_reason), context_window=4096)
    agent = FunctionAgent(name="a", description="a", tools=[delete_files], llm=llm, streaming=streaming)
    await (AgentWorkflow(agents=[agent]) if many else agent).run("delete the logs in tmp")
    assert ran == []
    answer = scripted.requests[-1]["messages"][-1]
    assert answer["role"] == "tool"
    assert answer["content"].startswith("delete_files was not called: its arguments are no JSON object, but ")
    assert answer["content"].endswith(arguments)


async def test_agents_run_what_they_could_read(scripted, ran, delete_files):
    url = scripted('{"pattern": "tmp/*.log"}', "tool_calls")
    await FunctionAgent(tools=[delete_files], llm=VLLM(model="m", base_url=url, context_window=4096)).run("x")
    assert ran == ["tmp/*.log"]


@pytest.mark.parametrize("case", TOOL_CALL_CASES, ids=[case.name for case in TOOL_CALL_CASES])
async def test_pieces_become_the_calls_that_were_meant(ask, scripted, case):
    chunks = [{"tool_calls": deltas} for deltas in case.chunks]
    llm = VLLM(model="m", base_url=scripted(chunks, "tool_calls"), context_window=4096)
    *_, last = await ask.stream(llm, "stream_chat", [ChatMessage("x")])
    calls = llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == case.calls
    assert len({call.tool_id for call in calls}) == len(case.calls)


@pytest.mark.parametrize(
    ("arguments", "wire"),
    [
        ('{"city":  "Köln"}', '{"city":  "Köln"}'),
        ('{"city": "Pa', '{"invalid_arguments": "{\\"city\\": \\"Pa"}'),
        ('{"a": "x\ny"}', '{"a": "x\\ny"}'),
        ("[1]", '{"invalid_arguments": "[1]"}'),
        ("nonsense", '{"invalid_arguments": "nonsense"}'),
        ("null", "{}"),
        (" ", "{}"),
        ({}, "{}"),
        ({"day": datetime.date(2024, 5, 1)}, '{"day": "2024-05-01"}'),
    ],
)
def test_arguments_go_back_as_an_object(arguments, wire):
    """Of anything else vLLM 0.32 shows the model {}, and older ones answer 400 to all that follows."""
    block = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs=arguments)
    (call,) = wire_calls(ChatMessage(role="assistant", blocks=[block]))
    assert call["function"]["arguments"] == wire


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([piece(0, None, "f", "{}"), piece(0, None, "g", "{}")], [("f", "{}"), ("g", "{}")]),
        ([piece(0, None, "f", "{}"), piece(0, None, "f", "{}")], [("f", "{}"), ("f", "{}")]),
        ([piece(0, None, "f", "{"), piece(0, None, "f", "}")], [("f", "{}")]),
        ([piece(0, None, "f", "{}"), piece(0, "a", "f", "")], [("f", "{}")]),
        ([piece(0, "a", None, ""), piece(0, None, "f", "{}")], [("f", "{}")]),
        ([piece(0, "a", "f", "{}"), piece(0, "a", "f", "")], [("f", "{}")]),
    ],
)
def test_calls_without_ids_that_all_have_number_0(pieces, calls):
    so_far = ChatSoFar()
    responses = [so_far.feed(chunk(each)) for each in pieces]
    assert calls_in(responses[-1]) == calls


def test_no_call(llm):
    response = llm.chat_with_tools(TOOLS, user_msg="Say: no")
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="at least one tool call"):
        llm.get_tool_calls_from_response(response)


NAMED = {"type": "function", "function": {"name": "now"}}


@pytest.mark.parametrize(
    ("choice", "required", "wire"),
    [
        (None, False, "auto"),
        (None, True, "required"),
        ("none", True, "none"),
        ("auto", True, "auto"),
        ("required", False, "required"),
        ("now", False, NAMED),
        (NAMED, False, NAMED),
    ],
)
def test_the_choice(choice, required, wire):
    assert wire_choice(choice, required) == wire


async def test_required_and_named_tools(llm, ask, sent):
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg="Hello", tool_required=True)
    assert len(calls_in(response)) == 1
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg="Hello", tool_choice="now")
    assert calls_in(response) == [("now", "{}")]
    assert [body["tool_choice"] for body in sent()] == ["required", NAMED]


async def test_without_tools_nothing_of_them_is_sent(llm, ask, sent):
    await ask(llm, "chat_with_tools", [], user_msg="Hello", tool_required=True)
    assert sent()[0].keys() == {"messages"}


async def test_the_history_is_not_changed(llm, ask):
    history = [ChatMessage(role="user", content="My name is Ada.")]
    await ask(llm, "chat_with_tools", TOOLS, user_msg="Say: x", chat_history=history)
    assert len(history) == 1


async def test_strict_tools(vllm_sim, ask, sent):
    llm = VLLM(base_url=vllm_sim.url, strict=True)
    await ask(llm, "chat_with_tools", TOOLS, user_msg="Hello")
    await ask(llm, "chat_with_tools", TOOLS, user_msg="Hello", strict=False)
    assert [body["tools"][0]["function"]["strict"] for body in sent()] == [True, False]


async def test_predict_and_call(llm, ask):
    result = await ask(llm, "predict_and_call", TOOLS, user_msg="What is the weather in Paris?")
    assert result.response == "sunny in Paris"
    both = await ask(llm, "predict_and_call", TOOLS, user_msg=TWO, allow_parallel_tool_calls=True)
    assert both.response == "sunny in Köln\n\nnoon"


async def test_a_loop_by_hand(llm, ask, sent):
    history = [ChatMessage(role="user", content='Think: I wonder\nCall get_weather {"city": "Paris"}')]
    response = await ask(llm, "chat_with_tools", TOOLS, chat_history=history)
    (call,) = llm.get_tool_calls_from_response(response)
    history += [
        response.message,
        ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": call.tool_id}),
    ]
    answer = await ask(llm, "chat_with_tools", TOOLS, chat_history=history)
    assert answer.message.content == "The weather in Paris is sunny."
    assistant = sent()[1]["messages"][1]
    assert assistant["reasoning"] == "I wonder"
    assert assistant["tool_calls"][0]["id"] == call.tool_id


async def test_tokens_with_tools(llm, ask):
    counted = await ask(llm, "count_tokens", "Hello", TOOLS)
    response = await ask(llm, "chat_with_tools", TOOLS, user_msg="Hello")
    assert counted == response.raw["usage"]["prompt_tokens"]
