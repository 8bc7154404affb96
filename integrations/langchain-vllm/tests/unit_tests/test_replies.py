"""Replies: what servers send that is not quite as it should be."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from vllm_connect.types import ChatCompletion, ChatCompletionChunk, Completion

from langchain_vllm.events import EventReader
from langchain_vllm.llms import read_completion
from langchain_vllm.replies import ChunkReader, chat_result


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> Any:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return ChatCompletionChunk.construct(**{**body, **fields})


def call(
    arguments: str | None = None, call_id: str | None = None, name: str | None = None, **fields: Any
) -> Any:
    return {"id": call_id, "function": {"name": name, "arguments": arguments}, "type": "function", **fields}


def read(chunks: list[Any]) -> AIMessageChunk:
    reader = ChunkReader("m")
    made = [each.message for each in map(reader.read, chunks) if each is not None]
    return made[0] + made[1:] if len(made) > 1 else made[0]


def events(chunks: list[Any]) -> list[Any]:
    reader = EventReader("id", "m")
    made = [event for each in chunks for event in reader.read(each)] + list(reader.finish())
    assert_valid_event_stream(made)
    return made


TWO = [("c1", "f", {"x": 1}), ("c2", "g", {})]
STREAMS = {
    "one at a time": [
        chunk({"tool_calls": [call("", "c1", "f", index=0)]}),
        chunk({"tool_calls": [call('{"x": ', index=0)]}),
        chunk({"tool_calls": [call("1}", index=0)]}),
        chunk({"tool_calls": [call(None, "c2", "g", index=1)]}),
        chunk({}, "tool_calls"),
    ],
    "in one delta": [
        chunk(
            {"tool_calls": [call('{"x": 1}', "c1", "f", index=0), call("", "c2", "g", index=1)]}, "tool_calls"
        )
    ],
    "without index": [
        chunk({"tool_calls": [call('{"x": 1}', "c1", "f"), call("", "c2", "g")]}, "tool_calls"),
    ],
    "always index 0": [
        chunk({"tool_calls": [call('{"x": ', "c1", "f", index=0)]}),
        chunk({"tool_calls": [call("1}", index=0)]}),
        chunk({"tool_calls": [call("", "c2", "g", index=0)]}, "tool_calls"),
    ],
    "id in every delta": [
        chunk({"tool_calls": [call('{"x": ', "c1", "f", index=0)]}),
        chunk({"tool_calls": [call("1}", "c1", "f", index=0)]}),
        chunk({"tool_calls": [call("", "c2", "g", index=1)]}, "tool_calls"),
    ],
    "interleaved": [
        chunk({"tool_calls": [call('{"x": ', "c1", "f", index=0), call("{", "c2", "g", index=1)]}),
        chunk({"tool_calls": [call("1}", index=0), call("}", index=1)]}, "tool_calls"),
    ],
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_tool_calls_of_a_stream(stream):
    message = read(stream)
    assert [(each["id"], each["name"], each["args"]) for each in message.tool_calls] == TWO
    ends = [event["content"] for event in events(stream) if event["event"] == "content-block-finish"]
    assert [(each["id"], each["name"], each["args"]) for each in ends] == TWO


WITHOUT_ID = {
    "always index 0": [
        chunk({"tool_calls": [call('{"x": 1}', name="f", index=0)]}),
        chunk({"tool_calls": [call("{}", name="g", index=0)]}, "tool_calls"),
    ],
    "always index 0, in pieces": [
        chunk({"tool_calls": [call('{"x": ', name="f", index=0)]}),
        chunk({"tool_calls": [call("1}", name="f", index=0)]}),
        chunk({"tool_calls": [call("", name="f", index=0)]}),
        chunk({"tool_calls": [call("{", name="g", index=0)]}),
        chunk({"tool_calls": [call("}", index=0)]}, "tool_calls"),
    ],
    "without index": [
        chunk({"tool_calls": [call('{"x": 1}', name="f")]}),
        chunk({"tool_calls": [call("{}", name="g")]}, "tool_calls"),
    ],
    "the id comes late": [
        chunk({"tool_calls": [call(name="f", index=0)]}),
        chunk({"tool_calls": [call('{"x": ', "c1", index=0)]}),
        chunk({"tool_calls": [call("1}", "c1", index=0)]}),
        chunk({"tool_calls": [call("{}", "c2", "g", index=0)]}, "tool_calls"),
    ],
    "an id after a call without one": [
        chunk({"tool_calls": [call('{"x": 1}', name="f", index=0)]}),
        chunk({"tool_calls": [call("{}", "c2", "g", index=0)]}, "tool_calls"),
    ],
}


@pytest.mark.parametrize("stream", WITHOUT_ID.values(), ids=WITHOUT_ID)
def test_calls_without_an_id_are_told_apart(stream):
    ends = [event["content"] for event in events(stream) if event["event"] == "content-block-finish"]
    for calls in (read(stream).tool_calls, ends):
        assert [(each["name"], each["args"]) for each in calls] == [("f", {"x": 1}), ("g", {})]
        assert len({each["id"] for each in calls} - {"", None}) == 2


def test_the_same_function_twice_without_ids():
    stream = [chunk({"tool_calls": [call(f'{{"x": {x}}}', name="f", index=0)]}) for x in (1, 2)]
    ends = [event["content"] for event in events(stream) if event["event"] == "content-block-finish"]
    for calls in (read(stream).tool_calls, ends):
        assert [each["args"] for each in calls] == [{"x": 1}, {"x": 2}]


def test_a_call_without_an_id_gets_one():
    message = read([chunk({"tool_calls": [call("{}", name="f", index=0)]}, "tool_calls")])
    assert message.tool_calls[0]["id"].startswith("chatcmpl-tool-")


def test_reasoning_and_text_become_blocks_in_order():
    made = events([chunk({"reasoning": "a"}), chunk({"reasoning": "b"}), chunk({"content": "c"}, "stop")])
    ends = [event["content"] for event in made if event["event"] == "content-block-finish"]
    assert ends == [{"type": "reasoning", "reasoning": "ab"}, {"type": "text", "text": "c"}]


def usage(given: int, made: int) -> Any:
    from vllm_connect.types import CompletionUsage

    return CompletionUsage(prompt_tokens=given, completion_tokens=made, total_tokens=given + made)


CONTINUOUS = [
    chunk({"content": "a"}, usage=usage(5, 1)),
    chunk({"content": "b"}, "stop", usage=usage(5, 3)),
    chunk(None, usage=usage(5, 3)),
]


def test_continuous_usage_adds_up():
    message = read(CONTINUOUS)
    assert message.usage_metadata == {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    assert events(CONTINUOUS)[-1]["usage"] == message.usage_metadata


def test_only_the_first_answer_is_read():
    second = [{"index": 1, "delta": {"content": "B"}, "finish_reason": None}]
    message = read([chunk({"content": "a"}), chunk(choices=second), chunk({"content": "b"}, "stop")])
    assert message.content == "ab"
    assert message.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "args"), [("", {}), (None, {}), ("null", {}), ('{"x": "a\nb"}', {"x": "a\nb"})]
)
def test_odd_arguments(arguments, args):
    for calls, _ in all_ways(arguments):
        assert [each["args"] for each in calls] == [args]


@pytest.mark.parametrize("arguments", ['[{"x": ', "[1]", "x"])
def test_arguments_that_are_none(arguments):
    for calls, invalid in all_ways(arguments):
        assert calls == []
        assert [each["args"] for each in invalid] == [arguments]


def all_ways(arguments: str | None) -> list[Any]:
    """Valid and invalid calls of a reply, of a stream and of events."""
    stream = [chunk({"tool_calls": [call(arguments, "c1", "f", index=0)]}), chunk({}, "tool_calls")]
    messages = [completion(call(arguments, "c1", "f")), read(stream)]
    found: list[Any] = [(message.tool_calls, message.invalid_tool_calls) for message in messages]
    reader = EventReader("id", "m")  # `events` would have its validator parse a raw newline strictly
    made = [event for each in stream for event in reader.read(each)] + list(reader.finish())
    ends = [event["content"] for event in made if event["event"] == "content-block-finish"]
    by_type = [[end for end in ends if end["type"] == kind] for kind in ("tool_call", "invalid_tool_call")]
    return [*found, by_type]


def test_arguments_that_were_cut_off():
    assert completion(call('{"x": ', "c1", "f")).invalid_tool_calls[0]["args"] == '{"x": '
    ends = events([chunk({"tool_calls": [call('{"x": ', "c1", "f", index=0)]})])
    assert ends[-2]["content"]["type"] == "invalid_tool_call"


def completion(*calls: Any) -> Any:
    answer = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    choices = [{"index": 0, "finish_reason": "tool_calls", "message": answer}]
    body = {"id": "r", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    return chat_result(ChatCompletion.construct(**body), None).generations[0].message


@pytest.mark.parametrize("indices", [[0], [0, 1, 2]])
def test_every_prompt_has_as_many_answers(indices):
    choices = [{"index": index, "text": "x", "finish_reason": "stop", "logprobs": None} for index in indices]
    about = {"id": "c", "created": 1, "model": "m", "object": "text_completion"}
    with pytest.raises(ValueError, match="answers to 2 prompts"):
        read_completion(Completion.model_validate({**about, "choices": choices}), 2)
