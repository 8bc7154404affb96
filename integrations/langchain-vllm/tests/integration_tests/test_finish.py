"""Endings of answers, in the server's word and in the one that is the same for all providers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM
from tests.answering import Body, Said, answering, called
from tests.faces import FACES

faces = pytest.mark.parametrize("face", FACES)

TEXT: Body = {"content": "Hello there"}
CALL = called("f", '{"x": 1}')
CUT = called("f", '{"x": ')
REFUSAL: Body = {"content": None, "refusal": "No."}

ENDINGS = {
    "it ended": (TEXT, "stop", "stop"),
    "too long": (TEXT, "length", "length"),
    "a tool is called": (CALL, "tool_calls", "tool_call"),
    "a tool had to be called": (CALL, "stop", "tool_call"),
    "a call that was cut": (CUT, "length", "length"),
    "a call that nobody can read": (CUT, "stop", "stop"),
    "filtered": (TEXT, "content_filter", "content_filter"),
    "refused": (REFUSAL, "stop", "refusal"),
    "aborted": (TEXT, "abort", "other"),
    "a failure": (TEXT, "error", "error"),
    "it repeats itself": (TEXT, "repetition", "other"),
}


def fields(message: AIMessage) -> tuple[Any, Any]:
    metadata = message.response_metadata
    assert "finish_state" not in metadata  # vLLM suspends no turn
    return metadata["finish_reason"], metadata["normalized_finish_reason"]


@faces
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending(face: str, ending: str) -> None:
    message, reason, normalized = ENDINGS[ending]
    with answering(lambda path, body: Said(message, [reason])) as server:
        answer = FACES[face](ChatVLLM(model="m", base_url=server.url))
    assert fields(answer) == (reason, normalized)


@faces
def test_the_simulator_says_it_too(sim: SimServer, face: str) -> None:
    model = ChatVLLM(base_url=sim.url)
    assert fields(FACES[face](model)) == ("stop", "stop")
    assert fields(FACES[face](model, max_tokens=1)) == ("length", "length")


@pytest.mark.parametrize("ending", ENDINGS)
def test_events_carry_it_at_their_top(ending: str) -> None:
    message, reason, normalized = ENDINGS[ending]
    with answering(lambda path, body: Said(message, [reason])) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        *_, last = model.stream_events("a", version="v3")
    assert last["event"] == "message-finish"
    assert (last["finish_reason"], last["normalized_finish_reason"]) == (reason, normalized)
    assert last["metadata"]["normalized_finish_reason"] == normalized


@pytest.mark.parametrize("ending", ENDINGS)
def test_langchain_core_corrects_nothing(ending: str) -> None:
    try:
        core = import_module("langchain_core.language_models._finish_reason")
    except ModuleNotFoundError:
        pytest.skip("langchain-core has rules for it since 1.8.4")
    message, reason, _ = ENDINGS[ending]
    with answering(lambda path, body: Said(message, [reason])) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        for answer in (model.invoke("a"), FACES["stream"](model), FACES["events"](model)):
            refused = any(block["type"] == "refusal" for block in answer.content_blocks)
            own = core._finish_fields(
                answer.response_metadata, has_tool_calls=bool(answer.tool_calls), has_refusal=refused
            )
            assert (own["finish_reason"], own["normalized_finish_reason"]) == fields(answer)
            assert refused == bool(message.get("refusal"))


@faces
def test_a_refusal_is_a_block(face: str) -> None:
    with answering(lambda path, body: Said(REFUSAL)) as server:
        answer = FACES[face](ChatVLLM(model="m", base_url=server.url))
    assert answer.additional_kwargs["refusal"] == "No."
    blocks = [block for block in answer.content_blocks if block["type"] == "refusal"]
    content = import_module("langchain_core.messages.content")
    assert [block["refusal"] for block in blocks] == ["No."] * hasattr(content, "RefusalContentBlock")
