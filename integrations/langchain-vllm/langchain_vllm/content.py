"""Content in: the parts of a message, in any of LangChain's forms, as vLLM's content parts.

    text      also files of text, with data     {"type": "text"}
    image     standard block, v0, Anthropic's   {"type": "image_url"}
    audio     standard block, v0                {"type": "input_audio"}, by URL {"type": "audio_url"}
    video     standard block                    {"type": "video_url"}
    image_pil    a PIL image, as vLLM calls it  {"type": "image_url"}, as PNG
    anything that vLLM knows itself             as it is: image_url, audio_url, video_url, input_audio,
                                                image_embeds, audio_embeds, …

The data of a block is base64, or bytes; or it is the file at its `path`, a `pathlib.Path`. A string is no
path: it may have come from elsewhere, and would read this machine's files.

A `uuid` of a block (itself or in `extras`) goes along: vLLM caches media by it.
"""

from __future__ import annotations

import base64
import io
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .wire import Json

_MEDIA = ("image", "audio", "video", "input_audio", "input_image")

# Blocks of an assistant's message that are no content: they go elsewhere, or mean nothing to vLLM.
_NO_CONTENT = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "input_json_delta",
        "non_standard",
    }
)


def content_of(content: str | list[Any]) -> str | list[Json]:
    """The content of a user, system or tool message."""
    if isinstance(content, str):
        return content
    return [part for block in content if (part := part_of(block)) is not None]


def text_of(content: str | list[Any]) -> str:
    """The text of an assistant's message: its blocks were one text before they were blocks."""
    if isinstance(content, str):
        return content
    texts = (block if isinstance(block, str) else _text(block) for block in content)
    return "".join(text for text in texts if text)


def has_media(content: str | list[Any]) -> bool:
    """Tell whether there is more in an assistant's message than text, such as an image."""
    kinds = (block.get("type") for block in content if isinstance(block, Mapping))
    return any(isinstance(kind, str) and kind.startswith(_MEDIA) for kind in kinds)


def _text(block: Mapping[str, Any]) -> str | None:
    kind = block.get("type")
    if kind == "refusal":
        return block.get("refusal")
    return block.get("text") if kind in ("text", "output_text", "text-plain", None) else None


def part_of(block: str | Mapping[str, Any]) -> Json | None:
    """One content part; None for a block that is no content.

    Raises:
        ValueError: vLLM has nothing to represent it with, or the block lacks its data.
    """
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type")
    if kind in ("text-plain", "file", "document") and (text := _plain_text(kind, block)) is not None:
        return {"type": "text", "text": text}
    if kind in ("text", "input_text", "output_text"):
        return {"type": "text", "text": block.get("text") or ""}
    if kind in _NO_CONTENT:
        return None
    if kind in ("image", "audio", "video", "file", "document"):
        return _media(kind, block)
    if kind == "image_pil":
        return _media("image", {**block, "base64": _png(block["image_pil"]), "mime_type": "image/png"})
    if kind == "cache_control" or kind is None:
        raise ValueError(f"a content block without a type: {sorted(block)}")
    return dict(block)


def _plain_text(kind: str, block: Mapping[str, Any]) -> str | None:
    """The text of a document that is text; None if it is something else.

    Raises:
        ValueError: there is only a reference to it.
    """
    if isinstance(text := block.get("text"), str):
        return text
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "text":  # Anthropic's
        return str(source.get("data") or "")
    _, data, mime_type = _source(block)
    if kind != "text-plain" and not (mime_type or "").startswith("text/"):
        return None
    if data is None:
        raise ValueError(f"vLLM fetches no text: put it into a text block; this one has only {sorted(block)}")
    return (data if isinstance(data, bytes) else base64.b64decode(data)).decode()


def _media(kind: str, block: Mapping[str, Any]) -> Json:
    url, data, mime_type = _source(block)
    if kind in ("file", "document"):
        kind = (mime_type or "").partition("/")[0]
        if kind not in ("image", "audio", "video"):
            what = "PDF documents" if mime_type == "application/pdf" else f"files ({mime_type or 'no type'})"
            raise ValueError(
                f"vLLM takes no {what}: pass their text, or an image of each page, as text and image blocks"
            )
    if url is None and data is None:
        raise ValueError(f"an {kind} block needs a 'url', 'base64' or 'path', and has only {sorted(block)}")
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    if data is not None and kind == "audio":
        encoding = _audio_format(mime_type)
        return _with_uuid({"type": "input_audio", "input_audio": {"data": data, "format": encoding}}, block)
    if data is not None:
        if not mime_type:
            raise ValueError(f"an {kind} block with base64 data needs a 'mime_type'")
        url = f"data:{mime_type};base64,{data}"
    wire: Json = {"url": url}
    detail = block.get("detail") or (block.get("extras") or {}).get("detail")
    if detail:
        wire["detail"] = detail
    return _with_uuid({"type": f"{kind}_url", f"{kind}_url": wire}, block)


def _source(block: Mapping[str, Any]) -> tuple[str | None, str | bytes | None, str | None]:
    """URL, data and type, wherever a block has them."""
    mime_type = block.get("mime_type")
    if isinstance(source := block.get("source"), Mapping):  # Anthropic's
        return source.get("url"), source.get("data"), source.get("media_type") or mime_type
    if isinstance(file := block.get("file"), Mapping):  # OpenAI's
        head, _, data = str(file.get("file_data") or "").partition(";base64,")
        return None, data or None, head.removeprefix("data:") or mime_type
    if block.get("source_type") == "base64":  # LangChain's before 1.0
        return None, block.get("data"), mime_type
    if (path := block.get("path")) is not None:
        if not isinstance(path, Path):
            raise ValueError(
                "the 'path' of a block is a pathlib.Path, so that no stranger's text becomes one"
            )
        return None, path.read_bytes(), mime_type or mimetypes.guess_type(path.name)[0]
    return block.get("url"), block.get("base64"), mime_type


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _audio_format(mime_type: str | None) -> str:
    name = (mime_type or "audio/wav").split("/")[-1].split(";")[0].removeprefix("x-")
    return {"mpeg": "mp3", "wave": "wav"}.get(name, name)


def _with_uuid(part: Json, block: Mapping[str, Any]) -> Json:
    uuid = block.get("uuid") or (block.get("extras") or {}).get("uuid")
    return {**part, "uuid": uuid} if uuid else part
