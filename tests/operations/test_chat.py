"""Chat completions: what is said, plain and streamed, and what goes wrong."""

from __future__ import annotations

import openai
import pytest
from tests.media import png_url
from tests.operations.answers import (
    MODEL,
    QUIET,
    ask,
    content,
    finish,
    question,
    reasoning,
    say,
    stream,
    user,
)
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import BadRequestError, ContextLengthError, NotFoundError

MANY_LINES = 'one two three\nfour: {"a": 1}'


class TestChat:
    """What is said."""

    @covers("chat.completions.create", PLAIN)
    async def test_plain(self, chat):
        reply = await ask(chat, "Say: hello world")
        (choice,) = reply.choices
        message = choice.message
        assert (message.role, message.content, message.reasoning) == ("assistant", "hello world", "I say it.")
        assert (message.model_extra["reasoning"], hasattr(message, "reasoning_content")) == (
            "I say it.",
            False,
        )
        assert (message.tool_calls, message.refusal) == (None, None)
        assert (choice.index, choice.finish_reason, choice.stop_reason) == (0, "stop", None)
        assert reply.id.startswith("chatcmpl-")
        assert (reply.object, reply.model) == ("chat.completion", MODEL)
        assert reply.system_fingerprint.startswith("vllm-")
        usage = reply.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (17, 15, 32)
        assert usage.completion_tokens_details.reasoning_tokens == 6
        assert usage.prompt_tokens_details.cached_tokens >= 0

    @covers("chat.completions.create", PLAIN)
    async def test_what_was_not_asked_for_is_absent(self, chat):
        reply = await ask(chat, "Say: hello")
        assert reply.kv_transfer_params is None
        assert reply.ec_transfer_params is None
        assert reply.prompt_logprobs is None
        assert reply.prompt_token_ids is None
        assert reply.prompt_text is None
        assert reply.metrics is None
        assert reply.choices[0].token_ids is None
        assert reply.choices[0].logprobs is None

    @covers("chat.completions.create", STREAM)
    async def test_stream(self, chat):
        chunks = await stream(chat, "Say: hello world")
        assert reasoning(chunks) == "I say it."
        assert content(chunks) == "hello world"
        assert finish(chunks) == ["stop"]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk.id for chunk in chunks}) == 1
        assert all(chunk.usage is None for chunk in chunks)
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        assert not any(delta.reasoning and delta.content for delta in deltas)
        last_thought = max(i for i, delta in enumerate(deltas) if delta.reasoning)
        assert last_thought < min(i for i, delta in enumerate(deltas) if delta.content)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(MANY_LINES, id="lines"),
            pytest.param("Grüße, 世界 🎉", id="unicode"),
            pytest.param("The data: [DONE] is not the end.", id="done"),
        ],
    )
    async def test_stream_equals_plain(self, chat, text):
        plain = await say(chat, f"Say: {text}")
        assert plain == text
        assert content(await stream(chat, f"Say: {text}")) == text

    async def test_usage_of_a_stream(self, chat):
        plain = await ask(chat, "Say: hello world")
        chunks = await stream(chat, "Say: hello world", stream_options={"include_usage": True})
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens == 15
        assert chunks[-1].usage.prompt_tokens == plain.usage.prompt_tokens == 17
        assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 6
        assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)

    async def test_continuous_usage(self, chat):
        options = {"include_usage": True, "continuous_usage_stats": True}
        chunks = await stream(chat, "Say: hello world", stream_options=options)
        counts = [chunk.usage.completion_tokens for chunk in chunks]
        assert counts[0] == 0
        assert counts == sorted(counts)
        assert counts[-1] == 15
        assert {chunk.usage.prompt_tokens for chunk in chunks} == {17}

    async def test_reasoning_of_ones_own(self, chat):
        asked = "Think: The user greets me.\nSay: Good morning!"
        message = (await ask(chat, asked)).choices[0].message
        assert (message.reasoning, message.content) == ("The user greets me.", "Good morning!")
        chunks = await stream(chat, asked)
        assert (reasoning(chunks), content(chunks)) == ("The user greets me.", "Good morning!")

    @pytest.mark.parametrize(
        "params",
        [
            pytest.param(QUIET, id="template"),
            pytest.param({"reasoning_effort": "none"}, id="effort"),
            pytest.param({"include_reasoning": False}, id="hidden"),
        ],
    )
    async def test_without_reasoning(self, chat, params):
        message = (await ask(chat, "Say: hello world", **params)).choices[0].message
        assert (message.reasoning, message.content) == (None, "hello world")
        chunks = await stream(chat, "Say: hello world", **params)
        assert (reasoning(chunks), content(chunks)) == ("", "hello world")

    async def test_a_conversation(self, chat):
        history = [
            {"role": "system", "content": "You are a helpful assistant."},
            user("My name is Alice."),
            {"role": "assistant", "content": "Hello Alice"},
            user("What is my name?"),
        ]
        assert await say(chat, history) == "Your name is Alice."

    async def test_text_as_content_parts(self, chat):
        parts = {"role": "user", "content": [{"type": "text", "text": "Say: hello world"}]}
        assert await say(chat, [parts]) == "hello world"

    async def test_model_with_provider_prefix(self, chat):
        reply = await ask(chat, "Say: hello", model=f"vllm/{MODEL}")
        assert (reply.model, reply.choices[0].message.content) == (MODEL, "hello")

    async def test_own_request_id(self, chat):
        reply = await ask(chat, "Say: hello", extra_headers={"X-Request-Id": "from-header"})
        assert reply.id == "chatcmpl-from-header"
        reply = await ask(chat, "Say: hello", request_id="from-body")
        assert reply.id == "chatcmpl-from-body"
        chunks = await stream(chat, "Say: hello", extra_headers={"X-Request-Id": "streamed"})
        assert {chunk.id for chunk in chunks} == {"chatcmpl-streamed"}

    @pytest.mark.parametrize("color", ["red", "blue"])
    async def test_image(self, vision, color):
        url = png_url({"red": (255, 0, 0), "blue": (0, 0, 255)}[color])
        parts = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "What color is the image?"},
        ]
        asked = [{"role": "user", "content": parts}]
        assert await say(vision, asked, model="tiny-vision") == f"The image is {color}."
        chunks = await stream(vision, asked, model="tiny-vision")
        assert content(chunks) == f"The image is {color}."


