"""Blocks out: pure functions, and what a server makes of them."""

from __future__ import annotations

import base64

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index.llms.vllm_connect.messages import wire_message, wire_messages

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def user(*blocks):
    return wire_message(ChatMessage(role="user", blocks=list(blocks)))


def test_text_stays_text():
    assert user(TextBlock(text="a"), TextBlock(text="b")) == {"role": "user", "content": "a\nb"}
    assert wire_message(ChatMessage(role="user")) == {"role": "user", "content": ""}


@pytest.mark.parametrize(
    ("role", "wire"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "developer"),
        (MessageRole.USER, "user"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.FUNCTION, "tool"),
        (MessageRole.TOOL, "tool"),
    ],
)
def test_roles(role, wire):
    assert wire_message(ChatMessage(role=role, content="x"))["role"] == wire


def test_images(tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    for block in (ImageBlock(image=PNG), ImageBlock(path=path), ImageBlock(url=PNG_URL)):
        assert user(block)["content"] == [{"type": "image_url", "image_url": {"url": PNG_URL}}]
    assert user(TextBlock(text="see"), ImageBlock(url="http://x.org/a.png", detail="low"))["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "http://x.org/a.png", "detail": "low"}},
    ]


def test_audio_and_video():
    sound = base64.b64encode(b"RIFF\x00\x01").decode()
    assert user(AudioBlock(audio=b"RIFF\x00\x01", format="wav"))["content"] == [
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    ]
    assert user(AudioBlock(url="http://x.org/a.mp3"))["content"] == [
        {"type": "audio_url", "audio_url": {"url": "http://x.org/a.mp3"}}
    ]
    assert user(VideoBlock(url="http://x.org/a.mp4"))["content"] == [
        {"type": "video_url", "video_url": {"url": "http://x.org/a.mp4"}}
    ]
    film = "data:video/mp4;base64," + base64.b64encode(b"film\xff").decode()
    assert user(VideoBlock(video=b"film\xff", video_mimetype="video/mp4"))["content"] == [
        {"type": "video_url", "video_url": {"url": film}}
    ]


def test_documents(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("# Größe")
    assert user(DocumentBlock(path=path, document_mimetype="text/markdown"))["content"] == "# Größe"
    assert (
        user(DocumentBlock(data=b'{"a": 1}', document_mimetype="application/json"))["content"] == '{"a": 1}'
    )
    titled = DocumentBlock(data=b"Pay.", title="Terms", document_mimetype="text/plain")
    assert user(titled)["content"] == "Terms\n\nPay."
    with pytest.raises(ValueError, match=r"application/pdf.*no text"):
        user(DocumentBlock(data=b"%PDF-1.7 \xff", document_mimetype="application/pdf"))
    with pytest.raises(ValueError, match="only a URL"):
        user(DocumentBlock(url="http://x.org/a.txt", title="a"))


def test_blocks_that_other_models_have():
    assert (
        user(
            CitableBlock(title="T", source="s", content="cited"),
            CachePoint(cache_control=CacheControl(type="ephemeral")),
            CitationBlock(cited_content="said", source="s", title="T", additional_location_info={}),
        )["content"]
        == "T\ncited\nsaid"
    )


def test_an_assistants_thoughts_and_calls():
    message = ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="hm"),
            TextBlock(text="so"),
            ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs='{"a": 1}'),
            ToolCallBlock(tool_call_id="2", tool_name="g", tool_kwargs={"b": "ö"}),
        ],
        additional_kwargs={"tool_calls": ["the same again"], "tool_call_id": "none of its business"},
    )
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"b": "ö"}'}},
    ]
    wire = {"role": "assistant", "content": "so", "tool_calls": calls}
    assert wire_message(message) == {**wire, "reasoning": "hm"}
    assert wire_message(message, "reasoning_content") == {**wire, "reasoning_content": "hm"}
    assert wire_message(message, None) == wire


def test_calls_of_old():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    assert wire_message(message) == {"role": "assistant", "tool_calls": [call]}


def test_an_image_in_a_tools_result():
    message = ChatMessage(
        role="tool",
        blocks=[TextBlock(text="look"), ImageBlock(image=PNG)],
        additional_kwargs={"tool_call_id": "1", "name": "camera"},
    )
    assert wire_message(message) == {
        "role": "tool",
        "tool_call_id": "1",
        "name": "camera",
        "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG_URL}}],
    }


def test_the_conversation_is_not_changed():
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="x"), ImageBlock(image=PNG)])]
    before = [message.model_dump_json() for message in messages]
    assert wire_messages(messages) == wire_messages(messages)
    assert [message.model_dump_json() for message in messages] == before


async def test_media_reach_the_server(llm, ask):
    message = ChatMessage(
        role="user",
        blocks=[
            ImageBlock(image=PNG),
            AudioBlock(audio=b"RIFF", format="wav"),
            VideoBlock(url="http://x.org/a.mp4"),
        ],
    )
    response = await ask(llm, "chat", [message])
    assert response.message.content == "This simulator got 3 pictures or sounds and does not look at them."
