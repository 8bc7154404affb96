"""Every operation through the gateway, by plain HTTP, the stock SDK, Anthropic's, and our own client."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.media import tone
from tests.serve.conftest import Running, Serve

from vllm_connect import VLLM
from vllm_connect.sim import SimServer

MESSAGES: Any = [{"role": "user", "content": "hi"}]
CURL = {
    "model": "vllm/BAAI/bge-reranker-v2-m3",
    "query": "What is machine learning?",
    "documents": [
        {"text": "Machine learning is a subset of AI."},
        {"text": "Python is a programming language."},
        {"text": "Deep learning uses neural networks."},
    ],
    "params": {"return_documents": True},
}


def stock(gateway: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-of-the-client", max_retries=0)


@pytest.fixture(params=["stock", "ours"])
def client(request: pytest.FixtureRequest, gateway: Running) -> Iterator[Any]:
    ours = VLLM(gateway.url, api_key="sk-of-the-client", max_retries=0)
    with stock(gateway) if request.param == "stock" else ours as client:
        yield client
    ours.close()


class TestBothClients:
    def test_chat(self, client: Any) -> None:
        reply = client.chat.completions.create(model="vllm/llama", messages=MESSAGES)
        assert reply.choices[0].message.content == "Hello! I am a tiny test model."
        assert reply.usage.completion_tokens > 0

    def test_chat_stream(self, client: Any) -> None:
        stream = client.chat.completions.create(model="llama", messages=MESSAGES, stream=True)
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == "Hello! I am a tiny test model."
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_completions(self, client: Any) -> None:
        reply = client.completions.create(model="llama", prompt=["one", "two"], max_tokens=5)
        assert [choice.index for choice in reply.choices] == [0, 1]
        chunks = list(client.completions.create(model="llama", prompt="one", max_tokens=5, stream=True))
        assert chunks[-1].choices[0].finish_reason == "length"

    def test_responses(self, client: Any) -> None:
        reply = client.responses.create(model="llama", input="hi")
        assert reply.output_text == "Hello! I am a tiny test model."
        events = list(client.responses.create(model="llama", input="hi", stream=True))
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == reply.output_text

    @pytest.mark.parametrize("encoding", [None, "float", "base64"])
    def test_embeddings(self, client: Any, encoding: str | None) -> None:
        options = {} if encoding is None else {"encoding_format": encoding}
        reply = client.embeddings.create(model="llama", input=["a", "b", "c"], **options)
        direct = client.embeddings.create(model="llama", input="b", encoding_format="float")
        assert len(reply.data) == 3
        vector = reply.data[1].embedding
        if isinstance(vector, str):  # the stock SDK decodes base64 only where nobody asked for it
            vector = list(struct.unpack(f"<{len(direct.data[0].embedding)}f", base64.b64decode(vector)))
        assert vector == pytest.approx(direct.data[0].embedding, abs=1e-6)

    def test_models(self, client: Any) -> None:
        assert {"llama", "BAAI/bge-reranker-v2-m3"} <= {model.id for model in client.models.list()}

    def test_transcriptions(self, client: Any) -> None:
        file = ("a.wav", tone(440.0))
        assert client.audio.transcriptions.create(model="llama", file=file).text
        verbose = client.audio.transcriptions.create(
            model="llama", file=file, response_format="verbose_json", timestamp_granularities=["segment"]
        )
        assert verbose.segments is not None

    def test_streamed_transcription(self, client: Any) -> None:
        events = list(
            client.audio.transcriptions.create(model="llama", file=("a.wav", tone(440.0)), stream=True)
        )
        assert [event.type for event in events[-1:]] == ["transcript.text.done"]
        assert "".join(event.delta for event in events[:-1]) == events[-1].text != ""

    def test_tools_and_reasoning_pass_unchanged(self, client: Any, sim: SimServer) -> None:
        tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        client.chat.completions.create(
            model="llama",
            messages=MESSAGES,
            tools=[tool],
            extra_body={"top_k": 3, "chat_template_kwargs": {}},
        )
        body = sim.requests[-1].json
        assert body["tools"] == [tool]
        assert body["top_k"] == 3


class TestOurClient:
    @pytest.fixture
    def ours(self, gateway: Running) -> Iterator[VLLM]:
        with VLLM(gateway.url, max_retries=0) as client:
            yield client

    def test_rerank(self, ours: VLLM) -> None:
        reply = ours.rerank.create(model="llama", query="a", documents=["b", "a"], return_documents=True)
        assert [result.index for result in reply.results] == [1, 0]

    def test_scores_classes_vectors(self, ours: VLLM) -> None:
        assert len(ours.score.create(model="llama", queries="a", documents=["a", "b"]).data) == 2
        assert len(ours.classify.create(model="llama", input=["a", "b"]).data) == 2
        assert len(ours.pooling.create(model="llama", input=["a", "b"]).data) == 2

    def test_tokens(self, ours: VLLM) -> None:
        tokens = ours.tokenize(model="llama", prompt="a b").tokens
        assert ours.detokenize(model="llama", tokens=tokens).prompt == "a b"

    def test_a_served_model_is_found_with_its_context(self, ours: VLLM) -> None:
        served = next(model for model in ours.models.list() if model.id == "llama")
        assert served.max_model_len == 32768


def test_the_curl_of_the_page(gateway: Running, sim: SimServer) -> None:
    reply = gateway.post("/v1/rerank", CURL)
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert results[0]["index"] == 0
    assert {result["index"]: result["document"] for result in results} == dict(enumerate(CURL["documents"]))
    assert sim.requests[-1].json["model"] == "BAAI/bge-reranker-v2-m3"
    assert gateway.post("/rerank", CURL).json()["results"] == results


def test_the_curl_of_the_readme_is_that_of_the_page(gateway: Running) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    curl = re.search(r"curl -X POST http://localhost:8080/v1/rerank .*?-d '(.*?)'", readme, re.DOTALL)
    assert curl
    assert json.loads(curl[1]) == CURL
    reply = gateway.http.post("/v1/rerank", content=curl[1], headers={"Content-Type": "application/json"})
    assert reply.json()["results"][0]["document"] == CURL["documents"][0]  # type: ignore[index]


def test_rerank_without_documents_in_the_results(gateway: Running) -> None:
    reply = gateway.post("/v1/rerank", {**CURL, "params": {"top_n": 1}}).json()
    assert len(reply["results"]) == 1
    assert "document" not in reply["results"][0]


def test_translations(gateway: Running) -> None:
    files = {"file": ("a.wav", tone(440.0))}
    reply = gateway.http.post("/v1/audio/translations", data={"model": "vllm/llama"}, files=files)
    assert reply.status_code == 200
    assert reply.json()["text"]
    text = {"model": "llama", "response_format": "text"}
    assert gateway.http.post("/v1/audio/transcriptions", data=text, files=files).text
    for bad in ({"files": {"other": b"x"}}, {"json": {"model": "llama"}}):
        refused = gateway.http.post("/v1/audio/translations", **bad)  # type: ignore[arg-type]
        assert refused.status_code == 400
        assert "file" in refused.json()["error"]["message"]


def test_nulls_say_nothing(gateway: Running, sim: SimServer) -> None:
    body = {"model": "llama", "messages": MESSAGES, "stop": None, "tools": None, "stream": None}
    assert gateway.post("/v1/chat/completions", body).status_code == 200
    assert sim.requests[-1].json == {"model": "llama", "messages": MESSAGES}


def test_models_of_all_keys_as_their_lists_allow(serve: Serve) -> None:
    with SimServer(models=["a", "b"]) as one, SimServer(models=["b", "c"]) as two:
        config = {
            "keys": [
                {
                    "name": "one",
                    "models": ["a", "short"],
                    "aliases": {"short": "a"},
                    "vllm_key_config": {"url": one.url},
                },
                {"name": "two", "blacklisted_models": ["c"], "vllm_key_config": {"url": two.url}},
            ]
        }
        gateway = serve(config=config)
        listed = gateway.http.get("/v1/models").json()
        assert [model["id"] for model in listed["data"]] == ["a", "b", "short"]
        assert [status["key_name"] for status in listed["key_statuses"]] == ["one", "two"]
        assert gateway.http.get("/v1/models/vllm/b").json()["id"] == "b"
        assert gateway.http.get("/v1/models/c").status_code == 404
        reply = gateway.post("/v1/chat/completions", {"model": "short", "messages": MESSAGES})
        assert reply.headers["x-vllm-connect-key"] == "one"
        assert one.requests[-1].json["model"] == "a"
        refused = gateway.post("/v1/chat/completions", {"model": "c", "messages": MESSAGES})
        assert refused.status_code == 404
        assert refused.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "path", ["images/generations", "audio/speech", "files", "files/file-1", "batches", "fine_tuning/jobs"]
)
def test_what_vllm_lacks_is_refused(gateway: Running, sim: SimServer, path: str) -> None:
    reply = gateway.http.post(f"/v1/{path}", content=b"anything")
    assert reply.status_code == 501
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
    assert not sim.requests
    with stock(gateway) as client, pytest.raises(openai.InternalServerError):
        client.images.generate(prompt="a cat")


def test_no_credentials_of_a_client_reach_a_server(gateway: Running, sim: SimServer) -> None:
    headers = {"Authorization": "Bearer sk-of-the-client", "Cookie": "a=b", "X-Api-Key": "sk-of-the-client"}
    gateway.post("/v1/chat/completions", {"model": "llama", "messages": MESSAGES}, headers=headers)
    sent = json.dumps(dict(sim.requests[-1].headers))
    assert "sk-of-the-client" not in sent
    assert "cookie" not in sent.lower()


def test_a_keys_own_credentials_are_sent(serve: Serve) -> None:
    with SimServer(api_key="sk-of-the-key", models="llama") as sim:
        config = {"keys": [{"name": "a", "value": "sk-of-the-key", "vllm_key_config": {"url": sim.url}}]}
        gateway = serve(config=config)
        headers = {"Authorization": "Bearer sk-of-the-client"}
        reply = gateway.post(
            "/v1/chat/completions", {"model": "llama", "messages": MESSAGES}, headers=headers
        )
        assert reply.status_code == 200


@pytest.mark.parametrize(
    "header", ["X-Session-ID", "x-bf-session-id", "X-Claude-Code-Session-Id", "session_id", "session-id"]
)
def test_a_session_stays_with_its_server(serve: Serve, header: str) -> None:
    with SimServer(models="llama") as one, SimServer(models="llama") as two:
        gateway = serve(one, two)
        for turn in range(6):
            gateway.post(
                "/v1/chat/completions",
                {"model": "llama", "messages": MESSAGES},
                headers={header: f"s{turn % 1}"},
            )
        assert sorted([len(one.requests), len(two.requests)]) == [0, 6]
        asked = (one.requests or two.requests)[0]
        assert asked.headers["x-session-id"] == "s0"


def test_a_trace_goes_on(gateway: Running, sim: SimServer) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"model": "llama", "messages": MESSAGES}
    gateway.post("/v1/chat/completions", body, headers={"traceparent": trace, "X-Request-Id": "r1"})
    assert sim.requests[-1].headers["traceparent"] == trace
    assert sim.requests[-1].headers["x-request-id"] == "r1"


def test_request_options_cannot_be_smuggled_in(gateway: Running, sim: SimServer) -> None:
    body = {"model": "llama", "input": "hi", "extra_headers": {"x-smuggled": "yes"}, "timeout": 0.001}
    for path in ("/v1/responses", "/v1/embeddings", "/v1/classify"):
        gateway.post(path, body)
        assert "x-smuggled" not in sim.requests[-1].headers


@pytest.mark.parametrize("responses_api", ["auto", "native"])
def test_responses_of_the_servers_own_route(serve: Serve, responses_api: Any) -> None:
    """Streamed as the server streams them; what follows one goes to the server that made it."""
    with SimServer(models="llama") as one, SimServer(models="llama") as two:
        gateway = serve(one, two, responses_api=responses_api, balance="round_robin")
        body = {"model": "llama", "input": "Say: hi", "store": True, "stream": True}
        for _ in range(3):
            counts = {sim: len(sim.requests) for sim in (one, two)}
            lines = gateway.events("/v1/responses", body)
            (made,) = (sim for sim, count in counts.items() if len(sim.requests) > count)
            assert made.requests[-1].path == "/v1/responses"
            events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
            assert events[-1]["type"] == "response.completed"
            assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "hi"
            identifier = events[0]["response"]["id"]
            for method, path in (
                ("GET", f"/v1/responses/{identifier}"),
                ("POST", f"/v1/responses/{identifier}/cancel"),
            ):
                assert gateway.http.request(method, path).status_code == 404  # the simulator keeps none
                assert path in [request.path for request in made.requests]
            made.fail_next("unfinished", after=2)
            other = two if made is one else one
            other.fail_next("unfinished", after=2)
            lines = gateway.events("/v1/responses", body)
            assert "event: response.completed" not in lines
            assert any("error" in line for line in lines[-2:])
            one.reset()
            two.reset()
