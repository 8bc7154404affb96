"""The chunks of a chat stream as events of a Responses stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.unit.responses_over_chat.builders import (
    CHAT_ID,
    accumulate,
    call,
    check,
    chunk,
    run,
    stream,
    usage_chunk,
)
from tests.unit.tool_call_cases import CASES, Case

from vllm_connect import RateLimitError, types
from vllm_connect.adapters import read_arguments
from vllm_connect.responses_over_chat import ResponseEvents
from vllm_connect.responses_over_chat.items import messages_from_input

PARAMS = {"model": "tiny-chat", "input": "hi"}


def kinds(events: Iterable[Any]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def of(events: Iterable[Any], kind: str) -> list[Any]:
    return [event for event in events if event.type == f"response.{kind}"]


def final(events: list[Any]) -> Any:
    return events[-1].response


def piece(index: int, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """A piece of a call that has begun."""
    return {"index": index, "function": {"arguments": arguments}} | more


def begin(index: int, id: str | None, name: str | None, arguments: str | None = None) -> dict[str, Any]:
    return call(id, name, arguments) | {"index": index}


def calls_of(response: Any) -> list[tuple[str, str]]:
    return [(item.name, item.arguments) for item in response.output if item.type == "function_call"]


@pytest.mark.parametrize("cls", [None, types.ChatCompletionChunk])
def test_everything(cls: Any) -> None:
    events = run(
        stream(
            {"reasoning": "\nI "},
            {"reasoning": "think.\n"},
            {"content": "Let me "},
            {"content": "look."},
            {"tool_calls": [begin(0, "chatcmpl-tool-1", "get_weather")]},
            {"tool_calls": [piece(0, '{"city"')]},
            {"tool_calls": [piece(0, ': "Rome"}')]},
            finish_reason="tool_calls",
            **({"cls": cls} if cls else {}),
        )
    )
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    response = final(events)
    assert response.output_text == "Let me look."
    assert calls_of(response) == [("get_weather", '{"city": "Rome"}')]
    assert response.output[2].call_id == "chatcmpl-tool-1"
    assert [item.status for item in response.output] == ["completed"] * 3
    assert response.usage.total_tokens == 30
    assert response.status == "completed"
    assert response.system_fingerprint == "vllm-0.32.0-1bf0ad44"
    for done in of(events, "output_item.done"):
        assert done.item == response.output[done.output_index]
    for event in events:
        if hasattr(event, "item_id"):
            assert event.item_id == response.output[event.output_index].id
    assert accumulate(events).output_text == "Let me look."


def test_announcement() -> None:
    events = ResponseEvents(PARAMS | {"instructions": "Be brief.", "temperature": 0.5})
    created, in_progress = events.feed(chunk({"role": "assistant", "content": ""}))
    for event in (created, in_progress):
        assert event.response.status == "in_progress"
        assert event.response.id == "resp_" + CHAT_ID.removeprefix("chatcmpl-")
        assert (event.response.output, event.response.usage) == ([], None)
        assert (event.response.instructions, event.response.temperature) == ("Be brief.", 0.5)
    assert events.feed(chunk({})) == []


def test_announced_even_if_no_chunk_has_a_role() -> None:
    events = ResponseEvents(PARAMS)
    assert kinds(events.feed(chunk({"content": "a"})))[:2] == ["created", "in_progress"]


def test_terminal_event_waits_for_the_usage() -> None:
    events = ResponseEvents(PARAMS)
    events.feed(chunk({"content": "a"}))
    assert events.feed(chunk({}, "stop")) == []
    assert events.feed(usage_chunk()) == []
    assert final(events.finish()).usage.output_tokens == 14


def test_usage_on_every_chunk() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    events = run([chunk({"content": "a"}, usage=usage), *stream({"content": "b"})])
    assert final(events).usage.total_tokens == 30


@pytest.mark.parametrize("last", [None, {}, {"content": ""}, {"content": None, "tool_calls": None}])
def test_delta_without_content(last: Any) -> None:
    events = run([chunk({"content": "a"}), chunk(last), chunk(last, "stop")])
    assert events[-1].type == "response.completed"
    assert final(events).output_text == "a"


def test_content_in_the_last_chunk() -> None:
    assert final(run([chunk({"content": "a"}), chunk({"content": "b"}, "stop")])).output_text == "ab"


def test_several_calls_in_one_chunk() -> None:
    events = run(stream({"tool_calls": [begin(0, "1", "f", '{"a": 1}'), begin(1, "2", "g", '{"b": 2}')]}))
    assert calls_of(final(events)) == [("f", '{"a": 1}'), ("g", '{"b": 2}')]
    assert kinds(events)[2:] == [
        *[
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]
        * 2,
        "completed",
    ]


def test_calls_written_in_turns() -> None:
    events = run(
        stream(
            {"tool_calls": [begin(0, "1", "f", ""), begin(1, "2", "g", "")]},
            {"tool_calls": [piece(0, '{"a"'), piece(1, '{"b"')]},
            {"tool_calls": [piece(1, ": 2}"), piece(0, ": 1}")]},
        )
    )
    assert calls_of(final(events)) == [("f", '{"a": 1}'), ("g", '{"b": 2}')]
    done = of(events, "output_item.done")
    assert [event.output_index for event in done] == [0, 1]
    assert calls_of(accumulate(events)) == calls_of(final(events))


def test_arguments_that_only_looked_complete() -> None:
    events = run(
        stream(
            {"tool_calls": [begin(0, "1", "f", "{}"), begin(1, "2", "g", "{}")]},
            {"tool_calls": [piece(0, " ")]},
        )
    )
    assert calls_of(final(events)) == [("f", "{} "), ("g", "{}")]
    assert calls_of(accumulate(events)) == calls_of(final(events))


@pytest.mark.parametrize("id", ["", None, "1"])
def test_id_of_later_pieces(id: str | None) -> None:
    pieces = [{"tool_calls": [piece(0, text, id=id)]} for text in ('{"a"', ": 1}")]
    assert calls_of(final(run(stream({"tool_calls": [begin(0, "1", "f")]}, *pieces)))) == [("f", '{"a": 1}')]


def test_new_id_on_the_same_index_is_a_new_call() -> None:
    deltas = [{"tool_calls": [begin(0, id, name, '{"a": 1}')]} for id, name in (("1", "f"), ("2", "f"))]
    assert calls_of(final(run(stream(*deltas)))) == [("f", '{"a": 1}')] * 2


def test_calls_without_ids() -> None:
    deltas = [{"tool_calls": [begin(0, "", name, "{}")]} for name in ("f", "g")]
    response = final(run(stream(*deltas)))
    assert calls_of(response) == [("f", "{}"), ("g", "{}")]
    assert len({item.call_id for item in response.output}) == 2
    assert all(item.call_id for item in response.output)


@pytest.mark.parametrize(
    "deltas",
    [
        [begin(0, "1", None), begin(0, None, "get_weather"), piece(0, "{}")],
        [begin(0, "1", "get_"), begin(0, "1", "weather"), piece(0, "{}")],
        [begin(0, "1", "get_weather", "{"), begin(0, None, "get_weather", "}")],
        [begin(0, None, "get_weather"), piece(0, "{}", id="1")],
        [begin(0, "1", None, "{"), begin(0, None, "get_weather", "}")],
        [begin(0, "1", "get_weather"), {"index": 0, "id": None, "function": None}],
        [begin(None, "1", "get_weather", "{"), piece(None, "}")],  # type: ignore[arg-type]
    ],
)
def test_names_and_ids_in_pieces(deltas: list[dict[str, Any]]) -> None:
    events = run(stream(*({"tool_calls": [delta]} for delta in deltas)))
    assert calls_of(final(events)) == [("get_weather", "{}")]
    assert calls_of(accumulate(events)) == [("get_weather", "{}")]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_pieces_become_the_calls_that_were_meant(case: Case) -> None:
    events = run(stream(*({"tool_calls": deltas} for deltas in case.chunks), finish_reason="tool_calls"))
    response = final(events)
    assert all(item.status == "completed" for item in response.output)
    found = [(name, read_arguments(arguments, None)) for name, arguments in calls_of(response)]
    assert found == case.calls
    assert calls_of(accumulate(events)) == calls_of(response)


@pytest.mark.parametrize("arguments", ['{"a": 1', "{'a': 1}", "[1]", '{"a": 1}{"a": 2}', "nu"])
def test_arguments_that_cannot_be_read_are_an_incomplete_call(arguments: str) -> None:
    events = run(stream({"tool_calls": [begin(0, "1", "f", arguments)]}, finish_reason="tool_calls"))
    [item] = final(events).output
    assert (item.status, item.arguments) == ("incomplete", arguments)
    assert calls_of(accumulate(events)) == [("f", arguments)]


@pytest.mark.parametrize("finish_reason", ["length", "abort", "repetition", "content_filter"])
def test_a_call_that_was_cut_off_before_its_arguments(finish_reason: str) -> None:
    events = run(stream({"tool_calls": [begin(0, "1", "f", "")]}, finish_reason=finish_reason))
    [item] = final(events).output
    assert (item.status, item.arguments) == ("incomplete", "")


@pytest.mark.parametrize("arguments", [None, ""])
def test_no_arguments_are_an_empty_object(arguments: str | None) -> None:
    events = run(stream({"tool_calls": [begin(0, "1", "now", arguments)]}))
    assert calls_of(final(events)) == [("now", "{}")]
    assert [event.delta for event in of(events, "function_call_arguments.delta")] == ["{}"]
    assert [event.arguments for event in of(events, "function_call_arguments.done")] == ["{}"]


def test_an_id_alone_begins_nothing() -> None:
    events = run(stream({"tool_calls": [begin(0, "1", None)]}, {"tool_calls": [begin(0, "2", "f", "{}")]}))
    assert calls_of(final(events)) == [("f", "{}")]
    assert calls_of(final(run(stream({"tool_calls": [begin(0, "1", None)]})))) == []


def test_text_after_a_call_is_a_new_item() -> None:
    events = run(
        stream(
            {"content": "Looking."},
            {"tool_calls": [begin(0, "1", "f", "{}")]},
            {"content": "Done."},
            {"content": " Bye."},
        )
    )
    response = final(events)
    assert [item.type for item in response.output] == ["message", "function_call", "message"]
    assert response.output_text == "Looking.Done. Bye."
    assert response.output[0].id != response.output[2].id
    assert accumulate(events).output_text == response.output_text
    [message] = messages_from_input(response.output)
    assert message["content"] == "Looking.Done. Bye."
    assert len(message["tool_calls"]) == 1


def test_text_while_a_call_is_unfinished() -> None:
    events = run(
        stream(
            {"tool_calls": [begin(0, "1", "f", '{"a')]},
            {"content": "text", "tool_calls": [piece(0, '": 1}')]},
            {"content": " goes on"},
        )
    )
    response = final(events)
    assert calls_of(response) == [("f", '{"a": 1}')]
    assert [item.type for item in response.output] == ["function_call", "message"]
    assert response.output_text == "text goes on"


def test_reasoning_that_resumes_is_a_new_item() -> None:
    response = final(run(stream({"reasoning": "a"}, {"content": "b"}, {"reasoning": "c"}, {"content": "d"})))
    assert [item.type for item in response.output] == ["reasoning", "message"] * 2


def test_reasoning_and_text_and_calls_in_one_chunk() -> None:
    response = final(
        run(stream({"reasoning": "a", "content": "b", "tool_calls": [begin(0, "1", "f", "{}")]}))
    )
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]


def test_refusal() -> None:
    events = run(stream({"refusal": "I "}, {"refusal": "won't."}))
    assert kinds(events)[2:] == [
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert final(events).output[0].content[0].refusal == "I won't."


def test_refusal_after_text_is_a_part_of_the_same_message() -> None:
    events = run(stream({"content": "Well."}, {"refusal": "No."}, {"content": "Sorry."}))
    [message] = final(events).output
    assert [part.type for part in message.content] == ["output_text", "refusal", "output_text"]
    assert [event.content_index for event in of(events, "content_part.done")] == [0, 1, 2]
    assert accumulate(events).output_text == "Well.Sorry."


@pytest.mark.parametrize(
    ("finish_reason", "event", "status", "reason"),
    [
        ("stop", "completed", "completed", None),
        ("tool_calls", "completed", "completed", None),
        ("something new", "completed", "completed", None),
        ("length", "incomplete", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "incomplete", "content_filter"),
        ("repetition", "incomplete", "incomplete", None),
        ("abort", "incomplete", "cancelled", None),
        ("error", "failed", "failed", None),
    ],
)
def test_ending(finish_reason: str, event: str, status: str, reason: str | None) -> None:
    events = run(stream({"reasoning": "t"}, {"content": "a"}, finish_reason=finish_reason))
    response = final(events)
    assert (kinds(events)[-1], response.status) == (event, status)
    assert (response.incomplete_details and response.incomplete_details.reason) == reason
    last = "completed" if status == "completed" else "incomplete"
    assert [item.status for item in response.output] == ["completed", last]
    assert response.finish_reason == finish_reason
    assert (response.error is None) == (status != "failed")
    accumulate(events)


def test_arguments_cut_by_the_limit() -> None:
    for arguments in ("", '{"a'):
        events = run(stream({"tool_calls": [begin(0, "1", "f", arguments)]}, finish_reason="length"))
        [item] = final(events).output
        assert (item.arguments, item.status) == (arguments, "incomplete")


def test_an_answer_without_anything() -> None:
    events = run(stream())
    assert kinds(events) == ["created", "in_progress", "completed"]
    assert final(events).output == []


def test_token_ids_of_all_chunks() -> None:
    chunks = [
        chunk({"role": "assistant", "content": ""}, prompt_token_ids=[1, 2]),
        chunk({"content": "a"}, choice={"token_ids": [3]}),
        chunk({"content": "b"}, choice={"token_ids": [4, 5]}),
        chunk({}, "stop", choice={"token_ids": [6], "stop_reason": 6}),
        usage_chunk(metrics={"tokens_per_second": 3.0}),
    ]
    response = final(run(chunks))
    assert (response.prompt_token_ids, response.token_ids, response.stop_reason) == ([1, 2], [3, 4, 5, 6], 6)
    assert response.metrics == {"tokens_per_second": 3.0}


class TestFailure:
    def test_it_keeps_what_came(self) -> None:
        events = ResponseEvents(PARAMS)
        made = events.feed(chunk({"reasoning": "t"}))
        made += events.feed(chunk({"content": "a"}))
        made += events.feed(chunk({"tool_calls": [begin(0, "1", "f", '{"a')]}))
        last = events.fail(ConnectionError("the connection broke"))
        check(made + last)
        assert kinds(last) == ["failed"]  # nothing is said to be done
        response = final(last)
        assert response.status == "failed"
        assert (response.error.code, response.error.message) == ("server_error", "the connection broke")
        assert [item.status for item in response.output] == ["completed", "completed", "incomplete"]
        assert calls_of(response) == [("f", '{"a')]
        assert accumulate(made + last) is None

    def test_before_the_first_chunk(self) -> None:
        made = ResponseEvents(PARAMS).fail(ValueError())
        check(made)
        assert kinds(made) == ["created", "in_progress", "failed"]
        assert len({event.response.id for event in made}) == 1
        assert final(made).error.message == "ValueError"
        assert final(made).model == "tiny-chat"
        accumulate(made)

    @pytest.mark.parametrize(
        ("status", "code"), [(400, "invalid_prompt"), (429, "rate_limit_exceeded"), (500, "server_error")]
    )
    def test_code(self, status: int, code: str) -> None:
        error: Any = RateLimitError.__new__(RateLimitError)
        error.status_code = status
        assert final(ResponseEvents(PARAMS).fail(error)).error.code == code
