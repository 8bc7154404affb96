"""What a caller passes, as what goes on the wire."""

import datetime
import json
import warnings
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import NOT_GIVEN, omit
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from vllm_connect import UnsupportedOperationError
from vllm_connect._transport._httpx import httpx
from vllm_connect._wire import body as params
from vllm_connect._wire.objects import Reader
from vllm_connect.resources.chat import ChatCompletionParams
from vllm_connect.resources.completions import CompletionParams
from vllm_connect.types import ChatCompletion

ROWS = json.loads((Path(__file__).parent / "data" / "replies.json").read_text("utf-8"))
HELLO = [{"role": "user", "content": "Hi"}]
ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
}  # fmt: skip
NATIVE = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "status": "completed"}
COMPLETION = {**ANSWER, "object": "text_completion", "choices": [{"index": 0, "text": "a"}]}


@pytest.fixture
def sent(canned):
    """Makes a chat completion, and returns the body that was sent."""

    async def send(**given):
        client = canned((200, ANSWER))
        given.setdefault("messages", HELLO)
        await client("chat.completions.create", **given)
        return json.loads(client.requests[0].content)

    return send


# --- set and unset ---------------------------------------------------------------------------------

UNSET = [None, omit, NOT_GIVEN]


@pytest.mark.parametrize("unset", UNSET)
async def test_unset_is_never_sent(canned, unset):
    names = ChatCompletionParams.__annotations__.keys() - {"messages", "timeout"}
    client = canned((200, ANSWER))
    await client("chat.completions.create", messages=HELLO, stream=unset, **dict.fromkeys(names, unset))
    assert json.loads(client.requests[0].content) == {"messages": HELLO}
    names = CompletionParams.__annotations__.keys() - {"prompt", "timeout"}
    client = canned((200, COMPLETION))
    await client("completions.create", prompt="a", stream=unset, **dict.fromkeys(names, unset))
    assert json.loads(client.requests[0].content) == {"prompt": "a"}


async def test_zero_false_and_empty_are_set(sent):
    given = {"temperature": 0, "seed": 0, "logprobs": False, "stop": "", "min_p": 0.0, "bad_words": []}
    assert await sent(**given) == {"messages": HELLO, **given}


async def test_everything_set_is_sent_as_it_is(sent):
    given = {
        "model": "m",
        "max_tokens": 5,
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": False, "nested": {"none": None}},
        "structured_outputs": {"choice": ["yes", "no"]},
        "vllm_xargs": {"a": 1},
        "reasoning_effort": "xhigh",
        "stop": ["a", "b"],
    }
    assert await sent(**given) == {"messages": HELLO, **given}


async def test_stream_is_sent_only_when_true(canned):
    client = canned((200, ANSWER))
    for value in (False, None, omit):
        await client("chat.completions.create", messages=HELLO, stream=value)
    assert all("stream" not in json.loads(request.content) for request in client.requests)


# --- extra_body ------------------------------------------------------------------------------------


async def test_extra_body(sent):
    extra = {"temperature": 0.5, "new_in_vllm": {"a": None}, "other": None}  # what is in here is meant
    assert await sent(temperature=1, extra_body=extra) == {"messages": HELLO, **extra}


@pytest.mark.parametrize("extra", [["a"], "a", 5])
async def test_extra_body_that_is_no_mapping(sent, extra):
    with pytest.raises(TypeError, match=r"chat\.completions\.create: extra_body must be a mapping, not "):
        await sent(extra_body=extra)


# --- guided_* --------------------------------------------------------------------------------------


