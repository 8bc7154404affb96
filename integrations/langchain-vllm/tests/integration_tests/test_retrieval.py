"""Embeddings, rerank and cross-encoder."""

from __future__ import annotations

import asyncio
import struct
import sys

import pytest
from langchain_core.documents import Document
from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError, ModelRateLimitError
from vllm_connect import InvalidResponseError
from vllm_connect.adapters import batching
from vllm_connect.sim import SimServer

from langchain_vllm import VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank
from tests.answering import answering
from tests.media import as_base64, png

TEXTS = [f"text number {i}" for i in range(10)]
QUERY = "What is the capital of France?"
DOCUMENTS = [
    Document("Cats purr.", id="d1", metadata={"source": "a"}),
    Document("Paris is the capital of France.", id="d2", metadata={"source": "b"}),
    Document("France is a country.", id="d3"),
]


@pytest.fixture(params=["sync", "async"])
def run(request):
    """Calls a method, or awaits its async twin."""

    def call(target, name, *args, **kwargs):
        if request.param == "sync":
            return getattr(target, name)(*args, **kwargs)
        return asyncio.run(getattr(target, f"a{name}")(*args, **kwargs))

    return call


def test_batches_in_order(sim, run):
    whole = run(VLLMEmbeddings(base_url=sim.url), "embed_documents", TEXTS)
    assert len(sim.requests) == 1
    sim.reset()
    batched = run(VLLMEmbeddings(base_url=sim.url, batch_size=3), "embed_documents", TEXTS)
    assert sorted(len(request.json["input"]) for request in sim.requests) == [1, 3, 3, 3]
    assert batched == whole
    assert all(type(number) is float for number in batched[0])


def test_a_request_is_not_too_large(sim, run, monkeypatch):
    monkeypatch.setattr(batching, "MOST_BYTES", 1000)
    texts = [character * 400 for character in "abcde"] + ["f" * 3000]
    vectors = run(VLLMEmbeddings(base_url=sim.url), "embed_documents", texts)
    assert sorted(len(request.json["input"]) for request in sim.requests) == [1, 1, 2, 2]
    monkeypatch.undo()
    assert vectors == run(VLLMEmbeddings(base_url=sim.url), "embed_documents", texts)


def test_texts_are_sent_as_they_are(sim, run):
    embeddings = VLLMEmbeddings(model="sim-chat", base_url=sim.url, truncate_prompt_tokens=-1)
    run(embeddings, "embed_documents", ["two\nlines", ""])
    sent = sim.requests[-1].json
    assert sent["input"] == ["two\nlines", ""]
    assert sent["truncate_prompt_tokens"] == -1
    assert "dimensions" not in sent


def test_instructions(sim, run):
    instructions = {"query_instruction": "query: ", "document_instruction": "passage: "}
    embeddings = VLLMEmbeddings(base_url=sim.url, **instructions)
    run(embeddings, "embed_query", "a")
    assert sim.requests[-1].json["input"] == ["query: a"]
    run(embeddings, "embed_documents", ["b", "c"])
    assert sim.requests[-1].json["input"] == ["passage: b", "passage: c"]


def test_nothing_to_embed(sim, run):
    assert run(VLLMEmbeddings(base_url=sim.url), "embed_documents", []) == []
    assert sim.requests == []


def test_images(sim, run, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png())
    data = f"data:image/png;base64,{as_base64(png())}"
    embeddings = VLLMEmbeddings(base_url=sim.url)
    first, second = run(embeddings, "embed_image", [data, file])
    assert first == second
    assert type(first[0]) is float
    assert [request.json["messages"] for request in sim.requests] == 2 * [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]}]
    ]
    assert run(embeddings, "embed_image", []) == []


def test_after_an_error_nothing_more_is_sent(sim, run):
    sim.fail_always("status", code=400)
    embeddings = VLLMEmbeddings(base_url=sim.url, batch_size=1, concurrency=2, max_retries=0)
    with pytest.raises(ModelInvalidRequestError):
        run(embeddings, "embed_documents", TEXTS)
    assert len(sim.requests) < 6


def test_no_more_requests_at_once_than_allowed(sim, run):
    sim.fail_always("stall", seconds=0.05)
    texts = [f"{text}, once" for text in TEXTS]
    run(VLLMEmbeddings(base_url=sim.url, batch_size=1, concurrency=3), "embed_documents", texts)
    # What another test cancelled may arrive only now.
    requests = [request for request in sim.requests if request.json["input"][0] in texts]
    assert sorted(request.json["input"] for request in requests) == sorted([text] for text in texts)
    assert 1 < len({request.client for request in requests}) <= 3


def test_as_many_requests_at_once_as_the_server_does_well_with(sim, run):
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    alone = run(VLLMEmbeddings(base_url=sim.url, batch_size=1000), "embed_documents", texts)
    sim.reset()
    embeddings = VLLMEmbeddings(base_url=sim.url, batch_size=2)
    assert run(embeddings, "embed_documents", texts) == alone  # and in order
    assert len(sim.requests) == 200
    clients = {request.client for request in sim.requests}
    assert len(clients) > 4  # which was the bound


