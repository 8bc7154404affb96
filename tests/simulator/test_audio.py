"""Transcriptions and translations."""

from __future__ import annotations

import io
import math
import wave
from array import array
from typing import Any

import pytest

from vllm_connect._transport._httpx import httpx

from .conftest import Caller, payloads

PATH = "/v1/audio/transcriptions"


def tone(
    frequency: float, seconds: float = 1.5, rate: int = 16000, width: int = 2, channels: int = 1
) -> bytes:
    """A WAV file with a sine in it."""
    period = [math.sin(2 * math.pi * frequency * i / rate) for i in range(rate)]
    if width == 1:
        second = bytes(int(128 + 90 * value) for value in period for _ in range(channels))
    else:
        second = array("h", [int(16000 * value) for value in period for _ in range(channels)]).tobytes()
    whole, rest = divmod(seconds, 1)
    frame = width * channels
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(second * int(whole) + second[: int(rest * rate) * frame])
    return file.getvalue()


def listen(ask: Caller, file: bytes, path: str = PATH, **fields: Any) -> httpx.Response:
    return ask.http.post(path, files={"file": ("a.wav", file, "audio/wav")}, data=fields)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (tone(300), " This is a low tone."),
        (tone(1500), " This is a high tone."),
        (tone(0), " This is silence."),
        (tone(300, rate=8000), " This is a low tone."),
        (tone(1500, rate=44100, channels=2), " This is a high tone."),
        (tone(300, rate=8000, width=1), " This is a low tone."),
        (tone(300, seconds=0), " This is silence."),
    ],
)
def test_tones(ask: Caller, file: bytes, text: str) -> None:
    reply = listen(ask, file, model="sim-chat", language="en")
    assert reply.json()["text"] == text


def test_formats(ask: Caller) -> None:
    expected = {"text": " This is a low tone.", "usage": {"type": "duration", "seconds": 2}}
    for form in ("json", "text"):
        reply = listen(ask, tone(300), response_format=form)
        assert reply.headers["content-type"] == "application/json"
        assert reply.json() == expected
    verbose = listen(ask, tone(300), response_format="verbose_json").json()
    assert list(verbose) == ["duration", "language", "text", "segments", "words"]
    assert (verbose["duration"], verbose["language"], verbose["words"]) == (1.5, "en", None)
    assert list(verbose["segments"][0]) == [
        *("id", "avg_logprob", "compression_ratio", "end", "no_speech_prob", "seek", "start"),
        *("temperature", "text", "tokens"),
    ]


def test_long_recordings_are_cut_into_pieces(ask: Caller) -> None:
    file = tone(300, 40, rate=4000)
    assert listen(ask, file).json() == {
        "text": " This is a low tone.  This is a low tone.",
        "usage": {"type": "duration", "seconds": 40},
    }
    segments = listen(ask, file, response_format="verbose_json").json()["segments"]
    assert [(segment["id"], segment["start"]) for segment in segments] == [(0, 0.0), (0, 29.0)]
    *chunks, done = payloads(listen(ask, file, stream="true").text)
    assert done == "[DONE]"
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"]["content"] for choice in choices) == (
        " This is a low tone.  This is a low tone."
    )
    ended = [i for i, choice in enumerate(choices) if "finish_reason" in choice]
    assert len(ended) == 2
    assert ended[0] < len(choices) - 1 == ended[1]


def test_stream(ask: Caller) -> None:
    reply = listen(ask, tone(300), stream="true")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, last, done = payloads(reply.text)
    assert done == "[DONE]"
    for chunk in chunks:
        assert list(chunk) == ["id", "object", "created", "model", "choices"]
        assert chunk["object"] == "transcription.chunk"
        assert chunk["id"].startswith("transcribe-")
        assert list(chunk["choices"][0]) == ["delta"]
    assert last["choices"] == [{"delta": {"content": ""}, "finish_reason": "stop", "stop_reason": None}]


def test_usage_in_a_stream(ask: Caller) -> None:
    fields = {"stream": "true", "stream_include_usage": "true"}
    *chunks, usage, _ = payloads(listen(ask, tone(300), **fields).text)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 154, "total_tokens": 163, "completion_tokens": 9}
    assert all("usage" not in chunk for chunk in chunks)
    *chunks, _ = payloads(listen(ask, tone(300), stream_continuous_usage_stats="true", **fields).text)
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [*range(1, 10), 9]


def test_translations(ask: Caller) -> None:
    path = "/v1/audio/translations"
    assert listen(ask, tone(300), path, language="de").json() == {"text": " This is a low tone."}
    verbose = listen(ask, tone(300), path, language="de", response_format="verbose_json").json()
    assert verbose["language"] == "de"
    first = payloads(listen(ask, tone(300), path, stream="true").text)[0]
    assert first["object"] == "translation.chunk"
    assert first["id"].startswith("translate-")


def test_limit(ask: Caller) -> None:
    assert listen(ask, tone(300), max_completion_tokens="3").json()["text"] == " This is"
    *_, last, _ = payloads(listen(ask, tone(300), max_completion_tokens="3", stream="true").text)
    assert last["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"response_format": "srt"}, 400, "Currently only support response_format: `text`, `json`, "),
        ({"response_format": "vtt"}, 400, "Currently only support response_format: `text`, `json`, "),
        ({"response_format": "diarized_json"}, 400, "Currently do not support diarized_json for sim-chat"),
        ({"response_format": "nonsense"}, 400, "2 validation errors:"),
        ({"response_format": "verbose_json", "stream": "true"}, 400, "verbose_json format doesn't support"),
        ({"stream_include_usage": "true"}, 400, "Stream options can only be defined when `stream=True`."),
        ({"language": "xx"}, 400, "Unsupported language: 'xx'.  Must be one of ['af', "),
        ({"temperature": "hot"}, 400, "1 validation error:\n  {'type': 'float_parsing'"),
        ({"model": "nope"}, 404, "The model `nope` does not exist. Valid aliases: sim-chat."),
    ],
)
def test_what_is_refused(ask: Caller, fields: dict[str, str], status: int, message: str) -> None:
    reply = listen(ask, tone(300), **fields)
    assert reply.status_code == status
    assert reply.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize("file", [b"this is not audio", b"", b"RIFF\x00\x00\x00\x00WAVE", tone(300)[:30]])
def test_what_is_no_recording(ask: Caller, file: bytes) -> None:
    for fields in ({}, {"stream": "true"}):
        reply = listen(ask, file, **fields)
        assert reply.status_code == 400
        assert reply.json()["error"]["message"].startswith("Invalid or corrupted audio data.")


def test_where_the_file_is_missing(ask: Caller) -> None:
    assert ask.http.post(PATH, files={"x": b"y"}).json()["error"]["param"] == "body.file"
    assert ask.http.post(PATH, json={"model": "x"}).json()["error"]["param"] == "body.file"
    reply = ask.http.post(PATH, files={"file": (None, b"abc")})
    assert reply.status_code == 422
    assert reply.json()["error"]["message"] == "Expected 'file' to be a file-like object, not 'str'."
    reply = listen(ask, bytes(26 * 1024**2))
    assert reply.json()["error"]["param"] == "audio_filesize_mb"