class Person(BaseModel):
    name: str


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("given", "structured"),
    [
        ({"guided_json": {"type": "object"}}, {"json": {"type": "object"}}),
        ({"guided_json": '{"type": "object"}'}, {"json": '{"type": "object"}'}),
        ({"guided_json": Person}, {"json": Person.model_json_schema()}),
        ({"guided_regex": "a+"}, {"regex": "a+"}),
        ({"guided_choice": ["a", "b"]}, {"choice": ["a", "b"]}),
        ({"guided_grammar": "root ::= 'a'"}, {"grammar": "root ::= 'a'"}),
        ({"guided_regex": "a", "guided_whitespace_pattern": " "}, {"regex": "a", "whitespace_pattern": " "}),
    ],
)
async def test_guided_is_translated(sent, given, structured, inside):
    with pytest.warns(DeprecationWarning, match="structured_outputs") as caught:
        body = await sent(**({"extra_body": given} if inside else given))
    assert body == {"messages": HELLO, "structured_outputs": structured}
    assert len(caught) == 1
    assert all(name in str(caught[0].message) for name in given)


async def test_guided_beside_structured_outputs(sent):
    with pytest.warns(DeprecationWarning, match="guided_choice"):
        body = await sent(guided_choice=["a"], structured_outputs={"disable_any_whitespace": True})
    assert body["structured_outputs"] == {"disable_any_whitespace": True, "choice": ["a"]}


async def test_guided_none_constrains_nothing(sent):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await sent(guided_json=None, guided_regex=omit) == {"messages": HELLO}
    with pytest.warns(DeprecationWarning, match="guided_json"):
        assert await sent(extra_body={"guided_json": None}) == {"messages": HELLO}


async def test_the_warning_points_at_the_caller(canned, kind):
    chat = canned((200, ANSWER)).client.chat.completions
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind == "sync":
            chat.create(messages=HELLO, guided_choice=["a"])
        else:
            await chat.create(messages=HELLO, guided_choice=["a"])
    assert caught[0].filename == __file__


# --- unknown names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "required", "wrong", "meant"),
    [
        ("chat.completions.create", {"messages": HELLO}, "temprature", "temperature"),
        ("chat.completions.create", {"messages": HELLO}, "extra_boddy", "extra_body"),
        ("completions.create", {"prompt": "a"}, "max_token", "max_tokens"),
        ("embeddings.create", {"input": "a"}, "dimension", "dimensions"),
        ("rerank.create", {"query": "a", "documents": ["a"]}, "top_k", "top_n"),
        ("score.create", {"text_1": "a", "text_2": "a"}, "text_3", "text_"),
        ("classify.create", {"input": "a"}, "inputs", "input"),
        ("pooling.create", {"input": "a"}, "tasks", "task"),
        ("tokenize", {"prompt": "a"}, "promt", "prompt"),
        ("detokenize", {"tokens": [1]}, "token", "tokens"),
        ("models.list", {}, "extra_header", "extra_headers"),
        ("audio.transcriptions.create", {"file": b"a"}, "langage", "language"),
        ("audio.translations.create", {"file": b"a"}, "promt", "prompt"),
        ("server.version", {}, "keys", "key"),
    ],
)
async def test_unknown_name(canned, operation, required, wrong, meant):
    client = canned((200, ANSWER))
    with pytest.raises(TypeError) as raised:
        await client(operation, **required, **{wrong: 1})
    message = str(raised.value)
    assert f"{operation}() got an unexpected keyword argument {wrong!r}" in message
    assert f"did you mean '{meant}" in message
    assert f"extra_body={{{wrong!r}: …}}" in message
    assert not client.requests


async def test_unknown_name_of_a_response(canned):
    client = canned((200, ANSWER))
    with pytest.raises(UnsupportedOperationError, match=r"max_output_token=.*put it into extra_body"):
        await client("responses.create", input="a", max_output_token=1)
    assert not client.requests


async def test_unknown_name_that_resembles_nothing(sent):
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzzz': Fields that only your server"):
        await sent(zzzz=1)


# --- values that JSON lacks ------------------------------------------------------------------------


