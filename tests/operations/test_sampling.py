"""Chat completions: how tokens are chosen, where they stop, and what is told about them."""

from __future__ import annotations

import pytest
from tests.operations.answers import MODEL, QUIET, ask, content, finish, question, reasoning, say, stream


class TestSampling:
    """How tokens are chosen, and where they stop."""

    async def test_several_answers(self, chat):
        reply = await ask(chat, "Say: hello", n=2, temperature=0.01)
        assert [choice.index for choice in reply.choices] == [0, 1]
        assert [choice.message.content for choice in reply.choices] == ["hello", "hello"]
        chunks = await stream(chat, "Say: hello", n=2, temperature=0.01)
        for index in (0, 1):
            assert reasoning(chunks, index) == "I say it."
            assert content(chunks, index) == "hello"
            assert finish(chunks, index) == ["stop"]

    async def test_seed(self, chat):
        params = {"temperature": 2.0, "max_tokens": 12, "ignore_eos": True, **QUIET}
        one = await say(chat, "Hello", seed=1, **params)
        assert one == await say(chat, "Hello", seed=1, **params)
        assert one != await say(chat, "Hello", seed=2, **params)

    async def test_top_k(self, chat):
        params = {"temperature": 2.0, "top_k": 1, **QUIET}
        assert await say(chat, "Say: hello world", **params) == "hello world"

    async def test_stop_string(self, chat):
        reply = await ask(chat, "Count to 9", stop=["7", "5"], **QUIET)
        (choice,) = reply.choices
        assert choice.message.content == "1 2 3 4 "
        assert (choice.finish_reason, choice.stop_reason) == ("stop", "5")
        chunks = await stream(chat, "Count to 9", stop=["7", "5"], **QUIET)
        assert (content(chunks), finish(chunks)) == ("1 2 3 4 ", ["stop"])
        assert chunks[-1].choices[0].stop_reason == "5"
        kept = await say(chat, "Count to 9", stop="5", include_stop_str_in_output=True, **QUIET)
        assert kept == "1 2 3 4 5"

    async def test_stop_token(self, chat):
        (token,) = (await chat("tokenize", model=MODEL, prompt="5", add_special_tokens=False)).tokens
        choice = (await ask(chat, "Count to 9", stop_token_ids=[token], **QUIET)).choices[0]
        assert (choice.finish_reason, choice.stop_reason) == ("stop", token)
        assert choice.message.content == "1 2 3 4 "

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    async def test_length(self, chat, name):
        params = {"max_tokens": None, name: 5, **QUIET}
        reply = await ask(chat, "Count to 9", **params)
        assert reply.choices[0].message.content == "1 2 3"
        assert reply.choices[0].finish_reason == "length"
        assert reply.usage.completion_tokens == 5
        chunks = await stream(chat, "Count to 9", **params)
        assert (content(chunks), finish(chunks)) == ("1 2 3", ["length"])

    async def test_length_within_reasoning(self, chat):
        choice = (await ask(chat, "Count to 9", max_tokens=2)).choices[0]
        assert (choice.message.content, choice.message.reasoning) == (None, "I")
        assert choice.finish_reason == "length"

    async def test_ignore_eos(self, chat):
        reply = await ask(chat, "Say: hello", ignore_eos=True, max_tokens=20, **QUIET)
        assert reply.usage.completion_tokens == 20
        assert reply.choices[0].message.content.startswith("hello")

    async def test_logit_bias(self, chat):
        (token,) = (await chat("tokenize", model=MODEL, prompt="hello", add_special_tokens=False)).tokens
        assert await say(chat, "Count to 9", logit_bias={token: 100}, max_tokens=3, **QUIET) == "hello" * 3

    async def test_allowed_tokens(self, chat):
        tokens = (await chat("tokenize", model=MODEL, prompt="no", add_special_tokens=False)).tokens
        said = await say(chat, "Say: hello", allowed_token_ids=tokens, max_tokens=4, **QUIET)
        assert set(said) <= set("no")

    async def test_bad_words(self, chat):
        assert "hello" not in await say(chat, "Say: hello", bad_words=["hello"], **QUIET)


class TestTokensOfAnAnswer:
    """What is told about the tokens."""

    async def test_logprobs(self, chat):
        params = {"logprobs": True, "top_logprobs": 2, **QUIET}
        tokens = (await ask(chat, "Say: hello world", **params)).choices[0].logprobs.content
        assert "".join(token.token for token in tokens) == "hello world<|im_end|>"
        for token in tokens:
            assert bytes(token.bytes).decode() == token.token
            assert token.logprob == token.top_logprobs[0].logprob <= 0
            assert len(token.top_logprobs) == 2
        chunks = await stream(chat, "Say: hello world", **params)
        streamed = [
            token
            for chunk in chunks
            for choice in chunk.choices
            if choice.logprobs
            for token in choice.logprobs.content
        ]
        assert [token.token for token in streamed] == [token.token for token in tokens]
        assert [token.logprob for token in streamed] == pytest.approx(
            [token.logprob for token in tokens], rel=1e-3, abs=1e-5
        )

    async def test_tokens_as_ids(self, chat):
        params = {"logprobs": True, "return_tokens_as_token_ids": True, "return_token_ids": True, **QUIET}
        choice = (await ask(chat, "Say: hello", **params)).choices[0]
        assert [token.token for token in choice.logprobs.content] == [
            f"token_id:{token}" for token in choice.token_ids
        ]

    async def test_prompt_logprobs(self, chat):
        reply = await ask(chat, "Say: hello", prompt_logprobs=1, return_token_ids=True, **QUIET)
        assert reply.prompt_logprobs[0] is None
        assert len(reply.prompt_logprobs) == len(reply.prompt_token_ids) == reply.usage.prompt_tokens
        for token, known in zip(reply.prompt_token_ids[1:], reply.prompt_logprobs[1:], strict=True):
            assert known[str(token)]["logprob"] <= 0
            assert min(one["rank"] for one in known.values()) == 1

    async def test_token_ids(self, chat):
        reply = await ask(chat, "Say: hello world", return_token_ids=True)
        tokens = reply.choices[0].token_ids
        assert len(tokens) == reply.usage.completion_tokens
        text = (await chat("detokenize", model=MODEL, tokens=tokens)).prompt
        assert text == "<think>I say it.</think>hello world<|im_end|>"
        prompt = (await chat("detokenize", model=MODEL, tokens=reply.prompt_token_ids)).prompt
        assert prompt == "<|im_start|>user\nSay: hello world<|im_end|>\n<|im_start|>assistant\n"

        chunks = await stream(chat, "Say: hello world", return_token_ids=True)
        assert chunks[0].prompt_token_ids == reply.prompt_token_ids
        choices = [choice for chunk in chunks for choice in chunk.choices]
        assert [token for choice in choices for token in choice.token_ids or ()] == tokens

    async def test_prompt_text(self, chat):
        reply = await ask(chat, "Say: hello", return_prompt_text=True)
        assert reply.prompt_text == "<|im_start|>user\nSay: hello<|im_end|>\n<|im_start|>assistant\n"
        (first, *_) = await chat.stream(
            "chat.completions.create", **question("Say: hello", return_prompt_text=True)
        )
        assert first.prompt_text == reply.prompt_text

    async def test_continued_message(self, chat):
        begun = [{"role": "user", "content": "Count to 5"}, {"role": "assistant", "content": "1 2"}]
        said = await say(chat, begun, continue_final_message=True, add_generation_prompt=False, **QUIET)
        assert said.startswith(" 3 4 5")
