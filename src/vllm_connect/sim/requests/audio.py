"""Transcription and translation requests: forms, and vLLM's checks of them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..http.errors import SimError, malformed, missing, refused, unknown_model, validated
from ..http.options import Options
from ..http.recorder import Form, Upload
from .sampling import Sampling, check_sampling

_MOST_MEGABYTES = 25
_LANGUAGES = (
    *("af", "ar", "hy", "az", "be", "bs", "bg", "ca", "zh", "hr", "cs", "da", "nl", "en", "et", "fi"),
    *("fr", "gl", "de", "el", "he", "hi", "hu", "is", "id", "it", "ja", "kn", "kk", "ko", "lv", "lt"),
    *("mk", "ms", "mr", "mi", "ne", "no", "fa", "pl", "pt", "ro", "ru", "sr", "sk", "sl", "es", "sw"),
    *("sv", "tl", "ta", "th", "tr", "uk", "ur", "vi", "cy"),
)


_DECODING = {
    *("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "repetition_penalty"),
    "presence_penalty",
}
_Format = Literal["json", "text", "srt", "verbose_json", "vtt"]


class AudioRequest(BaseModel):
    """The fields that both forms have."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    file: bytes
    model: str | None = None
    language: str | None = None
    prompt: str = ""
    response_format: _Format | Literal["diarized_json"] = "json"
    temperature: float = 0.0
    stream: bool = False
    stream_include_usage: bool = False
    stream_continuous_usage_stats: bool = False
    seed: int | None = None
    max_completion_tokens: int | None = None
    to_language: str | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = 0.0
    repetition_penalty: float | None = None
    presence_penalty: float | None = 0.0
    watermarking: bool | None = None


class TranslationRequest(AudioRequest):
    """The form of `/v1/audio/translations`."""

    response_format: _Format = "json"


class TranscriptionRequest(AudioRequest):
    """The form of `/v1/audio/transcriptions`."""

    granularities: list[Literal["word", "segment"]] = Field(
        alias="timestamp_granularities[]", default_factory=list
    )


def read_audio(form: Form, options: Options, kind: type[AudioRequest]) -> AudioRequest:
    """Check a form and makes a request of it.

    Args:
        form: as it came.
        options: those of the server.
        kind: which of the two requests it is.

    Raises:
        SimError: a 400, a 404 for a model that is not served, or vLLM's only 422.
    """
    fields: dict[str, Any] = {
        name: values if name.endswith("[]") else values[-1] for name, values in form.items()
    }
    file = fields.get("file")
    if isinstance(file, str):
        message = "Expected 'file' to be a file-like object, not 'str'."
        raise SimError(422, message, type="Unprocessable Entity")
    if file is None:
        raise malformed([missing("file", fields)])
    assert isinstance(file, Upload)
    if fields.get("stream_include_usage") and fields.get("stream", "false").lower() != "true":
        raise refused("Stream options can only be defined when `stream=True`.", "stream_include_usage")
    if "vllm_xargs" in fields:
        _check_json(fields["vllm_xargs"])
    request = validated(kind, {**fields, "file": file.content})
    if request.model and request.model not in options.models:
        raise unknown_model(request.model, options.models)
    _check_format(request, options)
    megabytes = len(file.content) / 1024**2
    if megabytes > _MOST_MEGABYTES:
        raise refused("Maximum file size exceeded", "audio_filesize_mb", megabytes)
    for language in (request.language, request.to_language):
        if language is not None and language not in _LANGUAGES:
            raise refused(f"Unsupported language: {language!r}.  Must be one of {list(_LANGUAGES)}.")
    return request


def check_decoding(request: AudioRequest) -> None:
    """Refuse how to decode; vLLM looks at that when it has heard the sound.

    Raises:
        SimError: a 400.
    """
    fields = request.model_dump(include=_DECODING)
    check_sampling(Sampling(**fields, max_tokens=request.max_completion_tokens))


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        message = f"Failed to parse vllm_xargs. Must be valid JSON: {error}"
        raise refused(message, "vllm_xargs") from None


def _check_format(request: AudioRequest, options: Options) -> None:
    form = request.response_format
    if form == "diarized_json":
        raise refused(f"Currently do not support diarized_json for {options.models[0]}")
    if form in ("srt", "vtt"):
        raise refused(
            "Currently only support response_format: `text`, `json`, `verbose_json` or `diarized_json`"
        )
    if form == "verbose_json" and request.stream:
        raise refused("verbose_json format doesn't support streaming case")
