"""What few servers are asked: tokens in and out, batches, LoRA adapters, an operator's routes."""

from __future__ import annotations

import pytest
from tests.operations.answers import user
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import NotFoundError, PermissionDeniedError

MODEL = "tiny-open"
HELLO = [user("Say: hello")]
ASKED = {"model": MODEL, "messages": HELLO, "temperature": 0, "max_tokens": 60}


class TestGenerate:
    """Tokens in, tokens out: what comes of it is what chat answers."""

    @covers("chat.completions.render")
    @covers("generate.create", PLAIN)
    @covers("chat.completions.derender")
    async def test_three_steps_are_one_chat(self, open):
        answer = await open("chat.completions.create", return_token_ids=True, **ASKED)
        rendered = await open("chat.completions.render", **ASKED)
        assert rendered.token_ids == answer.prompt_token_ids
        generated = await open("generate.create", request=rendered)
        assert generated.choices[0].token_ids == answer.choices[0].token_ids
        assert generated.choices[0].finish_reason == "stop"
        derendered = await open(
            "chat.completions.derender",
            generate_response=generated,
            model=MODEL,
            prompt_token_ids=rendered.token_ids,
            prompt_tokens=len(rendered.token_ids),
            chat_request={"model": MODEL, "messages": HELLO},
        )
        assert derendered.choices[0].message == answer.choices[0].message
        assert derendered.usage.total_tokens == answer.usage.total_tokens

    @covers("generate.create", STREAM)
    @covers("chat.completions.derender_chunk")
    async def test_the_same_streamed(self, open):
        answer = await open("chat.completions.create", return_token_ids=True, **ASKED)
        rendered = await open("chat.completions.render", **ASKED)
        chunks = await open.stream("generate.create", request=rendered)
        assert [id for chunk in chunks for id in chunk.choices[0].token_ids] == answer.choices[0].token_ids
        state, reasoning = None, ""
        for chunk in chunks:
            derendered = await open(
                "chat.completions.derender_chunk",
                generate_chunk=chunk,
                stream_state=state,
                model=MODEL,
                prompt_token_ids=rendered.token_ids,
                chat_request={"model": MODEL, "messages": HELLO},
            )
            state = derendered.stream_state
            reasoning += "".join(choice.delta.reasoning for choice in derendered.chunk.choices)
        assert reasoning == answer.choices[0].message.reasoning

    async def test_text(self, open):
        rendered = await open("chat.completions.render", **ASKED)
        generated = await open("generate.create", request=rendered, output_mode="text")
        assert generated.choices[0].text.endswith("hello")

    async def test_tokens_alone(self, open):
        tokens = (await open("tokenize", model=MODEL, messages=HELLO)).tokens
        params = {"max_tokens": 3, "temperature": 0}
        generated = await open("generate.create", model=MODEL, token_ids=tokens, sampling_params=params)
        assert len(generated.choices[0].token_ids) == 3
        assert generated.choices[0].finish_reason == "length"

    @covers("completions.render")
    @covers("completions.derender")
    async def test_texts(self, open):
        params = {"model": MODEL, "prompt": ["Say", "hello"], "max_tokens": 4, "temperature": 0}
        completion = await open("completions.create", **params)
        rendered = await open("completions.render", **params)
        generated = [await open("generate.create", request=request) for request in rendered]
        derendered = await open("completions.derender", generate_responses=generated, model=MODEL)
        texts = [choice.text for choice in completion.choices]
        assert [choice.text for choice in derendered.choices] == texts

    @covers("completions.derender_chunk")
    async def test_chunks_of_text(self, open):
        params = {"model": MODEL, "prompt": "Say", "max_tokens": 4, "temperature": 0}
        (rendered,) = await open("completions.render", **params)
        state, text = None, ""
        for chunk in await open.stream("generate.create", request=rendered):
            derendered = await open(
                "completions.derender_chunk", generate_chunk=chunk, stream_state=state, model=MODEL
            )
            state = derendered.stream_state
            text += "".join(choice.text for choice in derendered.chunk.choices)
        completion = await open("completions.create", **params)
        assert text == completion.choices[0].text

    @covers("messages.render")
    @covers("responses.render")
    async def test_other_conversations(self, open):
        tokens = (await open("tokenize", model=MODEL, messages=HELLO)).tokens
        rendered = await open("messages.render", model=MODEL, messages=HELLO, max_tokens=5)
        assert rendered.token_ids == tokens
        rendered = await open("responses.render", model=MODEL, input="Say: hello")
        assert rendered.token_ids == tokens

    @covers("generate.abort")
    async def test_abort(self, open):
        assert await open("generate.abort", request_ids=["nobody's"]) is None

    async def test_a_server_that_was_not_told_to(self, chat):
        with pytest.raises(PermissionDeniedError, match="--enable-scale-out"):
            await chat("chat.completions.render", model="tiny-chat", messages=HELLO)


