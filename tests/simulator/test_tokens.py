"""The tokenizer: exactly reversible, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_connect.sim.answers.tokens import SPECIALS, VOCABULARY_SIZE, decode, encode, pieces, token_text

from .conftest import CHAT, QUIET, Caller, said

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.one_of(TEXT, st.sampled_from(SPECIALS))).map("".join))
def test_any_text_comes_back(text: str) -> None:
    tokens = encode(text)
    assert decode(tokens) == text
    assert all(0 <= token < VOCABULARY_SIZE for token in tokens)
    assert "".join(pieces(text)) == text
    assert [token_text(token) for token in tokens] == pieces(text)


@given(st.integers(-10, VOCABULARY_SIZE + 10))
def test_any_id_has_a_text(token: int) -> None:
    assert isinstance(decode([token]), str)
    decode([token]).encode()


@pytest.mark.parametrize("text", ["Hello world", "你好 😀", "  def f(x):\n\treturn 1\n", "<think>\n</think>"])
def test_over_http(ask: Caller, text: str) -> None:
    reply = ask.json("/tokenize", prompt=text)
    assert reply["count"] == len(reply["tokens"])
    assert ask.json("/detokenize", tokens=reply["tokens"])["prompt"] == text


def test_ids_without_a_meaning_are_empty(ask: Caller) -> None:
    assert ask.json("/detokenize", tokens=[99_999_999])["prompt"] == ""


def test_counts_agree(ask: Caller) -> None:
    body = {
        "messages": said("Say: hello world"),
        "return_token_ids": True,
        "return_prompt_text": True,
        **QUIET,
    }
    reply = ask.json(CHAT, **body)
    assert reply["usage"]["prompt_tokens"] == len(reply["prompt_token_ids"])
    assert reply["usage"]["completion_tokens"] == len(reply["choices"][0]["token_ids"])
    prompt = reply["prompt_text"]
    assert (
        prompt
        == "<|im_start|>user\nSay: hello world<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert ask.json("/tokenize", prompt=prompt)["tokens"] == reply["prompt_token_ids"]
    tokenized = ask.json("/tokenize", messages=body["messages"], **QUIET)
    assert tokenized["tokens"] == reply["prompt_token_ids"]
    text = ask.json("/detokenize", tokens=reply["choices"][0]["token_ids"])["prompt"]
    assert text == "hello world<|im_end|>"
