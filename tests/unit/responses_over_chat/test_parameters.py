"""Every parameter of `responses.create` has a fate, and none of them is to be forgotten."""

from __future__ import annotations

import typing
from collections import Counter
from typing import Any

import pytest
from openai.types.responses import response_create_params
from openai.types.responses.response_includable import ResponseIncludable

from vllm_connect import UnsupportedOperationError
from vllm_connect.resources._params import SamplingParams
from vllm_connect.resources.chat import TemplateParams
from vllm_connect.resources.responses import ResponseParams, VLLMResponseParams
from vllm_connect.responses_over_chat import chat_request
from vllm_connect.responses_over_chat.parameters import ADVISORY, CONVERTED, REFUSED, REQUEST, SAME, VLLM

TABLES: tuple[Any, ...] = (ADVISORY, CONVERTED, REFUSED, REQUEST, SAME, VLLM)


def test_every_parameter_of_the_sdk_is_in_one_table() -> None:
    known = {
        name
        for params in (
            response_create_params.ResponseCreateParamsNonStreaming,
            response_create_params.ResponseCreateParamsStreaming,
        )
        for name in typing.get_type_hints(params)
    }
    assert {name: sum(name in table for table in TABLES) for name in known} == dict.fromkeys(known, 1)


def test_no_name_is_in_two_tables() -> None:
    counts = Counter(name for table in TABLES for name in table)
    assert set(counts.values()) == {1}


def test_our_own_parameters_are_in_a_table() -> None:
    ours = set(VLLMResponseParams.__annotations__) | set(ResponseParams.__annotations__)
    assert ours <= {name for table in TABLES for name in table}
    assert set(SamplingParams.__annotations__) | set(TemplateParams.__annotations__) <= VLLM


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("access_programs", {"cyber": "standard"}),
        ("background", True),
        ("background_options", {"completion_window": "2h"}),
        ("context_management", [{"type": "compaction"}]),
        ("conversation", "conv_1"),
        ("enable_response_messages", True),
        ("image", {"context_compression": "enabled"}),
        ("max_tool_calls", 3),
        ("moderation", {"model": "omni-moderation-latest"}),
        ("n", 2),
        ("previous_input_messages", [{"role": "user", "content": "hi"}]),
        ("previous_response_id", "resp_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("store", True),
        ("stream_options", {"include_obfuscation": True}),
        ("truncation", "auto"),
    ],
)
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(
        UnsupportedOperationError, match=rf"responses.create\({name}=…\) is not supported"
    ) as raised:
        chat_request({"model": "m", "input": "hi", name: value})
    assert raised.value.reason
    assert name in REFUSED


def test_refused_parameters_are_all_tested() -> None:
    marks = typing.cast(Any, test_refused).pytestmark
    assert {name for name, _ in marks[0].args[1]} == set(REFUSED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("background", False),
        ("context_management", []),
        ("enable_response_messages", False),
        ("image", {"context_compression": "auto"}),
        ("n", 1),
        ("store", False),
        ("stream_options", {"include_obfuscation": False}),
        ("truncation", "disabled"),
        ("truncation", None),
        ("previous_response_id", None),
    ],
)
def test_what_asks_for_nothing_is_let_through(name: str, value: Any) -> None:
    plain = chat_request({"model": "m", "input": "hi"})
    assert chat_request({"model": "m", "input": "hi", name: value}) == plain


def test_unknown_parameter() -> None:
    with pytest.raises(UnsupportedOperationError, match=r"teleport.*extra_body"):
        chat_request({"input": "hi", "teleport": 1})


@pytest.mark.parametrize(("name", "right"), [("max_tokens", "max_output_tokens"), ("messages", "`input`")])
def test_parameter_of_chat_is_told_its_name_here(name: str, right: str) -> None:
    with pytest.raises(UnsupportedOperationError, match=right):
        chat_request({"input": "hi", name: 1})


@pytest.mark.parametrize("name", sorted(SAME | ADVISORY | VLLM | (REQUEST - {"stream", "extra_body"})))
def test_sent_as_given(name: str) -> None:
    value = object()
    assert chat_request({"input": "hi", name: value})[name] is value


def test_stream_is_left_to_the_caller() -> None:
    assert "stream" not in chat_request({"input": "hi", "stream": True})


def test_extra_body_is_passed_on() -> None:
    assert chat_request({"input": "hi", "extra_body": {"top_k": 3}})["extra_body"] == {"top_k": 3}


@pytest.mark.parametrize("body", [{"previous_response_id": "resp_1"}, {"instructions": "x"}])
def test_extra_body_cannot_carry_what_chat_ignores(body: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOperationError, match=next(iter(body))):
        chat_request({"input": "hi", "extra_body": body})


def test_every_includable_is_known() -> None:
    for wanted in typing.get_args(ResponseIncludable):
        assert ("logprobs" in chat_request({"input": "hi", "include": [wanted]})) == wanted.endswith(
            "logprobs"
        )


def test_unknown_includable_is_refused() -> None:
    with pytest.raises(UnsupportedOperationError, match="dreams"):
        chat_request({"input": "hi", "include": ["dreams"]})
    with pytest.raises(TypeError, match="list"):
        chat_request({"input": "hi", "include": "message.output_text.logprobs"})
