"""Speech to text, plain and streamed."""

from __future__ import annotations

import io

import pytest
from openai.types.audio import Transcription, TranscriptionVerbose, Translation
from tests.both import opened, settled
from tests.media import tone
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import BadRequestError, NotFoundError

MODEL = "tiny-whisper"
LOW, HIGH = " This is a low tone.", " This is a high tone."

both = pytest.mark.parametrize("kind_of_text", ["transcriptions", "translations"])


async def hear(client, file, kind_of_text="transcriptions", **params):
    return await client(f"audio.{kind_of_text}.create", model=MODEL, file=file, **params)


async def stream(client, file, kind_of_text="transcriptions", **params):
    return await client.stream(f"audio.{kind_of_text}.create", model=MODEL, file=file, **params)


def text(events):
    return "".join(event.delta for event in events if event.type == "transcript.text.delta")


class TestTranscriptions:
    """In the language that is spoken."""

    @covers("audio.transcriptions.create", PLAIN)
    async def test_json(self, whisper):
        heard = await hear(whisper, tone(300))
        assert isinstance(heard, Transcription)
        assert heard.text == LOW
        assert (heard.usage.type, heard.usage.seconds) == ("duration", 2)
        assert (await hear(whisper, tone(1500))).text == HIGH
        assert (await hear(whisper, tone(0))).text == " This is silence."

    @covers("audio.transcriptions.create", STREAM)
    async def test_stream(self, whisper):
        events = await stream(whisper, tone(300))
        assert [event.type for event in events[:-1]] == ["transcript.text.delta"] * (len(events) - 1)
        assert len(events) > 3
        assert text(events) == events[-1].text == LOW
        assert (events[-1].type, events[-1].usage) == ("transcript.text.done", None)

    async def test_usage_of_a_stream(self, whisper):
        events = await stream(whisper, tone(300), stream_include_usage=True)
        usage = events[-1].usage
        assert usage.type == "tokens"
        assert usage.input_tokens + usage.output_tokens == usage.total_tokens
        assert usage.output_tokens == 10

    async def test_more_than_one_piece(self, whisper):
        """vLLM cuts at 30 seconds and finishes each piece; OpenAI's clients stop at the first."""
        clip = tone(300, seconds=40)
        heard = await hear(whisper, clip)
        assert heard.text.split() == (LOW + LOW).split()
        assert heard.usage.seconds == 40
        events = await stream(whisper, clip, stream_include_usage=True)
        assert text(events) == events[-1].text == heard.text
        assert events[-1].usage.output_tokens == 20

    async def test_text(self, whisper):
        assert await hear(whisper, tone(300), response_format="text") == LOW

    async def test_verbose(self, whisper):
        heard = await hear(whisper, tone(300), response_format="verbose_json")
        assert isinstance(heard, TranscriptionVerbose)
        assert (heard.text, float(heard.duration), heard.language) == (LOW, 1.5, "en")
        (segment,) = heard.segments
        assert segment.text == LOW
        assert segment.avg_logprob < 0
        assert segment.tokens

    @pytest.mark.parametrize("form", ["bytes", "path", "file", "buffer", "tuple", "typed"])
    async def test_file(self, whisper, form, tmp_path):
        clip = tone(300)
        path = tmp_path / "clip.wav"
        path.write_bytes(clip)
        with path.open("rb") as opened_file:
            file = {
                "bytes": clip,
                "path": path,
                "file": opened_file,
                "buffer": io.BytesIO(clip),
                "tuple": ("clip.wav", clip),
                "typed": ("clip.wav", clip, "audio/wav"),
            }[form]
            assert (await hear(whisper, file)).text == LOW

    async def test_parameters(self, whisper):
        params = {"language": "en", "temperature": 0.0, "prompt": "A tone.", "seed": 1, "top_k": 1}
        assert "tone" in (await hear(whisper, tone(300), **params)).text
        assert (await hear(whisper, tone(300), max_completion_tokens=3)).text == LOW[:8]

    async def test_raw_response(self, whisper):
        raw = await whisper("audio.transcriptions.with_raw_response.create", model=MODEL, file=tone(300))
        assert (await settled(raw.parse())).text == LOW

    async def test_streaming_response(self, whisper):
        create = whisper.client.audio.transcriptions.with_streaming_response.create
        async with opened(create(model=MODEL, file=tone(300))) as response:
            assert (await settled(response.parse())).text == LOW


class TestTranslations:
    """In English."""

    @covers("audio.translations.create", PLAIN)
    async def test_json(self, whisper):
        heard = await hear(whisper, tone(1500), "translations")
        assert isinstance(heard, Translation)
        assert heard.text == HIGH

    @covers("audio.translations.create", STREAM)
    async def test_stream(self, whisper):
        events = await stream(whisper, tone(1500), "translations")
        assert text(events) == events[-1].text == HIGH

    @pytest.mark.parametrize("form", ["text", "verbose_json"])
    async def test_formats(self, whisper, form):
        heard = await hear(whisper, tone(1500), "translations", response_format=form)
        assert (heard if form == "text" else heard.text) == HIGH


class TestAudioErrors:
    """What goes wrong, in either."""

    @both
    async def test_no_audio(self, whisper, kind_of_text):
        with pytest.raises(BadRequestError, match="audio"):
            await hear(whisper, b"this is no audio", kind_of_text)
        with pytest.raises(BadRequestError, match="audio"):
            await stream(whisper, b"this is no audio", kind_of_text)

    @both
    async def test_unknown_model(self, whisper, kind_of_text):
        with pytest.raises(NotFoundError, match="nobody"):
            await whisper(f"audio.{kind_of_text}.create", model="nobody", file=tone(300))

    async def test_subtitles(self, whisper):
        with pytest.raises(BadRequestError, match="response_format"):
            await hear(whisper, tone(300), response_format="srt")

    async def test_verbose_stream(self, whisper):
        with pytest.raises(BadRequestError):
            await stream(whisper, tone(300), response_format="verbose_json")
