"""Readers by the SDK's type of an answer, for requests that no resource made.

LiteLLM and vLLM's own examples ask by `client.post(path, cast_to=ChatCompletion)`, or with `stream=True` and
`stream_cls=Stream[ChatCompletionChunk]`. Such answers get the checks that those of `create` have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_origin

from openai import AsyncStream, Stream
from openai.types import Completion as SDKCompletion
from openai.types.audio import TranscriptionStreamEvent
from openai.types.chat import ChatCompletion as SDKChatCompletion
from openai.types.chat import ChatCompletionChunk as SDKChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from .._calls.call import Conversion
from ..types import (
    ChatCompletion,
    ChatCompletionChunk,
    ClassificationResponse,
    Completion,
    DetokenizeResponse,
    ModelPage,
    PoolingResponse,
    RerankResponse,
    ScoreResponse,
    TokenizeResponse,
)
from .audio import TranscriptionEvents, read_transcription_chunk
from .chat import read_chat, read_chunk
from .completions import read_completion, read_completion_chunk
from .responses import read_native, read_native_event

_WHOLE: dict[object, Callable[[bytes], object]] = {
    SDKChatCompletion: read_chat,
    ChatCompletion: read_chat,
    SDKCompletion: read_completion,
    Completion: read_completion,
    Response: read_native,
}


class EventReader(NamedTuple):
    """Reads a stream.

    Attributes:
        read_event: makes an item of the data of one event.
        conversion: makes what turns those items into the stream's; None if they are the stream's.
    """

    read_event: Callable[[bytes], object]
    conversion: Callable[[], Conversion[Any]] | None = None


# By representation, since what the SDK calls the type of an event may be a union, which need not be hashable.
_EVENTS: dict[str, EventReader] = {
    repr(chunk): reader
    for chunk, reader in (
        (SDKChatCompletionChunk, EventReader(read_chunk)),
        (ChatCompletionChunk, EventReader(read_chunk)),
        (SDKCompletion, EventReader(read_completion_chunk)),
        (Completion, EventReader(read_completion_chunk)),
        (ResponseStreamEvent, EventReader(read_native_event)),
        (TranscriptionStreamEvent, EventReader(read_transcription_chunk, TranscriptionEvents)),
    )
}


def reply_reader(cast_to: object) -> Callable[[bytes], object] | None:
    """Return the reader of a whole reply of a type; None for a type that the SDK shall make."""
    return _WHOLE.get(cast_to) if isinstance(cast_to, type) else None


def event_reader(cast_to: object, stream_cls: object) -> EventReader | None:
    """Return the reader of a stream; None for one that the SDK, or the caller, shall read.

    Args:
        cast_to: the type of an item, if the class does not tell.
        stream_cls: the caller's ``Stream[type]``; None for the SDK's own.
    """
    if stream_cls is None:
        return _EVENTS.get(repr(cast_to))
    if get_origin(stream_cls) not in (Stream, AsyncStream):
        return None
    return _EVENTS.get(repr(get_args(stream_cls)[0]))


# Of what the SDK has no method that would tell.
_ANSWERS: dict[str, type] = {
    "classify.create": ClassificationResponse,
    "detokenize": DetokenizeResponse,
    "models.list": ModelPage,
    "pooling.create": PoolingResponse,
    "rerank.create": RerankResponse,
    "responses.cancel": Response,
    "responses.retrieve": Response,
    "score.create": ScoreResponse,
    "tokenize": TokenizeResponse,
}


def type_of_answer(operation: str) -> type:
    """Return the type of an operation's answer, for whoever is shown its request."""
    return _ANSWERS.get(operation, object)
