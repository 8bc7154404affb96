"""Transcriptions and translations: POST /v1/audio/transcriptions, /v1/audio/translations.

vLLM streams chunks of its own (`choices[0].delta.content`), with one finish_reason for every 30 s of
audio and then more; they come out as OpenAI's `transcript.text.delta` and one `transcript.text.done`, with
vLLM's `choices` among their extras.
A gateway may have made those events already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
from openai._files import async_to_httpx_files, to_httpx_files
from openai.resources.audio import AsyncAudio as SDKAsyncAudio
from openai.resources.audio import AsyncTranscriptions as SDKAsyncTranscriptions
from openai.resources.audio import AsyncTranslations as SDKAsyncTranslations
from openai.resources.audio import Audio as SDKAudio
from openai.resources.audio import Transcriptions as SDKTranscriptions
from openai.resources.audio import Translations as SDKTranslations
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsBase
from openai.types.audio.transcription_diarized import TranscriptionDiarized
from openai.types.audio.transcription_text_done_event import Usage
from openai.types.audio.translation_create_params import TranslationCreateParams
from typing_extensions import NotRequired, TypedDict, Unpack

from .._calls.call import Call, Variant, at_home
from .._unsupported import only
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import NotAReply, Reader, read_object
from ..types.audio import TranscriptionChoice, TranscriptionChunk, TranscriptionDelta, TranscriptionUsage
from ._patched import CallOf, SDKMethod

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


class SpeechParams(TypedDict, total=False):
    """Parameters of vLLM's besides OpenAI's."""

    stream: bool | None
    stream_include_usage: bool | None
    """Token counts in the `transcript.text.done` event."""
    stream_continuous_usage_stats: bool | None
    hotwords: str | None
    include_stop_str_in_output: bool | None
    watermarking: bool | None
    to_language: str | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    length_penalty: float | None
    max_completion_tokens: int | None
    use_beam_search: bool | None
    n: int | None
    vllm_xargs: Mapping[str, object] | None


class TranscriptionParams(TranscriptionCreateParamsBase, SpeechParams, RequestOptions, total=False):
    """Everything that `audio.transcriptions.create` accepts.

    `response_format` is "json", "text", "verbose_json" or "diarized_json"; vLLM refuses srt and vtt.
    """

    model: NotRequired[str | None]  # type: ignore[misc]  # the server has one
    """Default: the server's model."""


class TranslationParams(TranslationCreateParams, SpeechParams, RequestOptions, total=False):
    """Everything that `audio.translations.create` accepts."""

    model: NotRequired[str | None]  # type: ignore[misc]  # the server has one
    """Default: the server's model."""

    language: str | None


def _read_text(content: bytes) -> str:
    """The text alone, which vLLM wraps in JSON and others do not."""
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode("utf-8", "replace")
    text = payload.get("text") if isinstance(payload, dict) else None
    return text if isinstance(text, str) else content.decode("utf-8", "replace")


_read_chunk = Reader(TranscriptionChunk, "choices")


def read_transcription_chunk(data: bytes) -> TranscriptionChunk:
    """Read an event: a chunk of vLLM's, or OpenAI's own event as a chunk.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is something else.
    """
    if b'"choices"' in data or b'"transcript.text.' not in data:
        return _read_chunk(data)
    event = read_object(data)
    if event.get("type") == "transcript.text.done":
        counts, usage = event.get("usage"), None
        if isinstance(counts, dict) and counts.get("type") == "tokens":
            usage = TranscriptionUsage.construct(
                prompt_tokens=counts.get("input_tokens", 0),
                completion_tokens=counts.get("output_tokens", 0),
                total_tokens=counts.get("total_tokens", 0),
            )
        ending = TranscriptionChoice(delta=TranscriptionDelta(), finish_reason="stop")
        return TranscriptionChunk(choices=[ending], usage=usage)
    text = event.get("delta")
    if event.get("type") != "transcript.text.delta" or not isinstance(text, str):
        raise NotAReply(f"no chunk of a transcription: {data[:200]!r}")
    return TranscriptionChunk(choices=[TranscriptionChoice(delta=TranscriptionDelta(content=text))])


