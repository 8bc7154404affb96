"""What is said about answers that are cut or empty."""

from __future__ import annotations

import pytest

from vllm_connect.adapters import describe_cut, describe_empty


@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls"])
def test_an_end_that_the_model_chose_is_no_cut(finish_reason):
    assert describe_cut(finish_reason) is None
    assert describe_cut(finish_reason, 151645) is None  # a stop token
    assert describe_empty(finish_reason, reasoning=False) is None


@pytest.mark.parametrize(
    ("finish_reason", "words"),
    [
        (None, "finish_reason is missing"),
        ("length", "raise max_tokens"),
        ("abort", "the server aborted it"),
        ("content_filter", "filter"),
        ("repetition", "repeated itself"),
        ("error", "failed"),
        ("something new", "'something new'"),
    ],
)
def test_every_other_end_is_a_cut_and_has_a_name(finish_reason, words):
    assert words in (describe_cut(finish_reason) or "")
    assert words in (describe_empty(finish_reason, reasoning=False) or "")


def test_a_stop_string_cuts():
    assert "'END'" in (describe_cut("stop", "END") or "")


@pytest.mark.parametrize(
    ("finish_reason", "words"),
    [("length", ["max_tokens", "thinking"]), ("stop", ["--reasoning-parser", "thinking"])],
)
def test_nothing_but_reasoning_names_cause_and_remedy(finish_reason, words):
    text = describe_empty(finish_reason, reasoning=True) or ""
    assert [word for word in words if word not in text] == []
