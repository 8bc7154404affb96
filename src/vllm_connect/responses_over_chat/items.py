"""Input items of the Responses API -> chat messages.

One assistant message of a chat is several items of a response: reasoning, text, function calls. Items
that stand next to each other become one message again, so that the output of a response can be sent
back and the model sees what it said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._wire.decoding import JsonObject
from ..errors import UnsupportedOperationError
from ._plain import mapping
from .parameters import NATIVE

_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}

# What vLLM's chat completions understand beyond the Responses API: passed on as it is.
_CHAT_PARTS = frozenset(
    {
        "audio_embeds",
        "audio_url",
        "image_embeds",
        "image_url",
        "prompt_embeds",
        "text",
        "video_embeds",
        "video_url",
    }
)


def messages_from_input(input: Any) -> list[JsonObject]:
    """Convert the input of a response.

    Args:
        input: a string, or items: dictionaries or the SDK's models.

    Raises:
        UnsupportedOperationError: an item that refers to something stored elsewhere.
        TypeError: something that is no item.
        ValueError: an item of an unknown type, or one that lacks something.
    """
    if isinstance(input, str):
        return [{"role": "user", "content": input}]
    if isinstance(input, Mapping) or not isinstance(input, Iterable):
        raise TypeError(f"input must be a string or a list of items, not {type(input).__name__}")
    conversation = _Conversation()
    for index, item in enumerate(input):
        where = f"input[{index}]"
        read = mapping(item, where)
        kind = read.get("type") or ("message" if "role" in read else None)
        add = _ITEMS.get(kind) if isinstance(kind, str) else None
        if add is None:
            raise _unknown_item(kind, where)
        add(conversation, read, where)
    conversation.flush_reasoning()
    return conversation.messages


class _Conversation:
    """The messages so far, the last of which may still be added to.

    Attributes:
        messages: the chat messages.
        turn: the assistant message that the next items of the assistant belong to, None after anybody else.
        reasoning: reasoning that waits for the assistant message that it led to.
    """

    def __init__(self) -> None:
        self.messages: list[JsonObject] = []
        self.turn: JsonObject | None = None
        self.reasoning: list[str] = []

    def say(self, message: JsonObject) -> None:
        """Add a message of somebody else than the assistant."""
        self.flush_reasoning()
        self.turn = None
        self.messages.append(message)

    def flush_reasoning(self) -> None:
        """Reasoning that led to nothing (it was cut by a limit) stays what it was: a message without text."""
        if self.reasoning and self.unanswered() is None:
            self.begin_turn()

    def begin_turn(self) -> JsonObject:
        """Start an assistant message, with the reasoning that waits for one."""
        self.turn = {"role": "assistant", "content": ""}
        self.messages.append(self.turn)
        self._take_reasoning(self.turn)
        return self.turn

    def unanswered(self) -> JsonObject | None:
        """The assistant message that made calls which have no output yet: whatever follows is part of it."""
        if self.turn is None or "tool_calls" not in self.turn:
            return None
        self._take_reasoning(self.turn)
        return self.turn

    def _take_reasoning(self, message: JsonObject) -> None:
        if self.reasoning:
            earlier = [message["reasoning"]] if "reasoning" in message else []
            message["reasoning"] = "\n".join(earlier + self.reasoning)
            self.reasoning = []


def _add_message(conversation: _Conversation, item: Mapping[str, object], where: str) -> None:
    role = item.get("role")
    if role not in _ROLES:
        hint = "; use an item of type 'function_call_output'" if role == "tool" else ""
        raise ValueError(f"{where}.role is {role!r}: use one of {', '.join(_ROLES)}{hint}")
    if item.get("tool_calls"):
        raise ValueError(f"{where}.tool_calls: use items of type 'function_call', after the message")
    if role != "assistant":
        conversation.say({"role": _ROLES[role], "content": _content(item.get("content"), f"{where}.content")})
        return
    content = _assistant_content(item.get("content"), f"{where}.content")
    turn = conversation.unanswered()
    if turn is None:
        conversation.begin_turn()["content"] = content
    else:
        turn["content"] = _joined(turn["content"], content)


def _add_call(conversation: _Conversation, item: Mapping[str, object], where: str) -> None:
    call_id, name, arguments = (_text_of(item, field, where) for field in ("call_id", "name", "arguments"))
    if item.get("namespace"):
        raise ValueError(f"{where}.namespace: chat completions have no namespaces; put it into `name`")
    turn = conversation.unanswered()
    if turn is None and conversation.turn is not None and not conversation.reasoning:
        turn = conversation.turn  # text and the calls that it announces
    if turn is None:
        turn = conversation.begin_turn()
        turn["content"] = None  # as a reply has it
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    turn.setdefault("tool_calls", []).append(call)


def _add_output(conversation: _Conversation, item: Mapping[str, object], where: str) -> None:
    call_id = _text_of(item, "call_id", where)
    output = _content(item.get("output"), f"{where}.output")
    conversation.say({"role": "tool", "tool_call_id": call_id, "content": output})


def _add_reasoning(conversation: _Conversation, item: Mapping[str, object], where: str) -> None:
    texts = _texts(item.get("content"), f"{where}.content") or _texts(item.get("summary"), f"{where}.summary")
    if not texts and item.get("encrypted_content"):
        raise ValueError(f"{where} is encrypted, and only the service that made it can read it: leave it out")
    if text := "\n".join(texts):
        conversation.reasoning.append(text)


def _add_reference(conversation: _Conversation, item: Mapping[str, object], where: str) -> None:
    reason = f"vLLM's chat completions keep no state: send the item itself, or {NATIVE}"
    raise UnsupportedOperationError(f"responses.create({where}: item_reference)", reason)


_ITEMS: dict[str, Callable[[_Conversation, Mapping[str, object], str], None]] = {
    "message": _add_message,
    "function_call": _add_call,
    "function_call_output": _add_output,
    "reasoning": _add_reasoning,
    "item_reference": _add_reference,
}


def _unknown_item(kind: object, where: str) -> ValueError:
    kinds = ", ".join(kind for kind in _ITEMS if kind != "item_reference")
    if kind is None:
        return ValueError(
            f"{where} has neither `type` nor `role`: a message has a role; other types are {kinds}"
        )
    return ValueError(
        f"{where} is of type {kind!r}, which a chat completion cannot carry; it can carry: {kinds}"
    )


def _content(content: Any, where: str) -> str | list[JsonObject]:
    """The content of a chat message: a string where one will do."""
    if isinstance(content, str):
        return content
    parts = [
        _part(mapping(part, f"{where}[{i}]"), f"{where}[{i}]") for i, part in enumerate(_list(content, where))
    ]
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _assistant_content(content: Any, where: str) -> str | list[JsonObject]:
    """The same for what the model said: one text, however many parts, unless a refusal is among them."""
    parts = _content(content, where)
    if isinstance(parts, str) or any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def _joined(earlier: Any, later: Any) -> Any:
    if not earlier or not later:
        return earlier or later
    if isinstance(earlier, str) and isinstance(later, str):
        return earlier + later
    parts: list[JsonObject] = []
    for content in (earlier, later):
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts


def _part(part: Mapping[str, object], where: str) -> JsonObject:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": _text_of(part, "text", where)}
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text_of(part, "refusal", where)}
    if kind == "input_audio":
        return {
            "type": "input_audio",
            "input_audio": mapping(part.get("input_audio"), f"{where}.input_audio"),
        }
    if kind == "input_image":
        return _image(part, where)
    if kind == "input_file":
        return _file(part, where)
    if kind in _CHAT_PARTS:
        return dict(part)
    raise ValueError(
        f"{where} is of type {kind!r}; a chat completion can carry input_text, input_image, input_audio,"
        f" input_file, output_text, refusal, and vLLM's {', '.join(sorted(_CHAT_PARTS))}"
    )


def _image(part: Mapping[str, Any], where: str) -> JsonObject:
    url = part.get("image_url")
    if not isinstance(url, str):
        stored = "; vLLM stores no files" if part.get("file_id") else ""
        raise ValueError(f"{where} needs `image_url`, an address or a data: URL{stored}")
    image = {"url": url}
    # vLLM reads no detail, and chat completions have no "original", which is what vLLM does anyway.
    if part.get("detail") in ("auto", "low", "high"):
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}


def _file(part: Mapping[str, object], where: str) -> JsonObject:
    if not part.get("file_data"):
        raise ValueError(f"{where} needs `file_data`: vLLM neither stores files nor fetches them")
    return {
        "type": "file",
        "file": {k: part[k] for k in ("filename", "file_data") if part.get(k) is not None},
    }


def _texts(parts: Any, where: str) -> list[str]:
    """The texts of parts that hold nothing else."""
    found = enumerate(_list(parts, where)) if parts is not None else ()
    return [_text_of(mapping(part, f"{where}[{i}]"), "text", f"{where}[{i}]") for i, part in found]


def _list(value: Any, where: str) -> Iterable[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"{where} must be a string or a list of parts, not {type(value).__name__}")
    return value


def _text_of(item: Mapping[str, object], field: str, where: str) -> str:
    value = item.get(field)
    if not isinstance(value, str):
        hint = "; json.dumps() makes one" if isinstance(value, (Mapping, list)) else ""
        raise ValueError(f"{where} needs `{field}`, a string{hint}")
    return value
