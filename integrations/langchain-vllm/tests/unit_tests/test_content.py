"""Content parts, from every form that LangChain has had."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from langchain_vllm.content import content_of, part_of, text_of

URL = "http://x/a.png"
DATA = "data:image/png;base64,QUJD"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("hello", {"type": "text", "text": "hello"}),
        ({"type": "text", "text": "hello", "cache_control": {}}, {"type": "text", "text": "hello"}),
        ({"type": "image", "url": URL}, {"type": "image_url", "image_url": {"url": URL}}),
        (
            {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": DATA}},
        ),
        (
            {"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": DATA}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "data": "QUJD", "media_type": "image/png"}},
            {"type": "image_url", "image_url": {"url": DATA}},
        ),
        (
            {"type": "file", "base64": "QUJD", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": DATA}},
        ),
        (
            {"type": "image", "url": URL, "extras": {"uuid": "u1", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": URL, "detail": "low"}, "uuid": "u1"},
        ),
        (
            {"type": "audio", "base64": "QUJD", "mime_type": "audio/x-wav"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        ),
        ({"type": "audio", "url": URL}, {"type": "audio_url", "audio_url": {"url": URL}}),
        ({"type": "video", "url": URL}, {"type": "video_url", "video_url": {"url": URL}}),
        (
            {"type": "video", "base64": "QUJD", "mime_type": "video/mp4"},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}},
        ),
        (
            {"type": "image_embeds", "image_embeds": "QUJD"},
            {"type": "image_embeds", "image_embeds": "QUJD"},
        ),
        ({"type": "tool_use", "id": "1"}, None),
        (
            {"type": "image", "base64": b"ABC", "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": DATA}},
        ),
    ],
)
def test_part(block, part):
    assert part_of(block) == part


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "file", "base64": "QUJD", "mime_type": "application/pdf"}, "vLLM takes no PDF documents"),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
            "vLLM takes no PDF documents",
        ),
        ({"type": "file", "file_id": "f1"}, "vLLM takes no files"),
        ({"type": "image", "base64": "QUJD"}, "needs a 'mime_type'"),
        ({"type": "image", "file_id": "f1"}, "needs a 'url', 'base64' or 'path'"),
        ({"type": "image", "path": "/etc/hostname"}, "is a pathlib.Path"),
        ({"text": "hello"}, "without a type"),
    ],
)
def test_what_vllm_cannot_take_is_refused(block, words):
    with pytest.raises(ValueError, match=words):
        part_of(block)


def test_files(tmp_path):
    image, sound = tmp_path / "a.png", tmp_path / "a.wav"
    image.write_bytes(b"ABC")
    sound.write_bytes(b"ABC")
    assert part_of({"type": "image", "path": image, "uuid": "u1"}) == {
        "type": "image_url",
        "image_url": {"url": DATA},
        "uuid": "u1",
    }
    assert part_of({"type": "audio", "path": sound})["input_audio"] == {"data": "QUJD", "format": "wav"}


def test_pil_images():
    image = Image.new("RGB", (2, 2), (255, 0, 0))
    part = part_of({"type": "image_pil", "image_pil": image, "uuid": "u1"})
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert part["uuid"] == "u1"
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((1, 1)) == (255, 0, 0)


def test_text_of_an_assistant_is_put_together_again():
    assert (
        text_of([{"type": "text", "text": "Hel"}, {"type": "reasoning", "reasoning": "?"}, "lo"]) == "Hello"
    )
    assert content_of([{"type": "text", "text": "a"}, "b"]) == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text-plain", "text": "hello", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": "aGVsbG8=", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": b"hello"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        {"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": "aGVsbG8="}},
        {"type": "file", "source_type": "text", "text": "hello", "mime_type": "text/plain"},
        {"type": "file", "base64": "aGVsbG8=", "mime_type": "text/plain"},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}},
    ],
)
def test_files_of_text(block):
    assert part_of(block) == {"type": "text", "text": "hello"}


@pytest.mark.parametrize("where", [{"url": "http://a/b.txt"}, {"file_id": "f1"}])
@pytest.mark.parametrize("kind", ["text-plain", "file"])
def test_text_that_is_elsewhere(kind, where):
    with pytest.raises(ValueError, match="put it into a text block"):
        part_of({"type": kind, "mime_type": "text/plain", **where})
