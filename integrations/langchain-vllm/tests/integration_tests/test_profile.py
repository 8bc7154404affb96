"""The context in `profile`: asked of the server when somebody looks at it, and not before."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
from langchain_core.load import dumps
from vllm_connect import AsyncVLLM
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM

CONTEXT = 32768


def asked(sim: SimServer) -> list[str]:
    return [request.path for request in sim.requests]


def test_nothing_is_asked_before_it_is_needed(sim: SimServer) -> None:
    model = ChatVLLM(base_url=sim.url)
    assert model.profile is not None
    assert model.profile["tool_calling"]
    assert model.profile.get("structured_output")
    assert model.profile.get("image_inputs") is None
    assert "image_inputs" not in model.profile
    assert repr(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [*model.profile, *model.model_dump(), model.model_dump_json(), dumps(model)]
    model.invoke("a")
    assert asked(sim) == ["/v1/chat/completions"]


LOOKS: dict[str, Any] = {
    "[]": lambda profile: profile["max_input_tokens"],
    "get": lambda profile: profile.get("max_input_tokens"),
    "in": lambda profile: ("max_input_tokens" in profile) * CONTEXT,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", [None, "sim-chat", "vllm/sim-chat"])
def test_it_is_asked_once(sim: SimServer, look: Any, name: str | None) -> None:
    model = ChatVLLM(base_url=sim.url, model=name)
    assert [look(model.profile) for _ in range(3)] == [CONTEXT] * 3
    assert asked(sim) == ["/v1/models"]


async def test_on_an_event_loop(sim: SimServer) -> None:
    assert ChatVLLM(base_url=sim.url).profile["max_input_tokens"] == CONTEXT


def test_summaries_need_nothing_else(sim: SimServer) -> None:
    middleware = pytest.importorskip("langchain.agents.middleware", reason="langchain is not installed")
    model = ChatVLLM(base_url=sim.url)
    summaries = middleware.SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("fraction", 0.2))
    assert summaries._get_profile_limits() == CONTEXT


def test_what_the_caller_says_counts(sim: SimServer) -> None:
    model = ChatVLLM(base_url=sim.url, profile={"max_input_tokens": 5})
    assert model.profile["max_input_tokens"] == 5
    assert "max_input_tokens" not in ChatVLLM(base_url=sim.url, profile={"tool_calling": True}).profile
    assert asked(sim) == []


COPIES: dict[str, Any] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "model_copy": lambda model: model.model_copy(),
    "model_copy, deep": lambda model: model.model_copy(deep=True),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_ask_for_themselves(sim: SimServer, copied: Any) -> None:
    model = ChatVLLM(base_url="http://localhost:9", max_retries=0)
    other = copied(model)
    other.base_url = sim.url
    assert "max_input_tokens" not in model.profile
    assert other.profile["max_input_tokens"] == CONTEXT
    assert other.profile["tool_calling"]


def test_a_copy_for_another_model() -> None:
    with SimServer(models=["small"], max_model_len=4096) as small:
        model = ChatVLLM(base_url=small.url, model="nobody")
        assert "max_input_tokens" not in model.profile
        assert model.model_copy(update={"model": "small"}).profile["max_input_tokens"] == 4096


def test_a_server_that_is_not_there_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    model = ChatVLLM(base_url="http://localhost:9", max_retries=0)
    for look in LOOKS.values():
        with pytest.raises(KeyError) if look is LOOKS["[]"] else caplog.at_level("WARNING"):
            assert not look(model.profile)
    assert caplog.text.count("is asked again") == 1


def test_without_a_client_to_ask(sim: SimServer) -> None:
    assert "max_input_tokens" not in ChatVLLM(async_client=AsyncVLLM(sim.url)).profile
