"""Failures of servers, as the gateway tells them: the right status, and OpenAI's one shape."""

from __future__ import annotations

import re
from typing import Any

import openai
import pytest
from tests.serve.conftest import Running, Serve, keys_of

from vllm_connect.sim import Fault, SimServer

CHAT: Any = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
ASKED: dict[str, Any] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "llama", "prompt": "hi"},
    "/v1/responses": {"model": "llama", "input": "hi"},
    "/v1/embeddings": {"model": "llama", "input": "hi"},
    "/v1/rerank": {"model": "llama", "query": "a", "documents": ["a", "b"]},
    "/v1/score": {"model": "llama", "text_1": "a", "text_2": ["a", "b"]},
    "/v1/classify": {"model": "llama", "input": ["a"]},
    "/v1/pooling": {"model": "llama", "input": ["a"]},
    "/v1/tokenize": {"model": "llama", "prompt": "a"},
}
FIELDS = {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("400", 400),
        ("404", 404),
        ("422", 422),
        ("429; retry_after=7", 429),
        ("500", 500),
        ("503", 503),
        ("401", 502),
        ("error_200; code=404; message=gone", 404),
        ("error_200; code=503; shape=flat", 503),
        ("error_200; code=429; shape=string", 500),
        ("html; status=502", 502),
        ("status; code=500; shape=detail", 500),
        ("drop", 502),
        ("empty", 502),
        ("text; status=200; text=hello", 502),
        ("cut", 502),
    ],
)
def test_a_fault(gateway: Running, sim: SimServer, path: str, fault: str, status: int) -> None:
    sim.fail_always(Fault.of(fault))
    reply = gateway.post(path, ASKED[path])
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error.keys() == FIELDS
    assert error["message"]
    assert isinstance(error["type"], str)
    assert "http://" not in error["message"], "where servers are is nobody's business"
    assert str(sim.url.rpartition(":")[2]) not in reply.text
    if "retry_after" in fault:
        assert reply.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "fault",
    [
        "rerank_missing_index",
        "rerank_missing_score",
        "rerank_duplicate_index",
        "rerank_index_out_of_range",
        "rerank_not_list",
    ],
)
def test_a_rerank_that_is_none(gateway: Running, sim: SimServer, fault: str) -> None:
    sim.fail_next(fault)
    reply = gateway.post("/v1/rerank", ASKED["/v1/rerank"])
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "invalid_upstream_reply"


@pytest.mark.parametrize("fault", ["rerank_score_key", "rerank_zero_score", "rerank_unsorted"])
def test_a_rerank_that_is_one(gateway: Running, sim: SimServer, fault: str) -> None:
    sim.fail_next(fault)
    results = gateway.post("/v1/rerank", ASKED["/v1/rerank"]).json()["results"]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_are_in_order_and_complete(gateway: Running, sim: SimServer, encoding: str) -> None:
    body = {"model": "llama", "input": ["a", "b", "c"], "encoding_format": encoding}
    right = gateway.post("/v1/embeddings", body).json()["data"]
    sim.fail_next("data_shuffled")
    assert gateway.post("/v1/embeddings", body).json()["data"] == right
    sim.fail_always("data_one_missing")
    assert gateway.post("/v1/embeddings", body).status_code == 502


def test_too_long_a_prompt_has_its_code(gateway: Running) -> None:
    reply = gateway.post("/v1/completions", {"model": "llama", "prompt": "a " * 40_000})
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"


def test_an_unknown_model(gateway: Running) -> None:
    error = gateway.post("/v1/chat/completions", {**CHAT, "model": "nope"}).json()["error"]
    assert error["code"] == "model_not_found"
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
    with client, pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nope", messages=CHAT["messages"])


