"""Every key of an answer, nulls included, in the order in which vLLM 0.32 sends them.

The keys were written down from what running servers answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import CHAT, QUIET, Caller, said, tool

USAGE = ["prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"]
USAGE += ["completion_tokens_details"]
COMPLETION = ["id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage"]
CHAT_REPLY = [
    *COMPLETION,
    *("prompt_logprobs", "prompt_token_ids", "prompt_text"),
    *("kv_transfer_params", "ec_transfer_params", "metrics"),
]
CHOICE = ["index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids", "routed_experts"]
MESSAGE = ["role", "content", "refusal", "annotations", "audio", "function_call", "reasoning"]
CHUNK = ["id", "object", "created", "model", "choices"]
RESPONSE = [
    *("id", "created_at", "incomplete_details", "instructions", "metadata", "model", "object", "output"),
    *("parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "background"),
    *("max_output_tokens", "max_tool_calls", "previous_response_id", "prompt", "reasoning", "service_tier"),
    *("status", "text", "top_logprobs", "truncation", "usage", "user", "presence_penalty"),
    *("frequency_penalty", "kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages"),
]


def test_chat(ask: Caller) -> None:
    reply = ask.json(CHAT, messages=said("Say: hello"))
    assert list(reply) == CHAT_REPLY
    assert reply["id"].startswith("chatcmpl-")
    assert reply["object"] == "chat.completion"
    assert reply["system_fingerprint"] == "vllm-sim-00000000"
    (choice,) = reply["choices"]
    assert list(choice) == CHOICE
    assert list(choice["message"]) == MESSAGE
    assert list(reply["usage"]) == USAGE
    details = reply["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None}
    assert reply["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}


def test_chat_with_a_tool_call(ask: Caller) -> None:
    choice = ask.chat("Call get_weather {}", tools=[tool()])
    assert list(choice["message"]) == [*MESSAGE[:-1], "tool_calls", "reasoning"]
    (call,) = choice["message"]["tool_calls"]
    assert list(call) == ["id", "type", "function"]
    assert call["id"].startswith("chatcmpl-tool-")
    assert list(call["function"]) == ["name", "arguments"]


def test_chat_stream(ask: Caller) -> None:
    first, *middle, last, done = ask.chat_events("Say: hello")
    assert done == "[DONE]"
    assert list(first) == [*CHUNK, "prompt_token_ids", "prompt_text"]
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    for chunk in middle:
        assert list(chunk) == CHUNK
        assert list(chunk["choices"][0]) == ["index", "delta", "logprobs", "finish_reason", "token_ids"]
    deltas = [chunk["choices"][0]["delta"] for chunk in middle]
    assert deltas[0] == {"reasoning": "I"}
    assert deltas[-1] == {"content": "o"}
    assert list(last) == [*CHUNK, "system_fingerprint"]
    keys = ["index", "delta", "logprobs", "finish_reason", "stop_reason", "token_ids"]
    assert list(last["choices"][0]) == keys
    assert last["choices"][0]["delta"] == {}


def test_chat_stream_with_usage(ask: Caller) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last, done = ask.chat_events("Say: hello", stream_options=options, **QUIET)
    assert done == "[DONE]"
    assert all("system_fingerprint" not in chunk for chunk in chunks)
    assert list(chunks[0]) == [*CHUNK, "usage", "prompt_token_ids", "prompt_text"]
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 2, 3]
    assert chunks[1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert "prompt_tokens_details" not in chunks[1]["usage"]
    assert last["choices"] == []
    assert list(last) == [*CHUNK, "usage", "system_fingerprint"]
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "created_cache_tokens": 0}


def test_tool_call_stream(ask: Caller) -> None:
    content = 'Call get_weather {"city": "Rome"}\nCall add {"a": 1}'
    chunks = ask.chat_events(content, tools=[tool(), tool("add", a={"type": "integer"})], **QUIET)
    calls = [chunk["choices"][0]["delta"] for chunk in chunks[1:-2]]
    assert all(list(delta) == ["content", "tool_calls"] and delta["content"] is None for delta in calls)
    pieces = [delta["tool_calls"][0] for delta in calls]
    heads = [piece for piece in pieces if "id" in piece]
    assert [list(head) for head in heads] == [["id", "type", "index", "function"]] * 2
    assert [head["function"] for head in heads] == [{"name": "get_weather"}, {"name": "add"}]
    assert all(list(piece) == ["index", "function"] for piece in pieces if "id" not in piece)
    assert [piece["index"] for piece in pieces] == sorted(piece["index"] for piece in pieces)
    arguments = ["", ""]
    for piece in pieces:
        arguments[piece["index"]] += piece["function"].get("arguments", "")
    assert arguments == ['{"city": "Rome"}', '{"a": 1}']
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_completions(ask: Caller) -> None:
    reply = ask.json("/v1/completions", prompt="The capital of France is")
    assert list(reply) == [*COMPLETION, "kv_transfer_params", "ec_transfer_params", "metrics"]
    assert reply["id"].startswith("cmpl-")
    assert list(reply["choices"][0]) == [
        *("index", "text", "logprobs", "finish_reason", "stop_reason", "token_ids"),
        *("prompt_logprobs", "prompt_token_ids", "routed_experts"),
    ]
    assert reply["usage"]["prompt_tokens_details"]["created_cache_tokens"] is None
    assert reply["usage"]["completion_tokens_details"] is None


def test_completions_stream(ask: Caller) -> None:
    options = {"include_usage": True}
    *chunks, usage, done = ask.events("/v1/completions", prompt="Hello", stream_options=options)
    assert done == "[DONE]"
    keys = ["index", "text", "logprobs", "finish_reason", "stop_reason", "prompt_token_ids", "token_ids"]
    assert all(list(chunk) == CHUNK and list(chunk["choices"][0]) == keys for chunk in chunks)
    assert list(usage) == [*CHUNK, "usage", "system_fingerprint"]
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def test_responses(ask: Caller) -> None:
    reply = ask.json("/v1/responses", input="Say: hello")
    assert list(reply) == RESPONSE
    thought, answer = reply["output"]
    assert list(thought) == ["id", "summary", "type", "content", "encrypted_content", "status"]
    assert list(answer) == ["id", "content", "role", "status", "type", "phase"]
    assert list(answer["content"][0]) == ["annotations", "text", "type", "logprobs"]
    assert list(reply["usage"]) == [
        *("input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens")
    ]


def test_responses_stream(ask: Caller) -> None:
    reply = ask.post("/v1/responses", input="Say: hello", stream=True)
    names = [line[7:] for line in reply.text.splitlines() if line.startswith("event: ")]
    item = ["response.output_item.added", "response.content_part.added"]
    done = ["response.content_part.done", "response.output_item.done"]
    thought = ["response.reasoning_text.delta"] * 4 + ["response.reasoning_text.done"]
    answer = ["response.output_text.delta"] * 2 + ["response.output_text.done"]
    assert names == [
        *("response.created", "response.in_progress"),
        *(*item, *thought, *done),
        *(*item, *answer, *done),
        "response.completed",
    ]
    assert "[DONE]" not in reply.text


def test_responses_function_call_stream(ask: Caller) -> None:
    function = {"type": "function", **tool()["function"]}
    events = ask.events("/v1/responses", input='Call get_weather {"city": "Rome"}', tools=[function], **QUIET)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added, *deltas, done, item, completed = events[2:]
    keys = ["arguments", "call_id", "name", "type", "id", "async", "caller", "namespace", "status"]
    assert list(added["item"]) == list(item["item"]) == keys
    assert "".join(event["delta"] for event in deltas) == done["arguments"] == '{"city": "Rome"}'
    assert list(done)[-2:] == ["type", "name"]
    assert completed["response"]["output"] == [item["item"]]


def test_embeddings(ask: Caller) -> None:
    reply = ask.json("/v1/embeddings", input=["a", "b"])
    assert list(reply) == ["id", "object", "created", "model", "data", "usage"]
    assert reply["id"].startswith("embd-")
    assert [list(item) for item in reply["data"]] == [["index", "object", "embedding"]] * 2
    assert list(reply["usage"]) == USAGE


def test_rerank(ask: Caller) -> None:
    reply = ask.json("/v1/rerank", query="a", documents=["a", "b"])
    assert list(reply) == ["id", "model", "usage", "results"]
    assert reply["id"].startswith("score-")
    assert list(reply["usage"]) == ["prompt_tokens", "total_tokens"]
    assert list(reply["results"][0]) == ["index", "document", "relevance_score"]
    assert reply["results"][0]["document"] == {"text": "a", "multi_modal": None}


@pytest.mark.parametrize(
    ("path", "body", "prefix", "item"),
    [
        ("/score", {"text_1": "a", "text_2": "a"}, "score-", ["index", "object", "score"]),
        ("/classify", {"input": "a"}, "classify-", ["index", "label", "probs", "num_classes"]),
        ("/pooling", {"input": "a"}, "pooling-", ["index", "object", "data"]),
    ],
)
def test_other_pooling(ask: Caller, path: str, body: dict[str, Any], prefix: str, item: list[str]) -> None:
    reply = ask.json(path, **body)
    assert list(reply) == ["id", "object", "created", "model", "data", "usage"]
    assert reply["id"].startswith(prefix)
    assert list(reply["data"][0]) == item


def test_models(serve: Callable[..., Caller]) -> None:
    cards = serve(models=["llama", "alias"], max_model_len=512).http.get("/v1/models").json()
    assert [card["id"] for card in cards["data"]] == ["llama", "alias"]
    keys = ["id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission"]
    assert list(cards["data"][0]) == keys
    assert cards["data"][0]["max_model_len"] == 512
    assert len(cards["data"][0]["permission"][0]) == 12


def test_tokenize(ask: Caller) -> None:
    reply = ask.json("/tokenize", prompt="Hello world", return_token_strs=True)
    assert list(reply) == ["count", "max_model_len", "tokens", "token_strs"]
    assert reply["token_strs"] == ["Hell", "o", "Ġwor", "ld"]
    assert ask.json("/detokenize", tokens=reply["tokens"]) == {"prompt": "Hello world"}


def test_server_information(ask: Caller) -> None:
    assert ask.http.get("/version").json() == {"version": "sim"}
    assert ask.http.get("/load").json() == {"server_load": 0}
    assert ask.http.get("/health").content == b""
    assert ask.http.get("/ping").status_code == ask.http.post("/ping").status_code == 200
    metrics = ask.http.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert '\nvllm:num_requests_running{engine="0",model_name="sim-chat"} ' in metrics.text
