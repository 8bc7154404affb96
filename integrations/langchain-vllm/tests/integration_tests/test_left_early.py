"""A stream of events that is left early ends its generation at once, without the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.runnables import Runnable
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM

LONG = "Write 3000 words"


@pytest.fixture
def sim() -> Iterator[SimServer]:
    with SimServer(delay=0.005) as server:
        yield server


@pytest.fixture
def model(sim: SimServer) -> ChatVLLM:
    return ChatVLLM(base_url=sim.url, max_tokens=4000)


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def leave_events(stream: Any) -> None:
    for event in stream:
        if event["event"] == "content-block-delta":
            return


def leave_text(stream: Any) -> None:
    for _ in stream.text:
        return


def leave_reasoning(stream: Any) -> None:
    assert next(iter(stream.reasoning))


WAYS = [leave_events, leave_text, leave_reasoning]


@pytest.mark.parametrize("leave", WAYS)
def test_leaving_ends_the_generation(sim: SimServer, model: ChatVLLM, leave: Any) -> None:
    leave(model.stream_events(LONG, version="v3"))
    assert sim.wait_for_abort(1, timeout=5)


def test_leaving_with_tools(sim: SimServer, model: ChatVLLM) -> None:
    def look(place: str) -> str:
        """Look there."""
        return place

    bound: Runnable[Any, Any] = model.bind_tools([look], tool_choice="none")
    leave_text(bound.stream_events(LONG, version="v3"))
    assert sim.wait_for_abort(1, timeout=5)


def test_a_stream_that_is_held_is_closed_by_its_block(sim: SimServer, model: ChatVLLM) -> None:
    with model.stream_events(LONG, version="v3") as stream:
        leave_text(stream)
        assert sim.aborted == 0
    assert sim.wait_for_abort(1, timeout=5)
    assert "".join(stream.text._deltas)
    with pytest.raises(RuntimeError, match="closed"):
        stream.output  # noqa: B018


def test_a_projection_alone_keeps_it_alive(sim: SimServer, model: ChatVLLM) -> None:
    texts = model.stream_events("Say: one two three", version="v3").text
    assert "".join(texts) == str(texts) == "one two three"
    assert sim.aborted == 0


def test_it_is_langchain_cores_stream_otherwise(model: ChatVLLM) -> None:
    stream = model.stream_events("Say: one two three", version="v3")
    assert isinstance(stream, ChatModelStream)
    assert stream.text is stream.text
    assert not stream.text
    first = next(iter(stream.text))
    assert repr(stream.text) == repr(first)
    assert "".join(stream.text) == stream.output.text == "one two three"
    assert [event["event"] for event in stream][-1] == "message-finish"
    assert stream.text.done
    assert stream.text.error is None
    assert stream.tool_calls.get() == []
    assert stream.reasoning.get()
    stream.close()
    assert stream.output.usage_metadata


def test_callbacks_hear_of_both_ends(sim: SimServer, model: ChatVLLM) -> None:
    heard = []

    class Listener(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("start")

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            heard.append("end")

        def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            heard.append(type(error).__name__)

    config: Any = {"callbacks": [Listener()]}
    leave_text(model.stream_events(LONG, config, version="v3"))
    assert heard == ["start", "GeneratorExit"]
    heard.clear()
    assert model.stream_events("Say: hi", config, version="v3").output.text == "hi"
    assert heard == ["start", "end"]


def test_a_stream_that_was_never_begun_asks_nothing(sim: SimServer, model: ChatVLLM) -> None:
    model.stream_events(LONG, version="v3")
    with model.stream_events(LONG, version="v3"):
        pass
    assert not sim.requests