async def test_values(sent):
    body = await sent(
        logit_bias={15339: 1, "7": -1},
        seed=2**70,
        temperature=np.float32(0.5),
        stop_token_ids=np.array([1, 2]),
        bad_words=(word for word in ["a", "b"]),
        allowed_token_ids=range(3),
        stop=("a",),
        metadata=MappingProxyType({"a": "b"}),
        messages=(message for message in HELLO),
        tools=({"type": "function"} for _ in range(1)),
    )
    assert body == {
        "logit_bias": {"15339": 1, "7": -1}, "seed": 2**70, "temperature": 0.5, "stop_token_ids": [1, 2],
        "bad_words": ["a", "b"], "allowed_token_ids": [0, 1, 2], "stop": ["a"], "metadata": {"a": "b"},
        "messages": HELLO, "tools": [{"type": "function"}],
    }  # fmt: skip
    assert (await sent(user=datetime.date(2026, 1, 2)))["user"] == "2026-01-02"


@pytest.mark.parametrize(
    "second", [{"logit_bias": {15339: 1}}, {"seed": 2**64}, {"seed": 2**64, "logit_bias": {1: 1}}]
)
async def test_what_can_be_read_once_survives_a_second_attempt(sent, second):
    content = ({"type": "text", "text": text} for text in "ab")
    body = await sent(messages=iter([{"role": "user", "content": content}]), **second)
    assert [part["text"] for part in body["messages"][0]["content"]] == ["a", "b"]
    assert body["logit_bias" if "logit_bias" in second else "seed"]


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.integers(-(2**63), 2**63)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=4))
def test_any_json_is_encoded_as_python_would(body):
    assert json.loads(params.encode(body)) == json.loads(json.dumps(body))


@pytest.mark.parametrize("value", [b"bytes", bytearray(b"a"), memoryview(b"a"), object(), 1j])
async def test_value_that_cannot_be_sent(sent, value):
    with pytest.raises(TypeError, match=rf"JSON.*\b{type(value).__name__}\b"):
        await sent(messages=[{"role": "user", "content": value}])


# --- messages sent back ----------------------------------------------------------------------------

REPLIES = [
    pytest.param(row["body"].encode(), id=row["name"])
    for row in ROWS
    if row["path"] == "/v1/chat/completions" and "json" in row["content_type"]
]


@pytest.mark.parametrize("data", REPLIES)
def test_message_of_a_reply_is_sent_back_whole_and_without_nulls(data):
    sent = json.loads(data)["choices"][0]["message"]
    message = Reader(ChatCompletion, "choices")(data).choices[0].message
    assert json.loads(params.encode({"messages": [message]}))["messages"] == [
        {name: value for name, value in sent.items() if value is not None}
    ]


def test_some_of_them_have_tool_calls_and_some_reasoning():
    messages = [json.loads(param.values[0])["choices"][0]["message"] for param in REPLIES]
    assert sum("tool_calls" in message for message in messages) >= 5
    assert sum(message["reasoning"] is not None for message in messages) >= 5


async def test_the_sdks_own_message_and_old_reasoning(sent, canned):
    plain = ChatCompletionMessage(role="assistant", content="a", refusal=None)
    assert (await sent(messages=[plain]))["messages"] == [{"role": "assistant", "content": "a"}]
    old = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": None}
    client = canned((200, {**ANSWER, "choices": [{"index": 0, "message": old}]}), (200, ANSWER))
    answer = await client("chat.completions.create", messages=HELLO)
    await client("chat.completions.create", messages=[*HELLO, answer.choices[0].message])
    assert json.loads(client.requests[1].content)["messages"] == [
        *HELLO, {"role": "assistant", "reasoning_content": "hm"},
    ]  # fmt: skip


