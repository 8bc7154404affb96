"""The order of messages that strict chat templates insist on, in their words.

The rules of `check_order` are those of two templates: Mistral's (users and assistants take turns) and
Qwen 3.5's (the rest). Those of `check_turns` are Gemma 2's.
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


def check_turns(messages: Sequence[Json]) -> None:
    """Refuse a conversation of others than a user and an assistant, who take turns.

    Args:
        messages: the conversation, each message with its role.

    Raises:
        SimError: a 400.
    """
    roles = ["system" if message.get("role") == "developer" else message.get("role") for message in messages]
    if roles[0] == "system":
        raise refused("System role not supported")
    if any((role == "user") != (i % 2 == 0) for i, role in enumerate(roles)):
        raise refused("Conversation roles must alternate user/assistant/user/assistant/...")