class TestBatch:
    """Several conversations in one request."""

    @covers("chat.completions.batch")
    async def test_answers_in_order(self, open):
        conversations = [[user(f"Say: {word}")] for word in ("hello", "goodbye", "hello")]
        answer = await open(
            "chat.completions.batch", model=MODEL, messages=conversations, max_tokens=60, temperature=0
        )
        contents = [choice.message.content for choice in answer.choices]
        assert contents == ["hello", "goodbye", "hello"]
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert answer.choices[0].message.reasoning

    async def test_what_cannot_be_a_batch(self, open):
        for messages in (HELLO, [], [[]], ["Say: hello"]):
            with pytest.raises(TypeError, match="conversations"):
                await open("chat.completions.batch", model=MODEL, messages=messages)
        with pytest.raises(TypeError, match="tools"):
            await open("chat.completions.batch", model=MODEL, messages=[HELLO], tools=[])


class TestGenerativeScoring:
    """How likely some tokens are next."""

    @covers("generative_scoring.create")
    async def test_scores(self, open):
        labels = [(await open("tokenize", model=MODEL, prompt=word)).tokens[0] for word in ("yes", "no")]
        params = {"model": MODEL, "query": "Is it red? ", "items": ["a", "b", "c"], "label_token_ids": labels}
        scored = await open("generative_scoring.create", **params)
        assert [score.index for score in scored.data] == [0, 1, 2]
        assert all(0 < score.score < 1 for score in scored.data)
        other = await open("generative_scoring.create", **{**params, "label_token_ids": labels[::-1]})
        for one, reverse in zip(scored.data, other.data, strict=True):
            assert one.score + reverse.score == pytest.approx(1, abs=1e-5)


class TestOperator:
    """What an operator asks of a server."""

    @covers("server.sleep")
    @covers("server.wake_up")
    @covers("server.is_sleeping")
    async def test_sleep(self, open):
        assert await open("server.is_sleeping") is False
        assert await open("server.sleep", level=1, mode="wait") is None
        assert await open("server.is_sleeping") is True
        assert await open("server.wake_up") is True
        assert await open("server.is_sleeping") is False

    @covers("server.wake_up")
    async def test_it_wakes_a_part_at_a_time(self, open):
        await open("server.sleep", level=1)
        assert await open("server.wake_up", tags=["weights"]) is False
        assert await open("server.is_sleeping") is True
        assert await open("server.wake_up", tags=["kv_cache"]) is True
        assert await open("server.is_sleeping") is False

    @covers("server.pause")
    @covers("server.resume")
    @covers("server.is_paused")
    async def test_pause(self, open):
        assert await open("server.pause", mode="keep") is None
        assert await open("server.is_paused") is True
        assert await open("server.resume") is None
        assert await open("server.is_paused") is False

    @covers("server.reset_prefix_cache")
    async def test_reset_prefix_cache(self, open):
        assert await open("server.reset_prefix_cache", reset_running_requests=False) is True

    async def test_routes_that_are_not_there(self, chat):
        with pytest.raises(NotFoundError, match="VLLM_SERVER_DEV_MODE=1"):
            await chat("server.sleep")

    @covers("lora.load")
    @covers("lora.unload")
    async def test_adapters_that_are_not_there(self, open):
        with pytest.raises(NotFoundError, match="nobody"):
            await open("lora.load", lora_name="nobody", lora_path="/models/nobody")
        with pytest.raises(NotFoundError, match="nobody"):
            await open("lora.unload", lora_name="nobody")
        with pytest.raises(TypeError, match="lora_path"):
            await open("lora.load", lora_name="nobody")
