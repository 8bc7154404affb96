"""A chat completion as a Response."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import FunctionTool, ToolChoiceAllowed, ToolChoiceFunction
from openai.types.responses import Response as SDKResponse
from tests.unit.responses_over_chat.builders import CHAT_ID, call, completion

from vllm_connect import types
from vllm_connect.responses_over_chat import response_from_chat

PARAMS = {"model": "m", "input": "hi"}


def convert(*args: Any, params: dict[str, Any] | None = None, **kwargs: Any) -> SDKResponse:
    response = response_from_chat(completion(*args, **kwargs), PARAMS | (params or {}))
    assert SDKResponse.model_validate_json(response.to_json()) == response
    return response


def kinds(response: SDKResponse) -> list[str]:
    return [item.type for item in response.output]


@pytest.mark.parametrize("cls", [ChatCompletion, types.ChatCompletion])
def test_text(cls: Any) -> None:
    response = convert("\n\nParis", cls=cls)
    assert response.output_text == "\n\nParis"
    [item] = response.output
    assert item.type == "message"
    assert (item.role, item.status, item.id[:4]) == ("assistant", "completed", "msg_")
    [part] = item.content
    assert part.type == "output_text"
    assert (part.annotations, part.logprobs) == ([], [])


@pytest.mark.parametrize("cls", [ChatCompletion, types.ChatCompletion])
def test_reasoning_comes_first(cls: Any) -> None:
    response = convert("a", reasoning="\nI think.\n", tool_calls=[call("c", "f", "{}")], cls=cls)
    assert kinds(response) == ["reasoning", "message", "function_call"]
    reasoning = response.output[0]
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert [part.text for part in reasoning.content] == ["\nI think.\n"]
    assert reasoning.summary == []
    assert reasoning.id.startswith("rs_")


def test_reasoning_under_its_old_name() -> None:
    chat = completion("a")
    chat.choices[0].message = type(chat.choices[0].message).construct(
        role="assistant", content="a", reasoning_content="old"
    )
    assert kinds(response_from_chat(chat, PARAMS)) == ["reasoning", "message"]


def test_text_beside_calls_is_kept() -> None:
    response = convert("Let me look.", tool_calls=[call("c", "f", "{}")], finish_reason="tool_calls")
    assert response.output_text == "Let me look."
    assert kinds(response) == ["message", "function_call"]


def test_calls() -> None:
    calls = [call("chatcmpl-tool-1", "f", '{"a": 1}'), call("chatcmpl-tool-2", "g", "")]
    response = convert(None, tool_calls=calls, finish_reason="tool_calls")
    found = [item for item in response.output if item.type == "function_call"]
    assert [(i.call_id, i.name, i.arguments, i.status) for i in found] == [
        ("chatcmpl-tool-1", "f", '{"a": 1}', "completed"),
        ("chatcmpl-tool-2", "g", "{}", "completed"),  # clients read arguments as JSON
    ]
    assert all(item.id and item.id.startswith("fc_") for item in found)
    assert response.status == "completed"


def test_calls_always_have_ids_of_their_own() -> None:
    response = convert(
        tool_calls=[call("", "f", "{}"), call(None, "g", "{}"), call("x", "h", "{}"), call("x", "i", "{}")]
    )
    ids = [item.call_id for item in response.output if item.type == "function_call"]
    assert len(set(ids)) == 4
    assert all(ids)
    assert ids[2] == "x"


@pytest.mark.parametrize("content", [None, ""])
def test_nothing_said(content: str | None) -> None:
    response = convert(content)
    assert (response.output, response.output_text, response.status) == ([], "", "completed")


def test_refusal() -> None:
    response = convert("I must say:", refusal="no")
    [item] = response.output
    assert item.type == "message"
    assert [part.type for part in item.content] == ["output_text", "refusal"]
    assert kinds(convert(refusal="no")) == ["message"]


@pytest.mark.parametrize(
    ("finish_reason", "status", "reason", "item_status"),
    [
        ("stop", "completed", None, "completed"),
        ("tool_calls", "completed", None, "completed"),
        (None, "completed", None, "completed"),
        ("something new", "completed", None, "completed"),
        ("length", "incomplete", "max_output_tokens", "incomplete"),
        ("content_filter", "incomplete", "content_filter", "incomplete"),
        ("repetition", "incomplete", None, "incomplete"),
        ("abort", "cancelled", None, "incomplete"),
        ("error", "failed", None, "incomplete"),
    ],
)
def test_ending(finish_reason: str | None, status: str, reason: str | None, item_status: str) -> None:
    response = convert("a", reasoning="t", finish_reason=finish_reason)
    assert response.status == status
    details = response.incomplete_details
    assert (details and details.reason) == reason
    assert (details is not None) == (status == "incomplete")
    assert (response.error is not None) == (status == "failed")
    assert [getattr(item, "status", None) for item in response.output] == ["completed", item_status]
    assert getattr(response, "finish_reason", None) == finish_reason


def test_arguments_that_were_cut_are_left_as_they_are() -> None:
    response = convert(tool_calls=[call("1", "f", "{}"), call("2", "g", "")], finish_reason="length")
    found = [item for item in response.output if item.type == "function_call"]
    assert [(item.arguments, item.status) for item in found] == [("{}", "completed"), ("", "incomplete")]


def test_usage() -> None:
    usage = convert("a").usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (16, 14, 30)
    assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (8, 4)
    assert usage.output_tokens_details.reasoning_tokens == 6


def test_usage_without_details() -> None:
    bare = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    for given in (bare, bare | {"prompt_tokens_details": None, "completion_tokens_details": None}):
        usage = convert("a", usage=given).usage
        assert usage is not None
        assert usage.input_tokens_details.cached_tokens == 0
        assert usage.output_tokens_details.reasoning_tokens == 0
    assert convert("a", usage=None).usage is None


def test_identity() -> None:
    response = convert("a")
    assert response.id == "resp_" + CHAT_ID.removeprefix("chatcmpl-")
    assert (response.object, response.created_at, response.model) == ("response", 1795398468, "tiny-chat")
    assert convert("a", id="").id.startswith("resp_")


def test_echo_of_nothing() -> None:
    response = convert("a")
    assert (response.tools, response.tool_choice, response.parallel_tool_calls) == ([], "auto", True)
    assert (response.metadata, response.truncation, response.background) == ({}, "disabled", False)
    assert (response.temperature, response.top_p, response.max_output_tokens) == (None, None, None)
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "text"
    assert response.reasoning is not None
    assert response.to_dict()["store"] is False


def test_echo() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "json_schema", "name": "p", "schema": {"type": "object"}, "strict": True}
    params = {
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "reasoning": {"effort": "high", "summary": "auto"},
        "safety_identifier": "s",
        "temperature": 0.5,
        "text": {"format": schema, "verbosity": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [tool],
        "top_logprobs": 2,
        "top_p": 0.9,
        "user": "u",
    }
    response = convert("a", params=params)
    data = response.to_dict()
    assert {name: data[name] for name in params} == params
    assert isinstance(response.tools[0], FunctionTool)
    assert isinstance(response.tool_choice, ToolChoiceFunction)


def test_echo_of_values_that_the_sdk_does_not_know() -> None:
    given = {"reasoning": {"effort": "ultra"}, "text": {"verbosity": "chatty"}, "metadata": {"a": 1}}
    response = response_from_chat(completion("a", service_tier="golden"), PARAMS | given)
    assert response.output_text == "a"
    data = response.to_dict(warnings=False)
    assert data["reasoning"]["effort"] == "ultra"
    assert data["service_tier"] == "golden"


def test_echo_of_allowed_tools() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    tool = {"type": "function", "name": "f", "parameters": None, "strict": None}
    response = convert("a", params={"tools": [tool], "tool_choice": choice})
    assert isinstance(response.tool_choice, ToolChoiceAllowed)
    assert len(response.tools) == 1


def test_what_vllm_tells_beyond_openai_is_kept() -> None:
    told = {"prompt_token_ids": [1, 2], "metrics": {"tokens_per_second": 3.0}, "kv_transfer_params": {"a": 1}}
    chat = completion("a", cls=types.ChatCompletion, **told)
    chat.choices[0].stop_reason = "\n"
    chat.choices[0].token_ids = [3]
    data = response_from_chat(chat, PARAMS).to_dict()
    expected = told | {"stop_reason": "\n", "token_ids": [3], "system_fingerprint": "vllm-0.32.0-1bf0ad44"}
    assert {name: data[name] for name in expected} == expected
    assert "prompt_logprobs" not in data


@pytest.mark.parametrize("choices", [[], [{"index": 0, "message": {}}, {"index": 1, "message": {}}]])
def test_one_choice_makes_a_response(choices: list[Any]) -> None:
    with pytest.raises(ValueError, match=f"has {len(choices)}"):
        response_from_chat(completion(choices=choices), PARAMS)
