"""Parameters on their way to a chat completion."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseTextConfig
from openai.types.shared import Reasoning

from vllm_connect import UnsupportedOperationError
from vllm_connect.responses_over_chat import chat_request, replayable

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def convert(**params: Any) -> dict[str, Any]:
    return chat_request({"model": "m", "input": "hi", **params})


def test_least_request() -> None:
    assert convert() == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_instructions_come_first() -> None:
    items = [{"role": "system", "content": "B"}, {"role": "user", "content": "C"}]
    assert [m["content"] for m in convert(instructions="A", input=items)["messages"]] == ["A", "B", "C"]
    assert convert(instructions="A")["messages"][0] == {"role": "system", "content": "A"}
    assert len(convert(instructions="")["messages"]) == 1


def test_instructions_alone_are_enough() -> None:
    assert chat_request({"instructions": "Say hello."})["messages"] == [
        {"role": "system", "content": "Say hello."}
    ]


def test_instructions_must_be_text() -> None:
    with pytest.raises(TypeError, match="instructions"):
        convert(instructions=[{"role": "system", "content": "A"}])


@pytest.mark.parametrize("params", [{}, {"input": []}, {"input": None}])
def test_input_is_needed(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs `input`"):
        chat_request({"model": "m", **params})


def test_max_output_tokens_has_no_minimum() -> None:
    assert convert(max_output_tokens=1)["max_completion_tokens"] == 1


@pytest.mark.parametrize("effort", ["none", "low", "xhigh", "ultra"])
@pytest.mark.parametrize("model", ["m", "qwen/qwen3.8-27b"])
def test_effort_is_passed_on_verbatim(model: str, effort: str) -> None:
    chat = convert(
        model=model, reasoning={"effort": effort, "summary": "auto", "mode": "standard", "context": None}
    )
    assert chat["reasoning_effort"] == effort
    assert set(chat) == {"model", "messages", "reasoning_effort"}


def test_reasoning_as_the_sdks_model() -> None:
    assert convert(reasoning=Reasoning(effort="high"))["reasoning_effort"] == "high"


@pytest.mark.parametrize("reasoning", [{"mode": "pro"}, {"context": "all_turns"}, {"max_tokens": 3}])
def test_reasoning_that_vllm_cannot_do(reasoning: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOperationError, match=rf"reasoning\.{next(iter(reasoning))}"):
        convert(reasoning=reasoning)
    with pytest.raises(TypeError, match="reasoning must be"):
        convert(reasoning="high")


@pytest.mark.parametrize(
    ("given", "chat"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "person", "schema": SCHEMA, "strict": True, "description": None},
            {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}},
        ),
    ],
)
def test_format(given: dict[str, Any], chat: Any) -> None:
    for text in ({"format": given}, ResponseTextConfig.model_validate({"format": given})):
        converted = convert(text=text, **({} if chat else {"structured_outputs": {"regex": "a"}}))
        assert converted.get("response_format") == chat


def test_format_errors() -> None:
    with pytest.raises(ValueError, match="needs `schema`"):
        convert(text={"format": {"type": "json_schema", "name": "x"}})
    with pytest.raises(ValueError, match="exclude each other"):
        convert(text={"format": {"type": "json_object"}}, structured_outputs={"regex": "a"})
    with pytest.raises(UnsupportedOperationError, match=r"structural_tag.*structured_outputs"):
        convert(text={"format": {"type": "structural_tag"}})
    with pytest.raises(UnsupportedOperationError, match=r"text\.tone"):
        convert(text={"tone": "kind"})


def test_verbosity_is_advisory() -> None:
    assert convert(text={"verbosity": "low"})["verbosity"] == "low"


def test_logprobs() -> None:
    assert convert(include=["message.output_text.logprobs"])["logprobs"] is True
    chat = convert(top_logprobs=2)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 2)  # vLLM: top_logprobs needs logprobs
    assert "logprobs" not in convert(top_logprobs=0)


def test_prompt_cache_options() -> None:
    given = {"ttl": "30m", "mode": "implicit", "prewarm": False}
    assert convert(prompt_cache_options=given)["prompt_cache_options"] == given
    with pytest.raises(UnsupportedOperationError, match="prewarm"):
        convert(prompt_cache_options={"prewarm": True})
    with pytest.raises(UnsupportedOperationError, match="comparison_response_id"):
        convert(prompt_cache_options={"comparison_response_id": "resp_1"})


def test_iterators_can_be_read_again() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": None}
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": iter([{"type": "function", "name": "f"}])}
    given = {
        "input": iter([{"role": "user", "content": "hi"}]),
        "tools": iter([tool]),
        "tool_choice": allowed,
    }
    params = replayable(given)
    first = chat_request(params)
    assert first == chat_request(params)
    assert first["messages"]
    assert len(first["tools"]) == 1


def test_what_was_given_is_not_changed() -> None:
    items = [
        {"role": "assistant", "content": "a"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    chat_request({"input": items})
    assert items == [
        {"role": "assistant", "content": "a"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