def test_what_a_busy_server_refuses_is_tried_again(sim, run):
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    alone = run(VLLMEmbeddings(base_url=sim.url, batch_size=1000), "embed_documents", texts)
    sim.fail_next("429", times=2, retry_after=0)  # no request can get more than it may retry
    embeddings = VLLMEmbeddings(base_url=sim.url, batch_size=1)
    assert run(embeddings, "embed_documents", texts) == alone
    with SimServer() as busy:  # which threads may still ask later
        busy.fail_always("429", retry_after=0)
        embeddings = VLLMEmbeddings(base_url=busy.url, batch_size=1, max_retries=0)
        with pytest.raises(ModelRateLimitError):
            run(embeddings, "embed_documents", texts)


def test_progress_bar_on_request(sim, run, monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total, unit):
            seen.append(total)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, count):
            seen.append(count)

    module = type(sys)("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    embeddings = VLLMEmbeddings(base_url=sim.url, batch_size=4, show_progress_bar=True)
    run(embeddings, "embed_documents", TEXTS)
    assert seen[0] == 10
    assert sorted(seen[1:]) == [2, 4, 4]


def test_rerank(sim, run):
    rerank = VLLMRerank(model="sim-chat", base_url=sim.url, top_n=2)
    before = [document.model_copy(deep=True) for document in DOCUMENTS]
    found = run(rerank, "compress_documents", DOCUMENTS, QUERY)
    assert [document.id for document in found] == ["d2", "d3"]
    assert found[0].metadata["source"] == "b"
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert before == DOCUMENTS
    assert found[0] is not DOCUMENTS[1]


def test_rerank_in_batches(sim, run):
    whole = run(VLLMRerank(base_url=sim.url), "rerank", [d.page_content for d in DOCUMENTS], QUERY)
    sim.reset()
    batched = run(VLLMRerank(base_url=sim.url, batch_size=2), "rerank", DOCUMENTS, QUERY)
    assert len(sim.requests) == 2
    assert batched == whole
    assert run(VLLMRerank(base_url=sim.url, batch_size=2), "rerank", DOCUMENTS, QUERY, top_n=1) == whole[:1]


def test_rerank_refuses_to_keep_none(sim, run):
    with pytest.raises(ValueError, match="at least 1, not 0"):
        run(VLLMRerank(base_url=sim.url), "rerank", ["a"], QUERY, top_n=0)


def test_nothing_to_rerank(sim, run):
    assert run(VLLMRerank(base_url=sim.url), "compress_documents", [], QUERY) == []


def test_cross_encoder(sim, run):
    pairs = [(QUERY, document.page_content) for document in DOCUMENTS]
    scores = run(VLLMCrossEncoder(base_url=sim.url), "score", pairs)
    assert scores[1] == max(scores)
    assert run(VLLMCrossEncoder(base_url=sim.url, batch_size=2), "score", pairs) == scores
    assert run(VLLMCrossEncoder(base_url=sim.url), "score", []) == []


@pytest.mark.parametrize("name", ["embed_documents", "embed_image"])
def test_one_string_is_no_list(sim, run, name):
    with pytest.raises(TypeError, match="put it into a list"):
        run(VLLMEmbeddings(base_url=sim.url), name, "http://a")
    assert not sim.requests


def test_any_iterable_will_do(sim, run):
    assert len(run(VLLMEmbeddings(base_url=sim.url), "embed_documents", iter(TEXTS))) == len(TEXTS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_an_error_that_names_its_text(run, value):
    def answer(path, body):
        vectors = [struct.pack("<2f", 0.5, value if "bad" in text else 0.5) for text in body["input"]]
        data = [
            {"index": index, "object": "embedding", "embedding": as_base64(vector)}
            for index, vector in enumerate(vectors)
        ]
        return {
            "object": "list",
            "data": data,
            "model": "m",
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }

    with answering(answer) as server:
        embeddings = VLLMEmbeddings(model="m", base_url=server.url, batch_size=2)
        with pytest.raises(ValueError, match="'a bad one'"):
            run(embeddings, "embed_documents", ["good", "fine", "good", "a bad one"])
        with pytest.raises(ValueError, match="'bad'"):
            run(embeddings, "embed_query", "bad")
        assert run(embeddings, "embed_query", "good") == [0.5, 0.5]


def test_a_text_that_is_too_long_is_named_with_the_remedy(sim, run):
    embeddings = VLLMEmbeddings(base_url=sim.url)
    too_long = "It begins so " + "word " * 200_000
    for name, argument in (("embed_documents", ["short", too_long, "short"]), ("embed_query", too_long)):
        with pytest.raises(ContextOverflowError, match=r"begins 'It begins so.*truncate_prompt_tokens"):
            run(embeddings, name, argument)


@pytest.mark.parametrize("pairs", ["ab", ["ab"], [("a",)], [("a", "b", "c")], [("a", "b"), "cd"], [5]])
def test_what_is_no_pair_is_refused(sim, run, pairs):
    with pytest.raises(TypeError, match="pairs of texts"):
        run(VLLMCrossEncoder(base_url=sim.url), "score", pairs)
    assert sim.requests == []


@pytest.mark.parametrize("less", [-1, 1])
def test_a_wrong_number_of_scores_is_an_error(run, less):
    def answer(path, body):
        scores = [float(text) for text in body["text_2"]]
        scores = scores[:-1] if less > 0 else [*scores, 9.0]
        data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(scores)]
        return {"id": "x", "object": "list", "created": 1, "model": "m", "data": data, "usage": {}}

    with answering(answer) as server:
        encoder = VLLMCrossEncoder(model="m", base_url=server.url, batch_size=3)
        with pytest.raises(InvalidResponseError, match="for 3 pairs"):
            run(encoder, "score", [("q", str(number)) for number in range(6)])
