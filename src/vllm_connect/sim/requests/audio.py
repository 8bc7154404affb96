"""Transcription and translation requests: forms, and vLLM's checks of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..http.errors import SimError, malformed, missing, refused, unknown_model, validated
from ..http.options import Options
from ..http.recorder import Form, Upload

_MOST_MEGABYTES = 25
_LANGUAGES = (
    *("af", "ar", "hy", "az", "be", "bs", "bg", "ca", "zh", "hr", "cs", "da", "nl", "en", "et", "fi"),
    *("fr", "gl", "de", "el", "he", "hi", "hu", "is", "id", "it", "ja", "kn", "kk", "ko", "lv", "lt"),
    *("mk", "ms", "mr", "mi", "ne", "no", "fa", "pl", "pt", "ro", "ru", "sr", "sk", "sl", "es", "sw"),
    *("sv", "tl", "ta", "th", "tr", "uk", "ur", "vi", "cy"),
)


class AudioRequest(BaseModel):
    """The form of `/v1/audio/transcriptions` and `/v1/audio/translations`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    file: bytes
    model: str | None = None
    language: str | None = None
    prompt: str = ""
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] | Literal["diarized_json"] = "json"
    temperature: float = 0.0
    stream: bool = False
    stream_include_usage: bool = False
    stream_continuous_usage_stats: bool = False
    seed: int | None = None
    max_completion_tokens: int | None = None
    to_language: str | None = None


def read_audio(form: Form, options: Options) -> AudioRequest:
    """Check a form and makes a request of it.

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
    request = validated(AudioRequest, {**fields, "file": file.content})
    if request.model and request.model not in options.models:
        raise unknown_model(request.model, options.models)
    _check_format(request, options)
    megabytes = len(file.content) / 1024**2
    if megabytes > _MOST_MEGABYTES:
        raise refused("Maximum file size exceeded", "audio_filesize_mb", megabytes)
    if request.language and request.language not in _LANGUAGES:
        raise refused(f"Unsupported language: {request.language!r}.  Must be one of {list(_LANGUAGES)}.")
    return request


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
