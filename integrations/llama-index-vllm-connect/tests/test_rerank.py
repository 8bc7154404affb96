"""Reranking alone, and LlamaIndex's own rerankers on the LLM."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect import BadRequestError, ContextLengthError, InvalidResponseError, Key
from vllm_connect.sim import SimServer

QUERY = "What is the capital of France?"
TEXTS = ["Cats purr.", "Paris is the capital of France.", "Rome is the capital of Italy.", "Dogs bark."]


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.1 * i) for i, text in enumerate(TEXTS)
    ]


def test_it_is_a_postprocessor():
    assert issubclass(VLLMRerank, BaseNodePostprocessor)
    assert VLLMRerank.class_name() == "VLLMConnectRerank"


async def test_span(reranker, ask, nodes):
    spans, dispatcher = SimpleSpanHandler(), get_dispatcher()
    dispatcher.add_span_handler(spans)
    try:
        await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
    finally:
        dispatcher.span_handlers.remove(spans)
    (span,) = [span.id_ for span in spans.completed_spans if "postprocess_nodes-" in span.id_]
    assert span.startswith("VLLMRerank.")


async def test_rerank(reranker, ask, nodes, sent):
    before = [node.model_dump_json() for node in nodes]
    ranked = await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
    assert [node.node.node_id for node in ranked] == ["1", "2"]
    assert ranked[0].score > ranked[1].score
    assert [node.model_dump_json() for node in nodes] == before
    assert ranked[0] is not nodes[1]
    (body,) = sent("/v1/rerank")
    assert body == {"query": QUERY, "documents": TEXTS, "top_n": 2}


async def test_the_retrieval_score_is_kept(vllm_sim, ask, nodes):
    reranker = VLLMRerank(base_url=vllm_sim.url, top_n=1, keep_retrieval_score=True)
    (best,) = await ask(reranker, "postprocess_nodes", nodes, QueryBundle(QUERY))
    assert best.node.metadata == {"retrieval_score": nodes[1].score}
    assert nodes[1].node.metadata == {}


async def test_metadata_for_embedding_counts(reranker, ask, sent):
    node = TextNode(text="x", metadata={"title": "T", "id": 7}, excluded_embed_metadata_keys=["id"])
    await ask(reranker, "postprocess_nodes", [NodeWithScore(node=node)], query_str="q")
    assert sent("/v1/rerank")[0]["documents"] == ["title: T\n\nx"]
    assert sent("/v1/rerank")[0]["top_n"] == 1


async def test_many_nodes_go_in_several_requests(vllm_sim, ask, nodes, sent):
    reranker = VLLMRerank(base_url=vllm_sim.url, top_n=3, batch_size=2)
    ranked = await ask(reranker, "postprocess_nodes", nodes * 2, query_str=QUERY)
    assert [node.node.node_id for node in ranked] == ["1", "1", "2"]
    assert len(sent("/v1/rerank")) == 4


async def test_only_so_many_requests_at_once(vllm_sim, nodes, crowd, monkeypatch):
    reranker = VLLMRerank(base_url=vllm_sim.url, batch_size=1, num_workers=3)
    requests = reranker.async_client.rerank
    monkeypatch.setattr(requests, "create", crowd.watch(requests.create))
    await asyncio.gather(*(reranker.apostprocess_nodes(nodes * 3, query_str=QUERY) for _ in range(2)))
    assert crowd.most == 3  # of both questions together


async def test_as_many_requests_at_once_as_the_server_does_well_with(vllm_sim, nodes, ask, sent):
    whole = VLLMRerank(base_url=vllm_sim.url, top_n=80)
    parts = VLLMRerank(base_url=vllm_sim.url, top_n=80, batch_size=1)
    expected = await ask(whole, "postprocess_nodes", nodes * 20, query_str=QUERY)
    vllm_sim.fail_always("stall", seconds=0.01)
    ranked = await ask(parts, "postprocess_nodes", nodes * 20, query_str=QUERY)
    assert [node.node_id for node in ranked] == [node.node_id for node in expected]
    clients = {request.client for request in vllm_sim.requests}
    assert len(sent("/v1/rerank")) == 1 + len(nodes * 20)
    assert 4 < len(clients) < 40


@pytest.mark.parametrize("workers", [1, 3, None])
def test_one_failure_ends_the_others(vllm_sim, nodes, workers):
    reranker = VLLMRerank(base_url=vllm_sim.url, batch_size=1, num_workers=workers)
    vllm_sim.fail_always("400")
    with pytest.raises(BadRequestError):
        reranker.postprocess_nodes(nodes * 20, query_str=QUERY)
    assert len(vllm_sim.requests) <= 2 * (workers or 16)  # of 80


async def test_one_failure_ends_the_others_that_go_on(vllm_sim, nodes, monkeypatch):
    reranker = VLLMRerank(base_url=vllm_sim.url, batch_size=1, num_workers=2)
    begun: list[str] = []
    ended: list[str] = []

    async def answered(**params):
        (document,) = params["documents"]
        begun.append(document)
        try:
            if document == TEXTS[1]:
                raise ConnectionError(document)
            await asyncio.sleep(3600)
        finally:
            ended.append(document)

    monkeypatch.setattr(reranker.async_client.rerank, "create", answered)
    with pytest.raises(ConnectionError):
        await reranker.apostprocess_nodes(nodes * 5, query_str=QUERY)
    assert len(begun) <= 3  # of 20
    assert sorted(ended) == sorted(begun)
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_ends_the_requests(vllm_sim, nodes):
    reranker = VLLMRerank(base_url=vllm_sim.url, batch_size=1)
    vllm_sim.fail_always("stall", where="headers", seconds=30)
    task = asyncio.create_task(reranker.apostprocess_nodes(nodes, query_str=QUERY))
    assert await asyncio.to_thread(vllm_sim.wait_for_requests, len(nodes))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(vllm_sim.wait_for_abort, len(nodes))
    assert len(asyncio.all_tasks()) == 1


async def test_no_query_and_no_nodes(reranker, ask, nodes, vllm_sim):
    with pytest.raises(ValueError, match=r"Missing query bundle in extra info\."):
        await ask(reranker, "postprocess_nodes", nodes)
    assert await ask(reranker, "postprocess_nodes", [], query_str="q") == []
    assert not vllm_sim.requests


async def test_parameters(vllm_sim, ask, nodes, sent):
    reranker = VLLMRerank(
        base_url=vllm_sim.url, truncate_prompt_tokens=-1, additional_kwargs={"use_activation": False}
    )
    await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
    assert sent("/v1/rerank")[0]["truncate_prompt_tokens"] == -1
    assert sent("/v1/rerank")[0]["use_activation"] is False


async def test_errors(reranker, ask, nodes, vllm_sim):
    vllm_sim.fail_next("400", message="too long")
    with pytest.raises(BadRequestError, match="too long"):
        await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
    vllm_sim.fail_next("rerank_index_out_of_range")
    with pytest.raises(InvalidResponseError, match="out of range"):
        await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)


async def test_events_and_callbacks(vllm_sim, ask, nodes, events):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    reranker = VLLMRerank(
        base_url=vllm_sim.url, top_n=1, model="sim-chat", callback_manager=CallbackManager([debug])
    )
    ranked = await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
    start, end = [event for event in events.seen if "ReRank" in event.class_name()]
    assert (start.top_n, start.model_name, start.query.query_str) == (1, "sim-chat", QUERY)
    assert end.nodes == ranked
    ((begun, ended),) = debug.get_event_pairs(CBEventType.RERANKING)
    assert begun.payload[EventPayload.QUERY_STR] == QUERY
    assert begun.payload[EventPayload.MODEL_NAME] == "sim-chat"
    assert ended.payload[EventPayload.NODES] == ranked


def test_life(vllm_sim, nodes):
    reranker = VLLMRerank(base_url=vllm_sim.url, api_key="hush", max_retries=0)
    for _ in range(3):
        asyncio.run(reranker.apostprocess_nodes(nodes, query_str=QUERY))
    assert (
        pickle.loads(pickle.dumps(reranker)).postprocess_nodes(nodes, query_str=QUERY)[0].node.node_id == "1"
    )
    assert "hush" not in str(reranker.to_dict()) + repr(reranker)
    assert VLLMRerank.from_dict(reranker.to_dict()).to_dict() == reranker.to_dict()


async def test_several_servers(ask, nodes):
    with SimServer() as one, SimServer() as two:
        one.fail_always("503")
        keys = [Key(name="one", url=one.url), Key(name="two", url=two.url)]
        ranked = await ask(VLLMRerank(keys=keys), "postprocess_nodes", nodes, query_str=QUERY)
        assert ranked[0].node.node_id == "1"


def test_llm_rerank(llm, nodes):
    said = LLMRerank(llm=llm, top_n=1, parse_choice_select_answer_fn=lambda answer, _: ([2], [9.0]))
    assert said.postprocess_nodes(nodes, query_str=QUERY)[0].node.node_id == "1"


def test_structured_llm_rerank(llm, nodes, sent):
    ranked = StructuredLLMRerank(llm=llm, top_n=1).postprocess_nodes(nodes, query_str=QUERY)
    assert len(ranked) == 1
    assert sent()[0]["response_format"]["type"] == "json_schema"


async def test_nodes_without_text_are_judged_by_their_image(canned, ask, tmp_path):
    bodies = []

    def answer(body):
        bodies.append(body)
        results = [{"index": i, "relevance_score": 0.5} for i in range(len(body["documents"]))]
        return {"id": "r", "model": "m", "results": results}

    picture = tmp_path / "one.png"
    picture.write_bytes(b"abc")
    images = [
        ImageNode(image="YWJj", image_mimetype="image/png"),
        ImageNode(image_path=str(picture)),
        ImageNode(image_url="http://images.invalid/one.png"),
        ImageNode(image="YWJj", text="A cat."),
    ]
    reranker = VLLMRerank(base_url=canned(answer), top_n=4)
    await ask(reranker, "postprocess_nodes", [NodeWithScore(node=node) for node in images], query_str="q")
    *documents, caption = bodies[0]["documents"]
    urls = [document["content"][0]["image_url"]["url"] for document in documents]
    assert urls == ["data:image/png;base64,YWJj"] * 2 + ["http://images.invalid/one.png"]
    assert caption == "A cat."


async def test_a_document_that_is_too_long_is_named(ask):
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("a", "word " * 50)]
    with SimServer(max_model_len=20) as server:
        reranker = VLLMRerank(base_url=server.url)
        with pytest.raises(ContextLengthError, match=r"2 of 2, begins 'word.*truncate_prompt_tokens=-1"):
            await ask(reranker, "postprocess_nodes", nodes, query_str="q")


@pytest.mark.parametrize(
    "results",
    [
        [{"index": 0, "relevance_score": 0.5}],
        [{"index": i, "relevance_score": 0.5} for i in (0, 1, 2)],
        [{"index": 0, "relevance_score": None}, {"index": 1, "relevance_score": 0.5}],
        [{"index": 0, "relevance_score": "high"}, {"index": 1, "relevance_score": 0.5}],
    ],
)
async def test_a_reply_that_does_not_fit_drops_no_nodes(canned, ask, nodes, results):
    reranker = VLLMRerank(base_url=canned({"id": "r", "model": "m", "results": results}), top_n=2)
    with pytest.raises(InvalidResponseError):
        await ask(reranker, "postprocess_nodes", nodes, query_str=QUERY)
