"""The order of messages that strict chat templates insist on, in their words.

The rules are those of two templates: Mistral's (users and assistants take turns) and Qwen 3.5's (the rest).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..answers.answer import Json
from ..http.errors import refused


def check_order(messages: Sequence[Json]) -> None:
    """Refuse a conversation that is out of order.

    Args:
        messages: the conversation, each message with its role.

    Raises:
        SimError: a 400.
    """
    turns = 0
    for i, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer"):  # vLLM renders both as "system"
            if i > 0:
                raise refused("System message must be at the beginning.")
        elif role not in ("user", "assistant", "tool"):
            raise refused("Unexpected message role.")
        elif role != "tool" and not message.get("tool_calls"):
            if (role == "user") != (turns % 2 == 0):
                raise refused(
                    "After the optional system message, conversation roles must alternate user and assistant "
                    "roles except for tool calls and results."
                )
            turns += 1
    if turns == 0:
        raise refused("No user query found in messages.")
