"""Asking tiny-chat, and what its answers amount to."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

MODEL = "tiny-chat"
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
TOOLS = [WEATHER, ADD]
PARIS = ("get_weather", '{"city": "Paris"}')


class Joke(BaseModel, extra="forbid"):
    setup: str
    punchline: str


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def question(asked: str | list[Any], **params: Any) -> dict[str, Any]:
    """Parameters of a chat completion that is answered the same every time."""
    messages = [user(asked)] if isinstance(asked, str) else asked
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 200, **params}


async def ask(client: Any, asked: str | list[Any], **params: Any) -> Any:
    return await client("chat.completions.create", **question(asked, **params))


async def stream(client: Any, asked: str | list[Any], **params: Any) -> list[Any]:
    return await client.stream("chat.completions.create", **question(asked, **params))


async def say(client: Any, asked: str | list[Any], **params: Any) -> str | None:
    """The content of the answer."""
    return (await ask(client, asked, **params)).choices[0].message.content


def content(chunks: list[Any], index: int = 0) -> str:
    return "".join(choice.delta.content or "" for choice in _choices(chunks, index))


def reasoning(chunks: list[Any], index: int = 0) -> str:
    return "".join(choice.delta.reasoning or "" for choice in _choices(chunks, index))


def finish(chunks: list[Any], index: int = 0) -> list[str]:
    """Every finish_reason that a choice was given: one, if all is well."""
    return [choice.finish_reason for choice in _choices(chunks, index) if choice.finish_reason]


def calls(message: Any) -> list[tuple[str, str]]:
    """Name and arguments of the tool calls of a message."""
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or []]


def streamed_calls(chunks: list[Any]) -> list[tuple[str, str]]:
    """The same, put together from the deltas of a stream as OpenAI documents it."""
    found: dict[int, list[str]] = {}
    for choice in _choices(chunks, 0):
        for delta in choice.delta.tool_calls or []:
            if delta.id:
                assert delta.index not in found, "a call begins once"
                assert delta.type == "function"
            call = found.setdefault(delta.index, ["", ""])
            call[0] += delta.function.name or ""
            call[1] += delta.function.arguments or ""
    return [(name, arguments) for _, (name, arguments) in sorted(found.items())]


def _choices(chunks: list[Any], index: int) -> list[Any]:
    return [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
