"""`/v1/audio/transcriptions` and `/v1/audio/translations`: what a recording sounds like.

The simulator tells for every piece of 30 seconds whether it is a low tone, a high tone or silence. It
reads WAV files only, and counts how often the sound crosses zero.
"""

from __future__ import annotations

import asyncio
import io
import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of
from ..http.errors import refused
from ..http.options import Options
from ..http.recorder import read_form
from ..http.replies import DONE, EventStream, Json, event, now, paced, request_id
from ..requests.audio import (
    AudioRequest,
    TranscriptionRequest,
    TranslationRequest,
    check_decoding,
    read_audio,
)
from .tokens import encode, pieces
from .usage import brief_usage

_PIECE = 30.0
_OVERLAP = 1.0
_HIGH = 700.0
_SILENT = 0.01
_FRAMES_PER_SECOND = 100
_PROMPT_TOKENS = 4


@dataclass(frozen=True)
class Sound:
    """A recording: its length in seconds and what each piece of it sounds like."""

    seconds: float
    pieces: list[str]


async def transcriptions(request: Request) -> Response:
    """Answer a transcription request."""
    return await _audio(request, TranscriptionRequest, "transcribe", "transcription.chunk")


async def translations(request: Request) -> Response:
    """Answer a translation request; a tone is a tone in every language."""
    return await _audio(request, TranslationRequest, "translate", "translation.chunk")


async def _audio(request: Request, kind: type[AudioRequest], prefix: str, object: str) -> Response:
    options: Options = request.app.state.options
    form = await read_form(request.headers.get("content-type", ""), await request.body())
    body = read_audio(form, options, kind)
    sound = listen(body.file)
    check_decoding(body)
    await engine_of(request).admit()
    texts = [_limited(text, body.max_completion_tokens) for text in sound.pieces]
    if body.stream:
        id = request_id(request, prefix)
        return EventStream(paced(_events(id, object, body, sound, texts, options), options.delay))
    await asyncio.sleep(options.delay * sum(len(encode(text)) for text in texts))
    whole = " ".join(texts)
    if body.response_format == "verbose_json":
        segments = [_segment(i, text, body) for i, text in enumerate(texts)]
        head = {"duration": sound.seconds, "language": body.language or "en", "text": whole}
        return Json({**head, "segments": segments, "words": None})
    if prefix == "translate":
        return Json({"text": whole})
    return Json({"text": whole, "usage": {"type": "duration", "seconds": math.ceil(sound.seconds)}})


def listen(file: bytes) -> Sound:
    """Tell what a recording sounds like.

    Raises:
        SimError: a 400: it is no WAV file.
    """
    try:
        with wave.open(io.BytesIO(file)) as reader:
            rate, width, channels = reader.getframerate(), reader.getsampwidth(), reader.getnchannels()
            data = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError):
        raise refused(
            "Invalid or corrupted audio data. Ensure the input is a valid audio or video file (e.g. a "
            "complete WAV, MP3, or MP4)."
        ) from None
    # Of every sample only the uppermost byte of the first channel.
    upper = data[width - 1 :: width * channels]
    if width == 1:  # samples of one byte have no sign
        upper = upper.translate(bytes((byte + 128) % 256 for byte in range(256)))
    told, start, size = [], 0, int(_PIECE * rate)
    while True:
        told.append(_transcript(upper[start : start + size], rate))
        if start + size >= len(upper):
            return Sound(len(upper) / rate, told)
        start += int((_PIECE - _OVERLAP) * rate)


def _transcript(samples: bytes, rate: int) -> str:
    loudest = max((byte if byte < 128 else 255 - byte for byte in set(samples)), default=0)
    signs = samples.translate(bytes(byte >= 128 for byte in range(256)))
    frequency = signs.count(b"\x00\x01") * rate / max(len(samples), 1)
    if loudest < _SILENT * 128 or frequency == 0:
        return " This is silence."
    return " This is a high tone." if frequency > _HIGH else " This is a low tone."


def _limited(text: str, tokens: int | None) -> str:
    return text if tokens is None else "".join(pieces(text)[:tokens])


def _segment(index: int, text: str, body: AudioRequest) -> dict[str, Any]:
    start = (_PIECE - _OVERLAP) * index
    return {
        "id": 0,  # counted anew in each piece
        "avg_logprob": -0.1,
        "compression_ratio": 0.75,
        "end": start + 5.0,
        "no_speech_prob": None,
        "seek": int(start),
        "start": start,
        "temperature": body.temperature,
        "text": text,
        "tokens": encode(text),
    }


def _events(
    id: str, object: str, body: AudioRequest, sound: Sound, texts: list[str], options: Options
) -> Iterator[bytes]:
    """The answer as a stream: every piece ends with a `finish_reason` of its own."""
    prompt = len(texts) * _PROMPT_TOKENS + math.ceil(sound.seconds * _FRAMES_PER_SECOND)
    completion_tokens, created = 0, now()

    def chunk(choices: list[dict[str, Any]], usage: bool) -> bytes:
        more = {"usage": brief_usage(prompt, completion_tokens)} if usage else {}
        head = {"id": id, "object": object, "created": created, "model": options.models[0]}
        return event({**head, "choices": choices, **more})

    continuous = body.stream_include_usage and body.stream_continuous_usage_stats
    for i, text in enumerate(texts):
        cut = body.max_completion_tokens is not None and len(pieces(text)) == body.max_completion_tokens
        for each in pieces(text if i == 0 else " " + text):
            completion_tokens += 1
            yield chunk([{"delta": {"content": each}}], continuous)
        completion_tokens += not cut
        ended = {"finish_reason": "length" if cut else "stop", "stop_reason": None}
        yield chunk([{"delta": {"content": ""}, **ended}], continuous)
    if body.stream_include_usage:
        yield chunk([], True)
    yield DONE
