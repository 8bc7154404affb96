"""How an answer is written down: reasoning, tools, limits, logprobs, and what else may be told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import CHAT, QUIET, Caller, said, tool

NAMED = {"type": "function", "function": {"name": "get_weather"}}


def written(chunks: list[Any], field: str = "content", index: int = 0) -> str:
    """What a stream says in one field."""
    choices = [choice for chunk in chunks[:-1] for choice in chunk["choices"]]
    deltas = [choice["delta"] for choice in choices if choice["index"] == index]
    return "".join(delta.get(field) or "" for delta in deltas)


def finish(chunks: list[Any]) -> list[str]:
    choices = [choice for chunk in chunks[:-1] for choice in chunk["choices"]]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


@pytest.mark.parametrize(
    "content", ["Say: hello world", "Think: hm\nSay: a\n\nb", "Count to 12", "Say: 你好 😀"]
)
def test_a_stream_says_the_same_as_a_plain_answer(ask: Caller, content: str) -> None:
    plain = ask.chat(content)
    chunks = ask.chat_events(content)
    assert written(chunks) == plain["message"]["content"]
    assert written(chunks, "reasoning") == plain["message"]["reasoning"]
    assert finish(chunks) == [plain["finish_reason"]] == ["stop"]


@pytest.mark.parametrize(
    ("option", "reasoning"),
    [
        ({}, "I say it."),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "I say it."),
        ({"reasoning_effort": "high"}, "I say it."),
        (QUIET, None),
        ({"reasoning_effort": "none"}, None),
        ({"include_reasoning": False}, None),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, "I say it."),
        ({"thinking_token_budget": 2}, "I say"),
    ],
)
def test_thinking(ask: Caller, option: dict[str, Any], reasoning: str | None) -> None:
    message = ask.chat("Say: x", **option)["message"]
    assert (message["content"], message["reasoning"]) == ("x", reasoning)
    chunks = ask.chat_events("Say: x", **option)
    assert (written(chunks), written(chunks, "reasoning") or None) == ("x", reasoning)


def test_hidden_reasoning_is_counted_but_not_told(ask: Caller) -> None:
    body = {"messages": said("Say: x"), "include_reasoning": False, "return_token_ids": True}
    reply = ask.json(CHAT, **body)
    assert reply["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert reply["choices"][0]["token_ids"] is None
    deltas = [chunk["choices"][0]["delta"] for chunk in ask.events(CHAT, **body)[1:-1]]
    assert deltas == [{"content": "x", "reasoning": None}, {}]


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("reasoning", ["reasoning"]),
        ("reasoning_content", ["reasoning_content"]),
        ("both", ["reasoning", "reasoning_content"]),
    ],
)
def test_the_field_of_reasoning(serve: Callable[..., Caller], field: str, names: list[str]) -> None:
    caller = serve(reasoning_field=field)
    message = caller.chat("Say: x")["message"]
    assert {name for name in message if "reasoning" in name} == set(names)
    assert all(written(caller.chat_events("Say: x"), name) == "I say it." for name in names)


def test_a_server_without_a_reasoning_parser(serve: Callable[..., Caller]) -> None:
    reply = serve(reasoning=False).json(CHAT, messages=said("Say: x"))
    assert reply["choices"][0]["message"]["reasoning"] is None
    assert reply["usage"]["completion_tokens_details"] is None


@pytest.mark.parametrize(
    ("choice", "finish_reason", "content"),
    [("auto", "tool_calls", None), ("required", "tool_calls", ""), (NAMED, "stop", "")],
)
def test_tool_choice(ask: Caller, choice: Any, finish_reason: str, content: str | None) -> None:
    body = {"tools": [tool(), tool("add")], "tool_choice": choice}
    made = ask.chat('Call get_weather {"city": "Rome"}', **body)
    assert made["finish_reason"] == finish_reason
    assert made["message"]["content"] == content
    assert made["message"]["reasoning"] == "I call the tool."
    (call,) = made["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Rome"}'}
    chunks = ask.chat_events('Call get_weather {"city": "Rome"}', **body)
    assert finish(chunks) == [finish_reason]


def test_forced_calls_have_arguments_that_fit(ask: Caller) -> None:
    tools = [tool("first", n={"type": "integer", "minimum": 5}), tool()]
    made = ask.chat("Hello", tools=tools, tool_choice="required")["message"]["tool_calls"]
    assert made[0]["function"] == {"name": "first", "arguments": '{"n": 5}'}
    made = ask.chat("Use get_weather", tools=tools, tool_choice="required")["message"]["tool_calls"]
    assert made[0]["function"]["name"] == "get_weather"
    made = ask.chat("What is the weather in Oslo?", tools=tools, tool_choice=NAMED)["message"]["tool_calls"]
    assert json.loads(made[0]["function"]["arguments"]) == {"city": "Oslo"}


def test_no_tools_are_called_where_none_are_wanted(ask: Caller) -> None:
    body = {"tools": [tool()], "tool_choice": "none"}
    assert "tool_calls" not in ask.chat("What is the weather in Paris?", **body)["message"]
    assert "tool_calls" not in ask.chat("Say: hello", tools=[tool()])["message"]


def test_only_one_call_at_a_time(ask: Caller) -> None:
    content = "Call get_weather {}\nCall get_weather {}"
    assert len(ask.chat(content, tools=[tool()])["message"]["tool_calls"]) == 2
    made = ask.chat(content, tools=[tool()], parallel_tool_calls=False)["message"]["tool_calls"]
    assert len(made) == 1


def test_a_call_cut_short(ask: Caller) -> None:
    body = {"tools": [tool()], **QUIET}
    cut = ask.chat("What is the weather in Paris?", max_tokens=9, **body)
    assert cut["finish_reason"] == "length"
    assert cut["message"]["content"] == '<tool_call>\n{"name": "get_weat'
    assert "tool_calls" not in cut["message"]
    chunks = ask.chat_events("What is the weather in Paris?", max_tokens=9, **body)
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]] == [{}]


def test_limits(ask: Caller) -> None:
    cut = ask.chat("Count to 9", max_tokens=3, **QUIET)
    assert (cut["message"]["content"], cut["finish_reason"]) == ("1 2 3", "length")
    assert ask.chat("Count to 3", max_tokens=3, **QUIET)["finish_reason"] == "length"
    assert ask.chat("Count to 3", max_tokens=4, **QUIET)["finish_reason"] == "stop"
    cut = ask.chat("Count to 9", max_completion_tokens=2, max_tokens=9, **QUIET)
    assert cut["message"]["content"] == "1 2"
    chunks = ask.chat_events("Count to 9", max_tokens=2, **QUIET)
    assert chunks[-2]["choices"][0]["delta"] == {"content": " 2"}
    assert finish(chunks) == ["length"]


def test_thinking_cut_short(ask: Caller) -> None:
    cut = ask.chat("Say: x", max_tokens=3)
    assert (cut["message"]["content"], cut["message"]["reasoning"]) == (None, "I say")


def test_long_answers(ask: Caller) -> None:
    body = {"messages": said("Say: again"), "max_tokens": 500, "ignore_eos": True, **QUIET}
    reply = ask.json(CHAT, **body)
    assert reply["usage"]["completion_tokens"] == 500
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["choices"][0]["message"]["content"].startswith("again again again")
    reply = ask.json(CHAT, messages=said("Say: again"), min_tokens=100, **QUIET)
    assert reply["usage"]["completion_tokens"] == 101
    assert reply["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("stop", ["5", ["x", " 5"], ["4 5 6"]])
def test_stop_strings(ask: Caller, stop: Any, include: bool) -> None:
    body = {"stop": stop, "include_stop_str_in_output": include, **QUIET}
    hit = {"5": "5"}.get(stop, stop[-1]) if isinstance(stop, str) else stop[-1]
    expected = "1 2 3 4 5 6 7 8 9".split(hit)[0] + (hit if include else "")
    plain = ask.chat("Count to 9", **body)
    assert plain["message"]["content"] == expected
    assert (plain["finish_reason"], plain["stop_reason"]) == ("stop", hit)
    chunks = ask.chat_events("Count to 9", **body)
    assert written(chunks) == expected
    assert chunks[-2]["choices"][0]["stop_reason"] == hit


def test_stop_tokens(ask: Caller) -> None:
    (five,) = ask.json("/tokenize", prompt=" 5")["tokens"]
    stopped = ask.chat("Count to 9", stop_token_ids=[five], **QUIET)
    assert stopped["message"]["content"] == "1 2 3 4"
    assert (stopped["finish_reason"], stopped["stop_reason"]) == ("stop", five)


def test_several_choices(ask: Caller) -> None:
    body = {"messages": said("Say: hello"), "n": 3, **QUIET}
    reply = ask.json(CHAT, **body)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert reply["usage"]["completion_tokens"] == 9
    chunks = ask.events(CHAT, **body)
    assert [chunk["choices"][0]["index"] for chunk in chunks[:3]] == [0, 1, 2]
    assert [written(chunks, index=i) for i in range(3)] == ["hello"] * 3
    assert finish(chunks) == ["stop"] * 3


def test_logprobs(ask: Caller) -> None:
    told = ask.chat("Say: hi you", logprobs=True, top_logprobs=2, **QUIET)["logprobs"]["content"]
    assert [entry["token"] for entry in told] == ["hi", " you", "<|im_end|>"]
    assert list(told[0]) == ["token", "logprob", "bytes", "top_logprobs"]
    assert told[0]["bytes"] == [104, 105]
    for entry in told:
        best, second = entry["top_logprobs"]
        assert best["token"] == entry["token"]
        assert 0 > best["logprob"] == entry["logprob"] > second["logprob"]
    chunks = ask.chat_events("Say: hi you", logprobs=True, top_logprobs=2, **QUIET)
    streamed = [chunk["choices"][0]["logprobs"]["content"] for chunk in chunks[1:-1]]
    assert [entry for (entry,) in streamed] == told
    ids = ask.chat("Say: hi", logprobs=True, return_tokens_as_token_ids=True, **QUIET)["logprobs"]["content"]
    assert ids[0]["token"].startswith("token_id:")


def test_token_ids_in_a_stream(ask: Caller) -> None:
    chunks = ask.chat_events("Say: hi", return_token_ids=True)
    told = [(choice["delta"], choice["token_ids"]) for chunk in chunks[1:-1] for choice in chunk["choices"]]
    assert all(len(ids) == 1 for _, ids in told)
    assert told[0] == ({}, [3])  # <think>
    plain = ask.chat("Say: hi", return_token_ids=True)
    assert [ids[0] for _, ids in told] == plain["token_ids"]
    assert chunks[0]["prompt_token_ids"]


def test_prompt_logprobs(ask: Caller) -> None:
    reply = ask.json(CHAT, messages=said("Hi"), prompt_logprobs=1, return_token_ids=True, **QUIET)
    first, *others = reply["prompt_logprobs"]
    assert first is None
    for token, entry in zip(reply["prompt_token_ids"][1:], others, strict=True):
        assert entry[str(token)]["rank"] == 1
        assert list(entry[str(token)]) == ["logprob", "rank", "decoded_token"]


def test_continuing_a_message(ask: Caller) -> None:
    begun = [*said("Say: hello world"), {"role": "assistant", "content": "hello"}]
    body = {"messages": begun, "continue_final_message": True, "add_generation_prompt": False}
    assert ask.json(CHAT, **body)["choices"][0]["message"]["content"] == " world"
    assert ask.json(CHAT, echo=True, **body)["choices"][0]["message"]["content"] == "hello world"
    assert written(ask.events(CHAT, echo=True, **body)) == "hello world"


def test_ids_and_what_passes_through(ask: Caller) -> None:
    body = {"messages": said("Say: x"), "request_id": "mine", "kv_transfer_params": {"a": 1}, "no_such": 1}
    reply = ask.json(CHAT, **body)
    assert reply["id"] == "chatcmpl-mine"
    assert reply["kv_transfer_params"] == {"a": 1}
    reply = ask.http.post(CHAT, json=body, headers={"X-Request-Id": "header"}).json()
    assert reply["id"] == "chatcmpl-header"
    load = ask.http.post(CHAT, json=body, headers={"endpoint-load-metrics-format": "json"})
    assert load.headers["endpoint-load-metrics"].startswith("JSON {")


def test_the_same_request_gets_the_same_answer(ask: Caller) -> None:
    body = {"logprobs": True, "top_logprobs": 3, "tools": [tool()], "temperature": 1.5}
    assert ask.chat("What?", **body) == ask.chat("What?", **body)


def test_delay(serve: Callable[..., Caller]) -> None:
    caller = serve(delay=0.02)
    start = time.monotonic()
    chunks = caller.chat_events("Count to 4", **QUIET)
    assert written(chunks) == "1 2 3 4"
    assert 0.1 < time.monotonic() - start < 2
    start = time.monotonic()
    caller.chat("Count to 4", **QUIET)
    assert 0.1 <= time.monotonic() - start < 2


def test_several_prompts(ask: Caller) -> None:
    prompts = ["Say: one", "Count to 2"]
    reply = ask.json("/v1/completions", prompt=prompts, n=2)
    assert [choice["text"] for choice in reply["choices"]] == ["one", "one", "1 2", "1 2"]
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    chunks = ask.events("/v1/completions", prompt=prompts)
    texts = ["", ""]
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == ["one", "1 2"]


def test_completions_default_to_sixteen_tokens(ask: Caller) -> None:
    for body in ({}, {"max_tokens": None}):
        reply = ask.json("/v1/completions", prompt="Count to 99", **body)
        assert reply["usage"]["completion_tokens"] == 16


def test_completions_of_tokens_with_echo_and_logprobs(ask: Caller) -> None:
    tokens = ask.json("/tokenize", prompt="The capital of France is")["tokens"]
    body = {"prompt": tokens, "echo": True, "logprobs": 2, "return_token_ids": True, "max_tokens": 2}
    choice = ask.json("/v1/completions", **body)["choices"][0]
    assert choice["text"] == "The capital of France is Paris"
    assert choice["prompt_token_ids"] == tokens
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["text_offset"][1] == len(logprobs["tokens"][0])
    assert ask.events("/v1/completions", **body)[0]["choices"][0]["text"].startswith(
        "The capital of France is"
    )


def test_scoring_a_prompt(ask: Caller) -> None:
    body = {"prompt": "Just this", "echo": True, "max_tokens": 0, "logprobs": 1}
    reply = ask.json("/v1/completions", **body)
    assert reply["choices"][0]["text"] == "Just this"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert len(reply["choices"][0]["prompt_logprobs"]) == reply["usage"]["prompt_tokens"]


def test_responses_of_items(ask: Caller) -> None:
    function = {"type": "function", **tool()["function"]}
    call = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Rome"}'}
    items = [
        *said([{"type": "input_text", "text": "What is the weather in Rome?"}]),
        {"type": "reasoning", "id": "rs_1", "summary": []},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]
    reply = ask.json("/v1/responses", input=items, tools=[function], instructions="Be brief.")
    assert reply["output"][-1]["content"][0]["text"] == "The weather in Rome is sunny."
    forced = {"type": "function", "name": "get_weather"}
    reply = ask.json("/v1/responses", input="Hello", tools=[function], tool_choice=forced)
    assert reply["output"][-1]["type"] == "function_call"
    cut = ask.json("/v1/responses", input="Say: hello", max_output_tokens=3)
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["type"] for item in cut["output"]] == ["reasoning"]


def test_responses_with_a_format_and_logprobs(ask: Caller) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    reply = ask.json("/v1/responses", input="Go.", text=text, reasoning={"effort": "none"})
    assert reply["output"][0]["content"][0]["text"] == '{"n":1}'
    assert list(reply["text"]["format"]) == ["name", "schema", "type", "description", "strict"]
    body = {"include": ["message.output_text.logprobs"], "top_logprobs": 1, **QUIET}
    reply = ask.json("/v1/responses", input="Say: hi", **body)
    (entry,) = reply["output"][0]["content"][0]["logprobs"]
    assert list(entry) == ["token", "bytes", "logprob", "top_logprobs"]
