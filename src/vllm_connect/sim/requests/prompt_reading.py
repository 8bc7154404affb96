"""A rendered prompt read back: the conversation that a model sees in it.

`render` in `prompts` has the template. What a prompt does not tell, nobody knows here either: the ids of
tool calls are numbered anew, in their order.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field

from ..answers.answer import Json
from .prompts import QUIET

_TURN = re.compile(r"<\|im_start\|>(\w*)\n(.*?)(?:<\|im_end\|>\n|\Z)", re.DOTALL)
_TOOLS = re.compile(r"<tools>\n((?:.*\n)*)</tools>\Z")
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_MEDIUM = "<|image|>"


@dataclass
class Conversation:
    """A conversation in a prompt.

    Attributes:
        messages: the turns.
        functions: the tools that the system's turn lists.
        quiet: whether thinking is turned off.
        open_ended: whether the last message is to be continued.
    """

    messages: list[Json] = field(default_factory=list)
    functions: list[Json] = field(default_factory=list)
    quiet: bool = False
    open_ended: bool = False


def read_prompt(text: str) -> Conversation | None:
    """The conversation in a prompt; `None` if it is any other text."""
    if not text.startswith("<|im_start|>"):
        return None
    conversation = Conversation()
    begun = "<|im_start|>assistant\n"
    if text.endswith(begun + QUIET):
        conversation.quiet, text = True, text.removesuffix(begun + QUIET)
    elif text.endswith(begun):
        text = text.removesuffix(begun)
    else:
        conversation.open_ended = not text.endswith("<|im_end|>\n")
    for at, (role, content) in enumerate(_TURN.findall(text)):
        if at == 0 and role == "system" and (listed := _TOOLS.search(content)):
            conversation.functions = [json.loads(line) for line in listed.group(1).splitlines()]
            content = content[: listed.start()]
            if not content:
                continue
        conversation.messages.append(_message(role, content))
    _number_calls(conversation.messages)
    return conversation if conversation.messages else None


def _message(role: str, content: str) -> Json:
    message: Json = {"role": role, "content": content}
    calls = []
    for written in _CALL.findall(content) if role == "assistant" else ():
        with contextlib.suppress(ValueError):
            calls.append({"type": "function", "function": json.loads(written)})
    if calls:
        message |= {"content": _CALL.sub("", content), "tool_calls": calls}
    text = str(message["content"])
    if media := text.count(_MEDIUM):
        parts = [{"type": "text", "text": text.replace(_MEDIUM, "")}]
        message["content"] = [*parts, *[{"type": "image_url", "image_url": {"url": ""}}] * media]
    return message


def _number_calls(messages: list[Json]) -> None:
    """Give calls their ids, and results those of the calls before them, one after the other."""
    waiting: list[str] = []
    count = 0
    for message in messages:
        if message["role"] == "tool":
            message["tool_call_id"] = waiting.pop(0) if waiting else ""
            continue
        waiting = []
        for call in message.get("tool_calls", ()):
            call["id"] = f"call-{count}"
            waiting.append(call["id"])
            count += 1
