"""The messages that vLLM takes: OpenAI's own types, those that vLLM adds, and the parts of their content.

pydantic tries every kind of message in turn, as it does in vLLM, and leaves the parts of a content for later:
a conversation of the wrong form is refused before the model is looked for, a part of the wrong form after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from openai.types import chat as openai_chat
from openai.types.chat.chat_completion_content_part_param import ChatCompletionContentPartParam
from openai.types.responses import ResponseInputImageParam
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import Required, TypedDict

from ..http.errors import refused
from ..http.options import Options
from .pictures import check_picture

Embeddings = str | dict[str, str | list[int | float]]


class Url(TypedDict, total=False):
    """The address of a medium, or the medium itself as a data: URL."""

    url: Required[str]


class AudioPart(TypedDict, total=False):
    """A sound."""

    audio_url: Required[Url]
    type: Required[Literal["audio_url"]]


class VideoPart(TypedDict, total=False):
    """A video."""

    video_url: Required[Url]
    type: Required[Literal["video_url"]]


class ImageEmbedsPart(TypedDict, total=False):
    """The embeddings of a picture."""

    image_embeds: Embeddings | None
    type: Required[Literal["image_embeds"]]
    uuid: str | None


class AudioEmbedsPart(TypedDict, total=False):
    """The embeddings of a sound."""

    audio_embeds: Embeddings | None
    type: Required[Literal["audio_embeds"]]
    uuid: str | None


class VideoEmbedsPart(TypedDict, total=False):
    """The embeddings of a video."""

    video_embeds: Embeddings | None
    type: Required[Literal["video_embeds"]]
    uuid: str | None


class PromptEmbedsPart(TypedDict, total=False):
    """The embeddings of a text."""

    data: Required[str]
    type: Required[Literal["prompt_embeds"]]


class PlainImagePart(TypedDict, total=False):
    """A picture by its URL alone."""

    image_url: str | None
    uuid: str | None


class PlainAudioPart(TypedDict, total=False):
    """A sound by its URL alone."""

    audio_url: str | None


class PlainVideoPart(TypedDict, total=False):
    """A video by its URL alone."""

    video_url: str | None
    uuid: str | None


class ThinkingPart(TypedDict, total=False):
    """Reasoning."""

    thinking: Required[str]
    closed: bool
    type: Literal["thinking"]


class ToolReferencePart(TypedDict, total=False):
    """The name of a tool."""

    name: str
    type: Literal["tool_reference"]


Part = (
    ChatCompletionContentPartParam
    | AudioPart
    | openai_chat.ChatCompletionContentPartInputAudioParam
    | VideoPart
    | openai_chat.ChatCompletionContentPartRefusalParam
    | PlainImagePart
    | ImageEmbedsPart
    | AudioEmbedsPart
    | VideoEmbedsPart
    | PromptEmbedsPart
    | PlainAudioPart
    | PlainVideoPart
    | ToolReferencePart
    | str
    | ThinkingPart
)


class CustomChatCompletionMessageParam(TypedDict, total=False):
    """A message of any role. Errors tell the name of the class, which is therefore vLLM's."""

    role: Required[str]
    content: str | list[Part]
    name: str
    tool_call_id: str | None
    tool_calls: list[openai_chat.ChatCompletionMessageToolCallParam] | None
    reasoning: str | None
    tools: list[openai_chat.ChatCompletionFunctionToolParam] | None
    task: str | None


class Author(BaseModel):
    """The author of a message of the Harmony format."""

    role: Literal["user", "assistant", "system", "developer", "tool"]
    name: str | None = None


class Message(BaseModel):
    """A message of the Harmony format. Errors tell the name of the class, which is openai-harmony's."""

    author: Author
    content: list[Any] = Field(default_factory=list)
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None


AnyMessage = openai_chat.ChatCompletionMessageParam | CustomChatCompletionMessageParam | Message

_PARTS: dict[str, TypeAdapter[Any]] = {
    "image_url": TypeAdapter(openai_chat.ChatCompletionContentPartImageParam),
    "image_embeds": TypeAdapter(ImageEmbedsPart),
    "audio_embeds": TypeAdapter(AudioEmbedsPart),
    "video_embeds": TypeAdapter(VideoEmbedsPart),
    "prompt_embeds": TypeAdapter(PromptEmbedsPart),
    "audio_url": TypeAdapter(AudioPart),
    "video_url": TypeAdapter(VideoPart),
    "input_audio": TypeAdapter(openai_chat.ChatCompletionContentPartInputAudioParam),
    "refusal": TypeAdapter(openai_chat.ChatCompletionContentPartRefusalParam),
    "input_image": TypeAdapter(ResponseInputImageParam),
}
_TEXTS = ("text", "refusal", "thinking", "input_text", "output_text", "tool_reference")
_EMBEDS = ("image_embeds", "audio_embeds", "video_embeds")
_KINDS = {*_TEXTS, *_PARTS, "image_pil"}


def check_contents(messages: Sequence[Any], options: Options) -> None:
    """Look at the parts of every content, as vLLM does when it has found the model.

    Args:
        messages: the conversation as pydantic left it.
        options: what the server is like.

    Raises:
        SimError: a 400; a part has the wrong form, or the model does not take its kind.
    """
    pictures = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if content is None or isinstance(content, str):
            continue
        try:
            for part in content:
                _check_part(part, options)
                if (url := _picture(part)) is not None:
                    pictures.append(url)
        except ValidationError as error:
            raise refused(str(error)) from None
    for number, url in enumerate(pictures):
        check_picture(url, number)


def _check_part(part: Any, options: Options) -> None:
    if isinstance(part, str):
        return
    kind = part.get("type")
    if kind in _PARTS and part.get("uuid") is None:
        _PARTS[kind].validate_python(part)
    if kind is None:
        kind = next((name for name in part if name in _PARTS), None)
    if kind not in _KINDS:
        raise refused(
            f"Unsupported chat content part type: {kind!r}. Supported types: {', '.join(sorted(_KINDS))}.",
            "type",
            kind,
        )
    if kind not in _TEXTS and not options.multimodal:
        raise refused(f"{options.models[0]} is not a multimodal model")
    if kind in _EMBEDS:
        raise refused(f"You must set `--enable-mm-embeds` to input `{kind}`", kind)


def _picture(part: Any) -> str | None:
    """The URL of a picture; `None` if it is none, or one that the server is to know by its uuid."""
    picture = part.get("image_url") if isinstance(part, dict) else None
    url = picture.get("url") if isinstance(picture, dict) else picture
    return url if isinstance(url, str) and (url or part.get("uuid") is None) else None


def check_calls(messages: Sequence[Any]) -> None:
    """Look at the tool calls of every message, which pydantic leaves for later, too.

    Args:
        messages: the conversation as pydantic left it.

    Raises:
        ValidationError: a call has the wrong form.
    """
    for message in messages:
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        if calls is not None:
            list(calls)
