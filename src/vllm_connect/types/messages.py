"""Anthropic's Messages: what goes in as dictionaries, what comes out as objects.

The shapes are Anthropic's, as far as vLLM knows them; its SDK is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from openai import BaseModel
from pydantic import Field
from typing_extensions import NotRequired, Required, TypedDict

# What goes in


class TextBlockParam(TypedDict, total=False):
    """Text."""

    type: Required[Literal["text"]]
    text: Required[str]
    cache_control: Mapping[str, object] | None
    """Ignored: vLLM's prefix cache needs no marks."""


class ImageBlockParam(TypedDict):
    """An image."""

    type: Literal["image"]
    source: Mapping[str, object]
    """`{"type": "base64", "media_type": …, "data": …}` or `{"type": "url", "url": …}`."""


class ToolUseBlockParam(TypedDict):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: Mapping[str, object]


class ToolResultBlockParam(TypedDict, total=False):
    """The answer of a tool."""

    type: Required[Literal["tool_result"]]
    tool_use_id: Required[str]
    content: str | Iterable[Mapping[str, object]]
    is_error: bool


class ThinkingBlockParam(TypedDict):
    """Reasoning of an earlier answer."""

    type: Literal["thinking"]
    thinking: str
    signature: str


ContentBlockParam = (
    TextBlockParam
    | ImageBlockParam
    | ToolUseBlockParam
    | ToolResultBlockParam
    | ThinkingBlockParam
    | Mapping[str, object]
)


class MessageParam(TypedDict):
    """One message of the conversation; what `Message.content` holds may be sent back as it is."""

    role: Literal["user", "assistant", "system"]
    content: str | Iterable[ContentBlockParam | BaseModel]


class ToolParam(TypedDict, total=False):
    """A tool that the model may call."""

    name: Required[str]
    description: str | None
    input_schema: Required[Mapping[str, object]]
    strict: bool | None
    defer_loading: bool | None


class ToolChoiceParam(TypedDict):
    """The tool that the model has to call; `name` with "tool"."""

    type: Literal["auto", "any", "tool", "none"]
    name: NotRequired[str]
    disable_parallel_tool_use: NotRequired[bool]


class ThinkingParam(TypedDict):
    """The switch for thinking first; `budget_tokens`, at least 1024, with "enabled"."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: NotRequired[int]
    display: NotRequired[str]


class OutputConfigParam(TypedDict, total=False):
    """The effort of thinking, and the form of its answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None
    format: Mapping[str, object] | None
    """`{"type": "json_schema", "schema": …}`."""


SystemParam = str | Sequence[TextBlockParam]

# What comes out


class TextBlock(BaseModel):
    """Text of an answer."""

    type: Literal["text"]
    text: str


class ThinkingBlock(BaseModel):
    """Reasoning; the signature is vLLM's own, and worth nothing at Anthropic."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class ToolUseBlock(BaseModel):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, object]


ContentBlock = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="type")]

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class MessageUsage(BaseModel):
    """Token counts of a message."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Message(BaseModel):
    """An answer.

    Attributes:
        content: thinking, text and calls of tools, in the order in which the model wrote them.
        kv_transfer_params: for disaggregated prefill.
        ec_transfer_params: for a disaggregated encoder.
    """

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    content: list[ContentBlock]
    model: str
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: MessageUsage | None = None
    kv_transfer_params: dict[str, object] | None = None
    ec_transfer_params: dict[str, object] | None = None

    @property
    def text(self) -> str:
        """All text of the answer."""
        return "".join(block.text for block in self.content if isinstance(block, TextBlock))


class MessageTokens(BaseModel):
    """The number of tokens of a conversation."""

    input_tokens: int
    context_management: dict[str, object] | None = None


class MessageDelta(BaseModel):
    """An addition of a streamed event to a block: one of its fields, by its type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None


class MessageEnding(BaseModel):
    """The end of a streamed answer, and the reason."""

    stop_reason: str | None = None
    stop_sequence: str | None = None


class MessageStartEvent(BaseModel):
    """The answer begins; its content is empty yet."""

    type: Literal["message_start"]
    message: Message


class ContentBlockStartEvent(BaseModel):
    """A block begins."""

    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class ContentBlockDeltaEvent(BaseModel):
    """A block goes on."""

    type: Literal["content_block_delta"]
    index: int
    delta: MessageDelta


class ContentBlockStopEvent(BaseModel):
    """A block ends."""

    type: Literal["content_block_stop"]
    index: int


class MessageDeltaEvent(BaseModel):
    """The answer is about to end."""

    type: Literal["message_delta"]
    delta: MessageEnding
    usage: MessageUsage | None = None


class MessageStopEvent(BaseModel):
    """The answer is complete."""

    type: Literal["message_stop"]


MessageStreamEvent = Annotated[
    MessageStartEvent
    | ContentBlockStartEvent
    | ContentBlockDeltaEvent
    | ContentBlockStopEvent
    | MessageDeltaEvent
    | MessageStopEvent,
    Field(discriminator="type"),
]
