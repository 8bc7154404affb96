"""The constraint of an answer, in words for the model.

vLLM enforces `response_format` and `structured_outputs` while it samples, and puts nothing of them into the
prompt (0.32.0 counts as many prompt tokens with them as without): names, descriptions and choices that the
caller wrote would never reach the model. Tools need none of this, since chat templates render them.

The text depends on the constraint alone and stands at the beginning of the conversation, so that vLLM's
prefix cache holds it from the second request on: in a system message, or where the chat template refuses one
that the caller did not write (Gemma 2's and old Mistrals' do), at the beginning of the first user message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

#: Of a message that a conversation may begin with.
SYSTEM_ROLES = ("system", "developer")

# "System role not supported", "Only user, assistant and tool roles are supported!", and of templates that
# count messages in pairs "Conversation roles must alternate user/assistant/user/assistant/...".
_OF_ROLES = re.compile(r"\broles?\b|\bsystem (message|prompt)", re.IGNORECASE)


class AddedText(str):
    """The content of a system message, or the instructions, that no caller wrote: it may stand elsewhere."""


def schema_prompt(
    response_format: object = None,
    structured_outputs: object = None,
    *,
    schema: Mapping[str, object] | None = None,
) -> str | None:
    """Describe the constraint of a request to the model.

    Args:
        response_format: The request's, in its wire form. The SDK's marks for "not given" count as None.
        structured_outputs: The request's: one of json, choice, regex or grammar.
        schema: A JSON schema that the answer should have and that neither of them holds, as with
            ``{"type": "json_object"}``.

    Returns:
        One paragraph; None where there is no constraint, or one that words do not help with.
    """
    if schema is not None:
        return _json_text(schema)
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_schema":
        wrapper = response_format.get("json_schema")
        found = wrapper.get("schema") if isinstance(wrapper, Mapping) else None
        if isinstance(found, Mapping):
            return _json_text(found, wrapper.get("description") if isinstance(wrapper, Mapping) else None)
    if isinstance(structured_outputs, Mapping):
        return _constraint_text(structured_outputs)
    return None


def show_schema(messages: Iterable[object], text: str | None, *, part_type: str = "text") -> list[object]:
    """Put a text that holds for the whole conversation at its beginning.

    It ends the system message that the conversation begins with, else it becomes one: strict chat templates
    accept a single system message, in the first place only.

    Args:
        messages: Of a chat completions request; neither the list nor a message is changed.
        text: None changes nothing.
        part_type: Of a text among content parts; "input_text" in the Responses API.
    """
    conversation = list(messages)
    if text is None:
        return conversation
    first = conversation[0] if conversation else None
    if isinstance(first, Mapping) and first.get("role") in SYSTEM_ROLES:
        conversation[0] = {**first, "content": _extended(first.get("content"), text, part_type)}
    else:
        conversation.insert(0, {"role": "system", "content": AddedText(text)})
    return conversation


def refuses_roles(status: int, message: str) -> bool:
    """Tell whether an error's status and message may mean a chat template without a system role."""
    return status == 400 and _OF_ROLES.search(message) is not None


def in_user_message(body: bytes) -> bytes:
    """Move the text that a conversation begins with into its first user message.

    Args:
        body: A request whose first message, or whose instructions in the Responses API, is an `AddedText`.
    """
    request = orjson.loads(body)
    if "messages" in request:
        added, *messages = request["messages"]
        request["messages"] = _said_by_user(messages, added["content"], "text")
    else:
        text, items = request.pop("instructions"), request.get("input", [])
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        request["input"] = _said_by_user(items, text, "input_text")
    return orjson.dumps(request)


def _said_by_user(messages: list[dict[str, Any]], text: str, part_type: str) -> list[dict[str, Any]]:
    """A conversation whose first user message begins with a text."""
    for number, message in enumerate(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                longer: object = f"{text}\n\n{content}" if content else text
            else:
                longer = [{"type": part_type, "text": text}, *content]
            return [*messages[:number], {**message, "content": longer}, *messages[number + 1 :]]
    return [{"role": "user", "content": text}, *messages]


def _extended(content: object, text: str, part_type: str) -> object:
    """The content of a message, a string or parts, with another paragraph."""
    if not content:
        return text
    if isinstance(content, str):
        return f"{content}\n\n{text}"
    parts = list(content) if isinstance(content, Iterable) else [content]
    return [*parts, {"type": part_type, "text": text}]


def _json_text(schema: Mapping[str, object], description: object = None) -> str:
    about = f" ({description})" if description else ""
    return f"Answer with one JSON value{about} that conforms to this JSON schema:\n{_compact(schema)}"


def _constraint_text(constraint: Mapping[str, object]) -> str | None:
    if (schema := constraint.get("json")) is not None:
        text = schema if isinstance(schema, str) else _compact(schema)
        return f"Answer with one JSON value that conforms to this JSON schema:\n{text}"
    if isinstance(choices := constraint.get("choice"), Iterable):
        return "Answer with exactly one of these: " + ", ".join(_compact(choice) for choice in choices)
    if (pattern := constraint.get("regex")) is not None:
        return f"Answer with text that matches this regular expression:\n{pattern}"
    if (grammar := constraint.get("grammar")) is not None:
        return f"Answer with text that this grammar produces:\n{grammar}"
    return None


def _compact(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