_READERS: dict[str, dict[str, Callable[[bytes], object]]] = {
    "transcriptions": {
        "text": _read_text,
        "json": Reader(Transcription, "text"),
        "verbose_json": Reader(TranscriptionVerbose, "text"),
        "diarized_json": Reader(TranscriptionDiarized, "text"),
    },
    "translations": {
        "text": _read_text,
        "json": Reader(Translation, "text"),
        "verbose_json": Reader(TranslationVerbose, "text"),
    },
}
_KNOWN = {"transcriptions": names(TranscriptionParams), "translations": names(TranslationParams)}


def _call(kind: str, params: Mapping[str, object]) -> Call[object]:
    """Build the call; its file is as the caller passed it."""
    operation = f"audio.{kind}.create"
    form, options = read_params(operation, params, _KNOWN[kind])
    file = form.pop("file", None)
    if file is None:
        raise TypeError(f"{operation}: pass file=, the audio: bytes, a path, an open file or (name, content)")
    if isinstance(file, str):
        raise TypeError(f"{operation}: file is a string; pass pathlib.Path({file!r}) to send that file")
    if isinstance(form.get("vllm_xargs"), Mapping):
        form["vllm_xargs"] = orjson.dumps(form["vllm_xargs"]).decode()
    stream = form.get("stream") is True
    if not stream:
        form.pop("stream", None)
    # The SDK replaces it by one that names the boundary between the form's parts.
    session, routed = at_home(operation, form, options)
    headers: Any = routed.get("headers") or {}
    options = {**routed, "headers": {"Content-Type": "multipart/form-data", **headers}}
    reply_format = form.get("response_format", "json")
    readers = _READERS[kind]
    return Call(
        operation,
        (Variant(f"/v1/audio/{kind}"),),
        form.pop("model", None),
        read=None if stream else readers.get(reply_format, readers["json"]),
        read_event=read_transcription_chunk if stream else None,
        conversion=TranscriptionEvents if stream else None,
        options=options,
        session=session,
        form=form,
        files={"file": file},
        json_reply=reply_format != "text",
    )