async def test_parsed_message_is_sent_back_without_what_was_parsed(canned):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": '{"name": "Ada"}', "reasoning": "hm", "tool_calls": [call]}
    client = canned((200, {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
    answer = await client("chat.completions.parse", messages=HELLO, response_format=Person)
    parsed = answer.choices[0].message
    assert parsed.parsed == Person(name="Ada")
    parsed.tool_calls[0].function.parsed_arguments = {"a": 1}
    apart = {"role": "assistant", "tool_calls": parsed.tool_calls}
    await client("chat.completions.create", messages=[parsed, apart])
    assert json.loads(client.requests[1].content)["messages"] == [
        message, {"role": "assistant", "tool_calls": [call]},
    ]  # fmt: skip


# --- retries, headers, query, timeouts -------------------------------------------------------------


async def test_a_retry_sends_the_same_bytes(canned):
    client = canned((503, b""), (503, b""), (200, ANSWER), max_retries=2)
    messages = ({"role": "user", "content": text} for text in ["é", "b"])
    await client("chat.completions.create", model="m", messages=messages, logit_bias={1: 1}, seed=2**65)
    bodies = {request.content for request in client.requests}
    assert len(client.requests) == 3
    assert len(bodies) == 1
    assert [m["content"] for m in json.loads(bodies.pop())["messages"]] == ["é", "b"]


async def test_headers_and_query_arrive(canned):
    everywhere = {"default_headers": {"X-A": "1", "X-B": "1"}, "default_query": {"q": "1", "r": "1"}}
    client = canned((200, ANSWER), **everywhere)
    await client(
        "chat.completions.create",
        messages=HELLO,
        extra_headers={"X-B": "2", "X-C": "3", "User-Agent": omit},
        extra_query={"r": "2", "s": ["x", "y"]},
    )
    request = client.requests[0]
    assert [request.headers.get(name) for name in ("x-a", "x-b", "x-c")] == ["1", "2", "3"]
    assert "vllm-connect" not in request.headers.get("user-agent", "")
    assert request.url.params["q"] == "1"
    assert request.url.params["r"] == "2"
    assert "x" in request.url.query.decode()
    assert request.url.path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("timeout", "read"),
    [(5, 5), (httpx.Timeout(7, read=9), 9), (None, None), (omit, 30), (NOT_GIVEN, 30)],
)
async def test_timeout_arrives(canned, timeout, read):
    client = canned((200, ANSWER), timeout=30)
    await client("chat.completions.create", messages=HELLO, timeout=timeout)
    assert client.requests[0].extensions["timeout"]["read"] == read


async def test_extra_parameters_are_forwarded_unasked(canned):
    kwargs = {"enable_thinking": True}
    client = canned((200, ANSWER))
    await client("chat.completions.create", model="m", messages=HELLO, chat_template_kwargs=kwargs)
    await client(
        "chat.completions.create", model="m", messages=HELLO, extra_body={"chat_template_kwargs": kwargs}
    )
    await client("responses.create", model="m", input="Hi", chat_template_kwargs=kwargs)
    assert [json.loads(request.content)["chat_template_kwargs"] for request in client.requests] == [
        kwargs
    ] * 3


async def test_xhigh_reasoning_effort_is_preserved(canned):
    client = canned((200, ANSWER))
    await client(
        "chat.completions.create", model="qwen/qwen3.8-27b", messages=HELLO, reasoning_effort="xhigh"
    )
    assert json.loads(client.requests[0].content)["reasoning_effort"] == "xhigh"
    assert json.loads(client.requests[0].content)["model"] == "qwen/qwen3.8-27b"


async def test_xhigh_reasoning_effort_is_preserved_in_responses(canned):
    client = canned((200, NATIVE), responses_api="native")
    await client("responses.create", model="qwen/qwen3.8-27b", input="Hi", reasoning={"effort": "xhigh"})
    assert client.requests[0].url.path == "/v1/responses"
    assert json.loads(client.requests[0].content)["reasoning"] == {"effort": "xhigh"}
    client = canned((200, ANSWER))
    await client("responses.create", model="qwen/qwen3.8-27b", input="Hi", reasoning={"effort": "xhigh"})
    assert client.requests[0].url.path == "/v1/chat/completions"
    assert json.loads(client.requests[0].content)["reasoning_effort"] == "xhigh"


def test_thinking_is_switched_in_the_template():
    with pytest.raises(TypeError, match="pass chat_template_kwargs="):
        params.read_params(
            "chat.completions.create", {"enable_thinking": False}, frozenset({"chat_template_kwargs"})
        )
