"""LlamaIndex's messages in, vLLM's messages out."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from .tools import wire_calls

Json = dict[str, Any]
ReasoningField = Literal["reasoning", "reasoning_content"]

_ROLES = {
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}
_UNTITLED = ("document", "input_document")  # ours, and what LlamaIndex puts where there is none
_TEXTUAL = ("json", "xml", "yaml", "javascript", "csv", "markdown", "toml", "sql")


def wire_messages(
    messages: Sequence[ChatMessage], reasoning_field: ReasoningField | None = "reasoning"
) -> list[Json]:
    """A conversation as a chat completions request carries it.

    A video's `fps` and `detail` stay behind: vLLM takes those for a whole request, not for one video.

    Args:
        messages: The conversation; it is not changed.
        reasoning_field: Under which name an assistant's reasoning goes back; None to leave it out.

    Raises:
        ValueError: A block that vLLM cannot take.
    """
    return [wire_message(message, reasoning_field) for message in messages]


def wire_message(message: ChatMessage, reasoning_field: ReasoningField | None = "reasoning") -> Json:
    """One message; see `wire_messages`."""
    role = _ROLES.get(message.role, message.role.value)
    wire: Json = {"role": role}
    content = _content(message.blocks)
    calls = wire_calls(message) if role == "assistant" else []
    if content or not calls:
        wire["content"] = content
    if calls:
        wire["tool_calls"] = calls
    if role == "assistant" and reasoning_field:
        thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock)]
        if reasoning := "\n".join(filter(None, thoughts)):
            wire[reasoning_field] = reasoning
    if role == "tool":
        wire["tool_call_id"] = message.additional_kwargs.get("tool_call_id") or ""
    if isinstance(name := message.additional_kwargs.get("name"), str):
        wire["name"] = name
    return wire


def check_text_only(messages: Iterable[ChatMessage]) -> None:
    """Check a conversation that is to be written out as a text, which would drop everything else.

    Raises:
        ValueError: A block holds something else: media, a document, a tool call.
    """
    for block in (block for message in messages for block in message.blocks):
        if not isinstance(block, TextBlock | ThinkingBlock | CachePoint):
            raise ValueError(f"mode 'completion' takes text alone, and no {type(block).__name__}")


def _content(blocks: Iterable[Any]) -> str | list[Json]:
    """Text alone as text, and everything else as parts in their order."""
    parts = [part for block in blocks for part in content_parts(block)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def content_parts(block: Any) -> list[Json]:
    """A block as content parts; none for what goes elsewhere in a message."""
    match block:
        case TextBlock():
            return [{"type": "text", "text": block.text}]
        case ImageBlock():
            image: Json = {"url": _url(block, block.resolve_image, block.image_mimetype or "image/jpeg")}
            if block.detail:
                image["detail"] = block.detail
            return [{"type": "image_url", "image_url": image}]
        case AudioBlock():
            if block.url and not block.audio:
                return [{"type": "audio_url", "audio_url": {"url": str(block.url)}}]
            audio = {"data": _base64(block.resolve_audio), "format": block.format or "wav"}
            return [{"type": "input_audio", "input_audio": audio}]
        case VideoBlock():
            video = {"url": _url(block, block.resolve_video, block.video_mimetype or "video/mp4")}
            return [{"type": "video_url", "video_url": video}]
        case DocumentBlock():
            return [{"type": "text", "text": _document_text(block)}]
        case CitableBlock():
            titled: list[Any] = [TextBlock(text=block.title), *block.content]
            return [part for inner in titled for part in content_parts(inner)]
        case CitationBlock():
            return content_parts(block.cited_content)
        case ThinkingBlock() | ToolCallBlock() | CachePoint():
            return []
    raise ValueError(f"vLLM takes no {type(block).__name__} in a message")


def _url(block: Any, resolve: Any, mimetype: str) -> str:
    """The block's URL, which the server fetches, or its bytes as one."""
    own = block.image if isinstance(block, ImageBlock) else block.video
    if block.url and not own:
        return str(block.url)
    return f"data:{mimetype};base64,{_base64(resolve)}"


def _base64(resolve: Any) -> str:
    return base64.b64encode(resolve().read()).decode()


def _document_text(block: DocumentBlock) -> str:
    """The text of a document that is one.

    Raises:
        ValueError: It is none, or it would have to be downloaded first.
    """
    title = block.title or "document"
    if block.url and not (block.data or block.path):
        raise ValueError(f"vLLM takes no documents, and {title!r} is only a URL: pass its text")
    mimetype = block.document_mimetype or "text/plain"
    if mimetype.startswith("text/") or any(word in mimetype for word in _TEXTUAL):
        try:
            text = str(block.resolve_document().read().decode("utf-8"))
            return text if title in _UNTITLED else f"{title}\n\n{text}"
        except UnicodeDecodeError:
            pass
    raise ValueError(f"vLLM takes no documents, and {title!r} ({mimetype}) is no text: pass what it says")
