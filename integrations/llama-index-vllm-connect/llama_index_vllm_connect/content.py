"""The content of a message: LlamaIndex's blocks in, vLLM's content parts out."""

from __future__ import annotations

import base64
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

Json = dict[str, Any]

_UNTITLED = ("document", "input_document")  # ours, and what LlamaIndex puts where there is none
_TEXTUAL = ("json", "xml", "yaml", "javascript", "csv", "markdown", "toml", "sql")


def content_parts(block: ContentBlock) -> list[Json]:
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
            titled: list[ContentBlock] = [TextBlock(text=block.title), *block.content]
            return [part for inner in titled for part in content_parts(inner)]
        case CitationBlock():
            return content_parts(block.cited_content)
        case ThinkingBlock() | ToolCallBlock() | CachePoint():
            return []
    raise ValueError(f"vLLM takes no {type(block).__name__} in a message")


def _url(block: ImageBlock | VideoBlock, resolve: Any, mimetype: str) -> str:
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