def test_a_key_without_a_url(serve: Serve) -> None:
    config = {"providers": {"vllm": {"keys": [{"name": "a", "vllm_key_config": {"model_name": "llama"}}],
                                     "network_config": {"base_url": "http://localhost:1"}}}}  # fmt: skip
    reply = serve(config=config).post("/v1/chat/completions", CHAT)
    assert reply.status_code == 500
    assert reply.json()["error"]["message"] == "no base URL configured: set vllm_key_config.url on key 'a'"


def test_no_server_at_all(serve: Serve) -> None:
    gateway = serve(config={"providers": {"vllm": {"keys": []}}})
    reply = gateway.post("/v1/chat/completions", CHAT)
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "no_server_configured"
    assert gateway.http.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b"[]", "must be a JSON object, not a list"),
        (b'"hi"', "must be a JSON object, not a text"),
        (b'{"model": 3, "messages": []}', "model must be a name"),
        (b'{"model": "llama", "messages": [], "session_id": 3}', "session_id must be text"),
    ],
)
def test_a_body_that_cannot_be_read(gateway: Running, sim: SimServer, content: bytes, said: str) -> None:
    reply = gateway.http.post("/v1/chat/completions", content=content)
    assert reply.status_code == 400
    assert said in reply.json()["error"]["message"]
    assert not sim.requests


def test_routes_and_methods(gateway: Running) -> None:
    assert gateway.http.get("/v1/nothing").json()["error"]["code"] == "unknown_route"
    reply = gateway.http.get("/v1/chat/completions")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert gateway.post("/v1/models", {}).status_code == 405


def test_what_chat_completions_cannot_do(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim, responses_api="chat")
    reply = gateway.post("/v1/responses", {"model": "llama", "input": "a", "previous_response_id": "resp_1"})
    assert reply.status_code == 501
    assert gateway.http.get("/v1/responses/resp_1").status_code == 501
    assert not sim.requests


def test_what_only_a_server_can_do_with_responses_is_its_own_error(gateway: Running, sim: SimServer) -> None:
    reply = gateway.post("/v1/responses", {"model": "llama", "input": "a", "previous_response_id": "resp_1"})
    assert (reply.status_code, sim.requests[-1].path) == (404, "/v1/responses")
    assert "resp_1" in reply.json()["error"]["message"]
    for method, path in (("GET", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel")):
        reply = gateway.http.request(method, path)
        assert (reply.status_code, sim.requests[-1].path) == (404, path)
    for method, path in (
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("GET", "/v1/responses/resp_1?stream=true"),
        ("GET", "/v1/responses/"),
    ):
        assert gateway.http.request(method, path).status_code == 501


@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/messages/count_tokens"])
def test_what_generates_nothing_is_asked_again_after_a_timeout(
    serve: Serve, sim: SimServer, path: str
) -> None:
    config = keys_of([sim])
    config["providers"]["vllm"]["network_config"] = {"default_request_timeout_in_seconds": 1}
    gateway = serve(config=config)
    sim.fail_next("stall", where="headers", seconds=30)
    body = CHAT if path.endswith("count_tokens") else ASKED[path]
    assert gateway.post(path, body).status_code == 200
    assert len(sim.requests) == 2


def test_a_failure_is_counted(serve: Serve, sim: SimServer) -> None:
    gateway = serve(sim)
    gateway.post("/v1/chat/completions", CHAT)
    sim.fail_next("500")
    gateway.post("/v1/chat/completions", CHAT)
    text = gateway.http.get("/metrics").text
    labels = 'operation="chat.completions.create"'
    assert re.search(
        rf'vllm_connect_requests_total{{key="sim0",model="llama",{labels},status="200"}} 1', text
    )
    assert re.search(
        rf'vllm_connect_errors_total{{error="server_error",key="sim0",model="",{labels}}} 1', text
    )
    assert re.search(
        rf'vllm_connect_tokens_total{{key="sim0",kind="output",model="llama",{labels}}} [1-9]', text
    )
    assert 'vllm_connect_server_state{key="sim0",state="resting"}' in text
