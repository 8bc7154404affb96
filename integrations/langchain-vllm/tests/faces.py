"""The ways in which a chat model answers, each to one whole message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks

ASK = "Think: one\nSay: two"


def _joined(chunks: list[Any]) -> AIMessage:
    return add_ai_message_chunks(chunks[0], *chunks[1:])


def _streamed(model: Any, prompt: str = ASK, **kwargs: Any) -> AIMessage:
    return _joined(list(model.stream(prompt, **kwargs)))


def _astreamed(model: Any, prompt: str = ASK, **kwargs: Any) -> AIMessage:
    async def stream() -> list[Any]:
        return [chunk async for chunk in model.astream(prompt, **kwargs)]

    return _joined(asyncio.run(stream()))


def _aevents(model: Any, prompt: str = ASK, **kwargs: Any) -> AIMessage:
    async def events() -> Any:
        stream = await model.astream_events(prompt, version="v3", **kwargs)
        return await stream.output

    return asyncio.run(events())


FACES: dict[str, Callable[..., AIMessage]] = {
    "invoke": lambda model, prompt=ASK, **kwargs: model.invoke(prompt, **kwargs),
    "ainvoke": lambda model, prompt=ASK, **kwargs: asyncio.run(model.ainvoke(prompt, **kwargs)),
    "stream": _streamed,
    "astream": _astreamed,
    "events": lambda model, prompt=ASK, **kwargs: model.stream_events(prompt, version="v3", **kwargs).output,
    "aevents": _aevents,
}
