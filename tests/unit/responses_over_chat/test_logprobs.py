"""The log probabilities of the text, among those of everything that was generated."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionTokenLogprob
from tests.unit.responses_over_chat.builders import chunk, completion, run, usage_chunk

from vllm_connect.responses_over_chat import response_from_chat
from vllm_connect.responses_over_chat.logprobs import logprobs_of


def tokens(*texts: str | bytes | None) -> list[dict[str, Any]]:
    made = []
    for number, text in enumerate(texts):
        raw = text if isinstance(text, bytes) else (text or "").encode()
        token = raw.decode(errors="replace")
        top = [{"token": token, "bytes": list(raw), "logprob": -0.5}]
        made.append({"token": token, "bytes": list(raw), "logprob": -float(number), "top_logprobs": top})
    return made


def found(text: str, *texts: str | bytes) -> list[int]:
    given = [ChatCompletionTokenLogprob.model_validate(token) for token in tokens(*texts)]
    return [-int(token.logprob) for token in logprobs_of(text, given)]


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("the", ["t", "he", "<|im_end|>"], [0, 1]),
        ("\n\nthe", ["<think>", "\n", "I", "</think>", "\n", "\n", "the", "<|im_end|>"], [4, 5, 6]),
        ("a", ["a", "</think>", "a", "<|im_end|>"], [2]),
        ("end", ["end", "<|im_end|>"], [0]),  # not the "end" within the tag
        ("😀", [b"\xf0\x9f", b"\x98\x80"], [0, 1]),
        ("ab", ["a", "bc"], [0, 1]),  # cut by a stop string
        ("b", ["ab"], [0]),
        ("x", ["a", "b"], [0, 1]),  # they do not spell it
        ("", ["a"], []),
        ("a", [], []),
    ],
)
def test_which_tokens(text: str, given: list[str | bytes], expected: list[int]) -> None:
    assert found(text, *given) == expected


def test_tokens_without_bytes() -> None:
    given = [ChatCompletionTokenLogprob(token="a", bytes=None, logprob=-1, top_logprobs=[])]
    assert logprobs_of("a", given) == given


def test_reply() -> None:
    given = tokens("<think>", "x", "</think>", "t", "he", "<|im_end|>")
    [_, message] = response_from_chat(completion("the", reasoning="x", logprobs=given), {"model": "m"}).output
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert [(entry.token, entry.bytes) for entry in part.logprobs] == [("t", [116]), ("he", [104, 101])]
    assert part.logprobs[0].top_logprobs[0].token == "t"


def test_stream() -> None:
    events = run(
        [
            chunk({"role": "assistant", "content": ""}, logprobs=None),
            chunk({}, logprobs=tokens("<think>")),
            chunk({"reasoning": "x"}, logprobs=tokens("x")),
            chunk({}, logprobs=tokens("</think>")),
            chunk({"content": "the"}, logprobs=tokens("t", "he")),
            chunk({}, logprobs=tokens(b"\xf0\x9f")),
            chunk({"content": "😀"}, logprobs=tokens(b"\x98\x80")),
            chunk({}, "stop", logprobs=tokens("<|im_end|>")),
            usage_chunk(),
        ]
    )
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [[entry.token for entry in event.logprobs] for event in deltas] == [
        ["t", "he"],
        ["\ufffd", "\ufffd\ufffd"],
    ]
    [done] = [event for event in events if event.type == "response.output_text.done"]
    final = events[-1].response.output[1].content[0].logprobs
    assert [entry.token for entry in done.logprobs] == [entry.token for entry in final]
    assert [bytes(entry.bytes) for entry in final] == [b"t", b"he", b"\xf0\x9f", b"\x98\x80"]
