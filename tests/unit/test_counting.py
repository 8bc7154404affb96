"""Counting tokens where templates refuse and servers are away."""

from __future__ import annotations

import pytest

from vllm_connect.adapters import counting

MESSAGES = [
    {"role": "assistant", "content": [{"type": "text", "text": "Größe"}, {"type": "image_url"}]},
    {"role": "assistant", "reasoning": "Hm", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
]
TOOL = {"type": "function", "function": {"name": "f", "description": "Looks."}}


def test_a_text_is_counted_in_one_way():
    assert list(counting.attempts({"prompt": "a b"})) == [({"prompt": "a b"}, 0)]


def test_a_conversation_is_counted_as_text_where_the_template_refuses_it():
    (first, none), (second, extra) = counting.attempts({"model": "m", "messages": MESSAGES, "tools": [TOOL]})
    assert (first["messages"], none) == (MESSAGES, 0)
    assert extra == 2 * counting.MESSAGE_TOKENS
    assert "messages" not in second
    for word in ("Größe", "Hm", '"name":"f"', "Looks."):
        assert word in second["prompt"]


def test_a_conversation_without_words_is_counted_in_one_way():
    assert len(list(counting.attempts({"messages": [{"role": "user", "content": ""}]}))) == 1


@pytest.mark.parametrize("text", ["Hello, how are you today?", "Größe 🦙", "日本語の文章です", "x"])
def test_an_estimate_is_no_understatement(text):
    assert counting.estimate({"prompt": text}) >= len(text.split())
    assert counting.estimate({"messages": [{"role": "user", "content": text}]}) > counting.MESSAGE_TOKENS


def test_nothing_is_no_token():
    assert counting.estimate({"prompt": ""}) == counting.estimate({"messages": []}) == 0


def test_an_estimate_may_know_the_tokenizer():
    assert counting.estimate_text("a" * 100, 0.25) == 26