class TestChatErrors:
    """What goes wrong."""

    async def test_context_length(self, chat, chat_url):
        with pytest.raises(ContextLengthError, match="maximum context length is 2048 tokens") as raised:
            await ask(chat, "Say: " + "word " * 3000)
        error = raised.value
        assert isinstance(error, openai.BadRequestError)
        assert (error.status_code, error.http_status) == (400, 400)
        assert (error.type, error.param) == ("BadRequestError", "input_tokens")
        assert error.operation == "chat.completions.create"
        assert (error.key_name, error.server_url) == ("default", chat_url)

    async def test_context_length_of_a_stream(self, chat):
        with pytest.raises(ContextLengthError):
            await stream(chat, "Say: " + "word " * 3000)
        assert chat.seen == []

    async def test_too_much_output(self, chat):
        with pytest.raises(BadRequestError, match="max_tokens") as raised:
            await ask(chat, "Say: hello", max_tokens=5000)
        assert not isinstance(raised.value, ContextLengthError)  # the prompt is short

    async def test_truncated_instead(self, chat):
        reply = await ask(chat, "word " * 3000 + "Say: hello", truncate_prompt_tokens=20, **QUIET)
        assert reply.usage.prompt_tokens == 20

    @pytest.mark.parametrize("form", [PLAIN, STREAM])
    async def test_unknown_model(self, chat, form):
        with pytest.raises(NotFoundError, match="The model `nobody` does not exist") as raised:
            await (ask if form == PLAIN else stream)(chat, "Hello", model="nobody")
        assert raised.value.param == "model"

    async def test_error_inside_a_stream(self, chat):
        wrong = question("Say: hello", logit_bias={"99999999": 1})
        with pytest.raises(BadRequestError, match="99999999") as plain:
            await chat("chat.completions.create", **wrong)
        assert plain.value.http_status == 400
        with pytest.raises(BadRequestError, match="99999999") as streamed:
            await chat.stream("chat.completions.create", **wrong)
        assert (streamed.value.status_code, streamed.value.http_status) == (400, 200)
        assert streamed.value.body == plain.value.body
        assert chat.seen == []

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            pytest.param({"temperature": -1}, "temperature", id="temperature"),
            pytest.param({"stream_options": {"include_usage": True}}, "stream", id="options"),
            pytest.param({"n": 2}, "n must be 1", id="greedy"),
        ],
    )
    async def test_bad_request(self, chat, params, message):
        with pytest.raises(BadRequestError, match=message):
            await ask(chat, "Hello", **params)

    async def test_unknown_route(self, chat):
        with pytest.raises(NotFoundError, match="Not Found"):
            await chat("embeddings.create", model=MODEL, input="hello", encoding_format="float")
