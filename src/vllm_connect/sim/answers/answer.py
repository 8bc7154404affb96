"""An answer before it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Call:
    """A tool call: the arguments are JSON text, as the model would have written it."""

    name: str
    arguments: str


@dataclass
class Answer:
    """An answer to a conversation.

    Attributes:
        content: the text, `None` if there is none beside the calls.
        reasoning: what is thought before, if thinking is on.
        calls: the tools that are called.
        values: what the conversation says about fields that a schema may ask for.
        plain: whether calls are told as text, because nobody may read them as calls.
    """

    content: str | None
    reasoning: str = "I answer."
    calls: list[Call] = field(default_factory=list)
    values: Json = field(default_factory=dict)
    plain: bool = False
