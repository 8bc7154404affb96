"""Text completions."""

from __future__ import annotations

import openai.types
import pytest
from tests.operations.answers import MODEL
from tests.operations.catalogue import PLAIN, STREAM, covers

from vllm_connect import BadRequestError, ContextLengthError, NotFoundError

PROMPT = "<|im_start|>user\nSay: {}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
HELLO, GOODBYE = PROMPT.format("hello"), PROMPT.format("goodbye")


async def complete(client, prompt, **params):
    params = {"model": MODEL, "prompt": prompt, "temperature": 0, **params}
    return await client("completions.create", **params)


async def stream(client, prompt, **params):
    params = {"model": MODEL, "prompt": prompt, "temperature": 0, **params}
    return await client.stream("completions.create", **params)


async def tokens_of(client, prompt):
    return (await client("tokenize", model=MODEL, prompt=prompt, add_special_tokens=False)).tokens


def text(chunks, index=0):
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == index)


class TestCompletions:
    """Continuations of a text."""

    @covers("completions.create", PLAIN)
    async def test_text(self, chat):
        completion = await complete(chat, HELLO)
        assert isinstance(completion, openai.types.Completion)
        (choice,) = completion.choices
        assert (choice.text, choice.index, choice.finish_reason) == ("hello", 0, "stop")
        assert (choice.stop_reason, choice.logprobs, choice.token_ids) == (None, None, None)
        assert (completion.object, completion.model) == ("text_completion", MODEL)
        assert completion.id.startswith("cmpl-")
        usage = completion.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (18, 2, 20)

    @covers("completions.create", STREAM)
    async def test_stream(self, chat):
        chunks = await stream(chat, GOODBYE)
        assert text(chunks) == "goodbye"
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
        assert all(chunk.usage is None for chunk in chunks)

    async def test_usage_of_a_stream(self, chat):
        chunks = await stream(chat, HELLO, stream_options={"include_usage": True})
        assert chunks[-1].choices == []
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (18, 2)

    async def test_several_prompts(self, chat):
        completion = await complete(chat, [HELLO, GOODBYE])
        assert [(choice.index, choice.text) for choice in completion.choices] == [
            (0, "hello"),
            (1, "goodbye"),
        ]
        chunks = await stream(chat, [HELLO, GOODBYE])
        assert [text(chunks, 0), text(chunks, 1)] == ["hello", "goodbye"]

    async def test_token_ids(self, chat):
        tokens = await tokens_of(chat, HELLO)
        (choice,) = (await complete(chat, tokens, return_token_ids=True)).choices
        assert choice.text == "hello"
        assert choice.prompt_token_ids == tokens
        assert choice.token_ids == await tokens_of(chat, "hello<|im_end|>")
        both = await complete(chat, [tokens, await tokens_of(chat, GOODBYE)])
        assert [choice.text for choice in both.choices] == ["hello", "goodbye"]

    async def test_echo(self, chat):
        assert (await complete(chat, HELLO, echo=True)).choices[0].text == HELLO + "hello"

    async def test_logprobs(self, chat):
        logprobs = (await complete(chat, HELLO, logprobs=2)).choices[0].logprobs
        assert logprobs.tokens == ["hello", "<|im_end|>"]
        assert logprobs.text_offset == [0, 5]
        assert all(-1 < logprob <= 0 for logprob in logprobs.token_logprobs)
        assert [len(top) for top in logprobs.top_logprobs] == [2, 2]

    async def test_score_of_a_prompt(self, chat):
        (choice,) = (await complete(chat, HELLO, echo=True, max_tokens=0, logprobs=0)).choices
        assert choice.text == HELLO
        assert choice.logprobs.token_logprobs[0] is None
        assert len(choice.logprobs.tokens) == 18

    async def test_stop_and_length(self, chat):
        (choice,) = (await complete(chat, PROMPT.format("one two three"), stop=" two")).choices
        assert (choice.text, choice.finish_reason, choice.stop_reason) == ("one", "stop", " two")
        (choice,) = (await complete(chat, PROMPT.format("goodbye"), max_tokens=2)).choices
        assert (choice.text, choice.finish_reason) == ("go", "length")

    async def test_several_answers(self, chat):
        completion = await complete(chat, [HELLO, GOODBYE], n=2, temperature=0.01)
        answers = [(choice.index, choice.text) for choice in completion.choices]
        assert answers == [(0, "hello"), (1, "hello"), (2, "goodbye"), (3, "goodbye")]

    async def test_errors(self, chat):
        with pytest.raises(ContextLengthError):
            await complete(chat, "word " * 3000)
        with pytest.raises(NotFoundError, match="nobody"):
            await complete(chat, "hello", model="nobody")
        with pytest.raises(BadRequestError, match="99999999"):
            await complete(chat, HELLO, logit_bias={"99999999": 1})
        with pytest.raises(BadRequestError, match="99999999") as raised:
            await stream(chat, HELLO, logit_bias={"99999999": 1})
        assert raised.value.http_status == 200
