"""Chunks of a streamed transcription, in vLLM's own shape."""

from __future__ import annotations

from openai import BaseModel


class TranscriptionDelta(BaseModel):
    """The addition that a chunk makes."""

    content: str | None = None


class TranscriptionChoice(BaseModel):
    """The one choice; a `finish_reason` ends a piece of 30 s, not the stream."""

    index: int = 0
    delta: TranscriptionDelta
    finish_reason: str | None = None
    stop_reason: int | str | None = None


class TranscriptionUsage(BaseModel):
    """Token counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class TranscriptionChunk(BaseModel):
    """One chunk (object "transcription.chunk")."""

    id: str | None = None
    choices: list[TranscriptionChoice]
    usage: TranscriptionUsage | None = None
