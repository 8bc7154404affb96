"""The simulator's Anthropic Messages, asked without our client: what vLLM answers, in the same words."""

from __future__ import annotations

import json

import pytest

from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

HELLO = [{"role": "user", "content": "Say: hello"}]
TOOL = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASKED = {"model": "sim-chat", "messages": HELLO, "max_tokens": 100, "temperature": 0}


@pytest.fixture(scope="module")
def server():
    with SimServer() as server:
        yield server


def ask(server, path="/v1/messages", **params):
    return httpx.post(server.url + path, json={**ASKED, **params}, timeout=10)


def events(server, **params):
    text = ask(server, stream=True, **params).text
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    assert all(name == f"event: {json.loads(data[6:])['type']}" for name, data in blocks)
    return [json.loads(data[6:]) for _, data in blocks]


def test_a_message(server):
    message = ask(server).json()
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][1]["text"] == "hello"
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert "stop_sequence" not in message
    assert set(message["usage"]) == {
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    }


def test_a_stream(server):
    told = events(server)
    assert told[0]["message"]["content"] == []
    assert told[-1] == {"type": "message_stop"}
    assert told[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "hello"
    assert [delta["type"] for delta in deltas].count("signature_delta") == 1


def test_a_tool(server):
    message = ask(server, tools=[TOOL], tool_choice={"type": "any"}).json()
    assert message["stop_reason"] == "tool_use"
    call = message["content"][-1]
    assert (call["type"], call["name"]) == ("tool_use", "get_weather")
    assert isinstance(call["input"]["city"], str)
    told = events(server, tools=[TOOL], tool_choice={"type": "tool", "name": "get_weather"})
    pieces = [event["delta"].get("partial_json", "") for event in told if "delta" in event]
    assert json.loads("".join(pieces))["city"]


def test_results_of_tools_and_systems_are_turns(server):
    turns = [
        *HELLO,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "1", "name": "get_weather", "input": {"city": "x"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
    ]
    few = ask(server, "/v1/messages/count_tokens", tools=[TOOL]).json()["input_tokens"]
    more = ask(server, "/v1/messages/count_tokens", tools=[TOOL], messages=turns).json()["input_tokens"]
    most = ask(server, "/v1/messages/count_tokens", tools=[TOOL], messages=turns, system="Be brief.").json()
    assert few < more < most["input_tokens"]
    assert most["context_management"] == {"original_input_tokens": most["input_tokens"]}


def test_stops(server):
    assert ask(server, max_tokens=2).json()["stop_reason"] == "max_tokens"
    stopped = ask(server, stop_sequences=["ell"], thinking={"type": "disabled"}).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "ell")


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ({"model": "nobody"}, 404, "nobody"),
        ({"top_p": 2}, 400, "top_p"),
        ({"messages": [{"role": "user", "content": "word " * 40000}]}, 400, "maximum context length"),
    ],
)
def test_refusals_are_anthropics(server, params, status, message):
    reply = ask(server, **params)
    assert reply.status_code == status
    assert reply.json()["type"] == "error"
    assert message in reply.json()["error"]["message"]


def test_a_body_of_the_wrong_form_is_refused_before(server):
    reply = httpx.post(server.url + "/v1/messages", json={"model": "sim-chat", "messages": HELLO}, timeout=10)
    assert reply.status_code == 400
    assert "max_tokens" in reply.json()["error"]["message"]


def test_no_server_decides_without_a_token_for_yes(server):
    reply = httpx.post(server.url + "/v1/systemone", json={}, timeout=10)
    assert reply.status_code == 501