class TranscriptionEvents:
    """vLLM's chunks in, OpenAI's events out."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._usage: Usage | None = None

    def feed(self, chunk: TranscriptionChunk) -> list[TranscriptionStreamEvent]:
        """Take a chunk; return the events that it makes."""
        if (usage := chunk.usage) is not None:
            self._usage = Usage.construct(
                type="tokens",
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                total_tokens=usage.total_tokens,
            )
        events: list[TranscriptionStreamEvent] = []
        for choice in chunk.choices:
            if text := choice.delta.content:
                self._texts.append(text)
                # As vLLM's own examples read them, on a client that takes whatever comes for an event.
                choices = [choice.to_dict()]
                events.append(
                    TranscriptionTextDeltaEvent.construct(
                        type="transcript.text.delta", delta=text, choices=choices
                    )
                )
        return events

    def finish(self) -> list[TranscriptionStreamEvent]:
        """Take the end of the stream: the whole text."""
        return [
            TranscriptionTextDoneEvent.construct(
                type="transcript.text.done", text="".join(self._texts), usage=self._usage, choices=[]
            )
        ]

    def fail(self, error: Exception) -> list[TranscriptionStreamEvent]:
        """Take the failure of the stream, which OpenAI has no event for."""
        return []


_SDK_METHODS = {
    kind: SDKMethod(resource, "create", _KNOWN[kind], table)
    for kind, resource, table in (
        ("transcriptions", SDKTranscriptions, TranscriptionCreateParamsBase),
        ("translations", SDKTranslations, TranslationCreateParams),
    )
}
_ASYNC_SDK_METHODS = {
    kind: SDKMethod(resource, "create", _KNOWN[kind], table)
    for kind, resource, table in (
        ("transcriptions", SDKAsyncTranscriptions, TranscriptionCreateParamsBase),
        ("translations", SDKAsyncTranslations, TranslationCreateParams),
    )
}


@only("audio.transcriptions", "create")
class Transcriptions(SDKTranscriptions):
    """Speech to text in the language that is spoken."""

    _client: VLLM

    def create(self, **params: Unpack[TranscriptionParams]) -> Any:  # type: ignore[override]  # vLLM's parameters
        """Transcribe audio.

        Args:
            params: see `TranscriptionParams`; `file` is bytes, a path, an open file or (name, content).

        Returns:
            A `Transcription`; a `TranscriptionVerbose` or `TranscriptionDiarized` for those formats; a
            string for "text"; with `stream=True` a stream of `TranscriptionStreamEvent`.
        """
        return _create(self._client, "transcriptions", params)


@only("audio.transcriptions", "create")
class AsyncTranscriptions(SDKAsyncTranscriptions):
    """Speech to text in the language that is spoken."""

    _client: AsyncVLLM

    async def create(self, **params: Unpack[TranscriptionParams]) -> Any:  # type: ignore[override]  # vLLM's parameters
        """Transcribe audio; see `Transcriptions.create`."""
        return await _async_create(self._client, "transcriptions", params)


@only("audio.translations", "create")
class Translations(SDKTranslations):
    """Speech to text in English."""

    _client: VLLM

    def create(self, **params: Unpack[TranslationParams]) -> Any:  # type: ignore[override]  # vLLM's parameters
        """Translate audio.

        Args:
            params: see `TranslationParams`; `file` as in `Transcriptions.create`.

        Returns:
            A `Translation`, a `TranslationVerbose`, a string for "text", or with `stream=True` a stream
            of `TranscriptionStreamEvent`.
        """
        return _create(self._client, "translations", params)


@only("audio.translations", "create")
class AsyncTranslations(SDKAsyncTranslations):
    """Speech to text in English."""

    _client: AsyncVLLM

    async def create(self, **params: Unpack[TranslationParams]) -> Any:  # type: ignore[override]  # vLLM's parameters
        """Translate audio; see `Translations.create`."""
        return await _async_create(self._client, "translations", params)


def _making(kind: str) -> CallOf:
    """Return the maker of a call, see `CallOf`; its file is as the caller passed it."""
    return lambda params, stream, _: _call(kind, {**params, "stream": True} if stream else params)


def _create(client: VLLM, kind: str, params: Mapping[str, object]) -> Any:
    def ask(client: VLLM, call: Call[object]) -> Any:
        call = replace(call, files=to_httpx_files(call.files))
        return client._ask_stream(call) if call.read_event else client._ask(call)

    if _SDK_METHODS[kind].is_watched(client):
        return _SDK_METHODS[kind].call(client, params, _making(kind), ask)
    return ask(client, _call(kind, params))


async def _async_create(client: AsyncVLLM, kind: str, params: Mapping[str, object]) -> Any:
    async def ask(client: AsyncVLLM, call: Call[object]) -> Any:
        call = replace(call, files=await async_to_httpx_files(call.files))
        return await (client._ask_stream(call) if call.read_event else client._ask(call))

    if _ASYNC_SDK_METHODS[kind].is_watched(client):
        return await _ASYNC_SDK_METHODS[kind].call(client, params, _making(kind), ask)
    return await ask(client, _call(kind, params))


@only("audio", "transcriptions", "translations")
class Audio(SDKAudio):
    """`audio.transcriptions` and `audio.translations`."""

    @cached_property
    def transcriptions(self) -> Transcriptions:
        """Speech to text."""
        return Transcriptions(self._client)

    @cached_property
    def translations(self) -> Translations:
        """Speech to English text."""
        return Translations(self._client)


@only("audio", "transcriptions", "translations")
class AsyncAudio(SDKAsyncAudio):
    """`audio.transcriptions` and `audio.translations`."""

    @cached_property
    def transcriptions(self) -> AsyncTranscriptions:
        """Speech to text."""
        return AsyncTranscriptions(self._client)

    @cached_property
    def translations(self) -> AsyncTranslations:
        """Speech to English text."""
        return AsyncTranslations(self._client)
