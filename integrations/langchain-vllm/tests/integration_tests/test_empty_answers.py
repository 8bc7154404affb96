"""An answer without text says why, once, in every face; what is not empty says nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from langchain_vllm import ChatVLLM
from tests.answering import Said, answering, called


async def _astreamed(model: ChatVLLM) -> None:
    _ = [chunk async for chunk in model.astream("x")]


async def _aevents(model: ChatVLLM) -> None:
    _ = [event async for event in await model.astream_events("x", version="v3")]


FACES: dict[str, Any] = {
    "invoke": lambda model: model.invoke("x"),
    "ainvoke": lambda model: asyncio.run(model.ainvoke("x")),
    "stream": lambda model: list(model.stream("x")),
    "astream": lambda model: asyncio.run(_astreamed(model)),
    "v3 events": lambda model: list(model.stream_events("x", version="v3")),
    "async v3 events": lambda model: asyncio.run(_aevents(model)),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said({"content": None, "reasoning": "Well"}, ("length",)), ["max_tokens", "thinking"]),
        (Said({"content": None, "reasoning": "Paris."}, ("stop",)), ["reasoning"]),
        (Said({"content": None}, ("abort",)), ["aborted"]),
        (Said({"content": None}, ("stop",)), None),  # the model had nothing to say
        (Said({"content": "Paris."}, ("length",)), None),
        (Said(called("f", "{}"), ("tool_calls",)), None),
    ],
)
def test_an_empty_answer_says_why(caplog, face, said, words):
    with answering(lambda path, body: said) as server, caplog.at_level(logging.WARNING, "langchain_vllm"):
        FACES[face](ChatVLLM(model="m", base_url=server.url))
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("langchain_vllm")]
    if words is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert [word for word in words if word not in warning] == []
