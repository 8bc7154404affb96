"""The embedding model: queries, texts, batches, and what can go wrong."""

from __future__ import annotations

import asyncio
import pickle

import openai
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.embeddings.vllm_connect.cache import CacheOfModel
from llama_index.llms.vllm_connect import VLLM
from vllm_connect import ContextLengthError, Key
from vllm_connect.adapters import batching
from vllm_connect.sim import SimServer

PATH = "/v1/embeddings"
AT_FIRST = 16  # requests at once, before the client knows how many its server does well with


def test_it_is_an_embedding():
    assert issubclass(VLLMEmbedding, BaseEmbedding)
    assert VLLMEmbedding.class_name() == "VLLMConnectEmbedding"


async def test_one_text(embedding, ask, sent):
    text = await ask(embedding, "get_text_embedding", "def f():\n    return 1")
    query = await ask(embedding, "get_query_embedding", "def f():\n    return 1")
    assert text == query
    assert len(text) == 384
    assert all(isinstance(number, float) for number in text)
    assert [body["input"] for body in sent(PATH)] == [["def f():\n    return 1"]] * 2


async def test_instructions(vllm_sim, ask, sent):
    embedding = VLLMEmbedding(
        base_url=vllm_sim.url,
        query_instruction="query: ",
        text_instruction="passage: ",
        truncate_prompt_tokens=-1,
    )
    await ask(embedding, "get_query_embedding", "a\nb")
    await ask(embedding, "get_text_embedding", "a\nb")
    await ask(embedding, "get_text_embedding_batch", ["c"])
    assert [body["input"] for body in sent(PATH)] == [["query: a\nb"], ["passage: a\nb"], ["passage: c"]]
    assert {body["truncate_prompt_tokens"] for body in sent(PATH)} == {-1}


@pytest.mark.parametrize("show_progress", [False, True])
async def test_batches(vllm_sim, ask, sent, show_progress, capsys):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embed_batch_size=3)
    texts = [f"text {i}" for i in range(8)]
    vectors = await ask(embedding, "get_text_embedding_batch", texts, show_progress=show_progress)
    assert sorted(len(body["input"]) for body in sent(PATH)) == [2, 3, 3]
    assert vectors == [embedding.get_text_embedding(text) for text in texts]
    assert ("Generating embeddings" in capsys.readouterr().err) == show_progress


async def test_a_request_is_not_too_large(vllm_sim, ask, sent, monkeypatch):
    monkeypatch.setattr(batching, "MOST_BYTES", 1000)
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embed_batch_size=10)
    texts = [character * 400 for character in "abcde"] + ["f" * 3000]
    vectors = await ask(embedding, "get_text_embedding_batch", texts)
    assert sorted(len(body["input"]) for body in sent(PATH)) == [1, 1, 2, 2]
    assert vectors == [embedding.get_text_embedding(text) for text in texts]


async def test_nothing_to_embed(embedding, ask, vllm_sim):
    assert await ask(embedding, "get_text_embedding_batch", []) == []
    assert not vllm_sim.requests


@pytest.mark.parametrize("workers", [None, 1, 3])
async def test_only_so_many_requests_at_once(vllm_sim, workers, crowd, monkeypatch):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embed_batch_size=1, num_workers=workers)
    requests = embedding.async_client.embeddings
    monkeypatch.setattr(requests, "create", crowd.watch(requests.create))
    await embedding.aget_text_embedding_batch([str(i) for i in range(20)])
    assert crowd.most == (workers or AT_FIRST)


@pytest.mark.parametrize("workers", [None, 3])
async def test_one_failure_ends_the_others(vllm_sim, workers, monkeypatch):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embed_batch_size=1, num_workers=workers)
    begun: list[str] = []
    ended: list[str] = []

    async def answered(**params):
        (text,) = params["input"]
        begun.append(text)
        try:
            if text == "1":
                raise ConnectionError(text)
            await asyncio.sleep(3600)
        finally:
            ended.append(text)

    monkeypatch.setattr(embedding.async_client.embeddings, "create", answered)
    with pytest.raises(ConnectionError):
        await embedding.aget_text_embedding_batch([str(i) for i in range(40)])
    for _ in range(10):  # LlamaIndex's own tasks need some rounds to see it
        await asyncio.sleep(0)
    assert len(begun) <= (workers or AT_FIRST) + 1
    assert sorted(ended) == sorted(begun)
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_ends_the_requests(vllm_sim):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embed_batch_size=1, num_workers=None)
    vllm_sim.fail_always("stall", where="headers", seconds=30)
    task = asyncio.create_task(embedding.aget_text_embedding_batch([str(i) for i in range(2 * AT_FIRST)]))
    assert await asyncio.to_thread(vllm_sim.wait_for_requests, AT_FIRST)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(vllm_sim.wait_for_abort, AT_FIRST)
    assert len(vllm_sim.requests) == AT_FIRST


async def test_dimensions(ask):
    with SimServer(matryoshka=True) as server:
        embedding = VLLMEmbedding(base_url=server.url, dimensions=32)
        assert len(await ask(embedding, "get_text_embedding", "x")) == 32


async def test_the_cache(vllm_sim, ask, sent):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, embeddings_cache=SimpleKVStore())
    first = await ask(embedding, "get_text_embedding_batch", ["a", "b"])
    assert await ask(embedding, "get_text_embedding_batch", ["b", "a", "c"]) == [
        first[1],
        first[0],
        await ask(embedding, "get_text_embedding", "c"),
    ]
    assert await ask(embedding, "get_query_embedding", "a") == first[0]
    assert [body["input"] for body in sent(PATH)] == [["a", "b"], ["c"]]


async def test_the_cache_does_not_take_texts_for_queries(vllm_sim, ask, sent):
    embedding = VLLMEmbedding(
        base_url=vllm_sim.url, embeddings_cache=SimpleKVStore(), query_instruction="query: "
    )
    await ask(embedding, "get_text_embedding", "a")
    await ask(embedding, "get_query_embedding", "a")
    await ask(embedding, "get_text_embedding", "a")
    assert [body["input"] for body in sent(PATH)] == [["a"], ["query: a"]]
    assert len({request.client for request in vllm_sim.requests}) == 1  # one client, one connection


@pytest.mark.parametrize(("fault", "requests"), [("400", 1), ("500", 1), ("503", 3)])
async def test_one_retry_layer(embedding, ask, vllm_sim, fault, requests):
    vllm_sim.fail_always(fault)
    with pytest.raises(openai.APIStatusError):
        await ask(embedding, "get_text_embedding", "x")
    assert len(vllm_sim.requests) == requests


def test_several_event_loops_and_copies(vllm_sim):
    embedding = VLLMEmbedding(base_url=vllm_sim.url, api_key="hush", max_retries=0)
    for _ in range(3):
        asyncio.run(embedding.aget_text_embedding_batch(["a", "b"]))
    again = pickle.loads(pickle.dumps(embedding))
    assert again.get_text_embedding("a") == embedding.get_text_embedding("a")
    assert "hush" not in str(embedding.to_dict()) + repr(embedding)
    assert VLLMEmbedding.from_dict(embedding.to_dict()).to_dict() == embedding.to_dict()
    with pytest.raises(ValidationError, match="modell"):
        VLLMEmbedding(base_url=vllm_sim.url, modell="x")


async def test_several_servers(ask):
    with SimServer() as one, SimServer() as two:
        keys = [Key(name="one", url=one.url), Key(name="two", url=two.url)]
        embedding = VLLMEmbedding(keys=keys, embed_batch_size=1)
        await ask(embedding, "get_text_embedding_batch", [str(i) for i in range(30)])
        assert one.requests
        assert two.requests


def embedded(vectors, model="m"):
    """A server's reply, as JSON, in which vLLM writes NaN as null."""
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"id": "e", "object": "list", "created": 1, "model": model, "data": data, "usage": usage}


async def test_nan_is_an_error_that_names_the_text(canned, ask):
    embedding = VLLMEmbedding(
        base_url=canned(embedded([[0.5, 1.0], [None, 1.0]])), additional_kwargs={"encoding_format": "float"}
    )
    with pytest.raises(ValueError, match=r"'dogs'.*NaN"):
        await ask(embedding, "get_text_embedding_batch", ["cats", "dogs"])


async def test_vectors_of_two_models_never_stand_together(ask):
    texts = [f"text {i}" for i in range(40)]
    with SimServer(models="small", embedding_dim=8) as one, SimServer(models="large", embedding_dim=8) as two:
        keys = [Key(name="one", url=one.url), Key(name="two", url=two.url)]
        embedding = VLLMEmbedding(keys=keys, embed_batch_size=2)
        with pytest.raises(ValueError, match="set model_name="):
            await ask(embedding, "get_text_embedding_batch", texts)
        keys[0] = Key(name="one", url=one.url, models=["small"])
        chosen = VLLMEmbedding(keys=keys, embed_batch_size=2, model_name="large")
        assert len(await ask(chosen, "get_text_embedding_batch", texts)) == 40


async def test_vectors_of_two_widths_never_stand_together(ask):
    with SimServer(models="m", embedding_dim=8) as one, SimServer(models="m", embedding_dim=16) as two:
        keys = [Key(name="one", url=one.url), Key(name="two", url=two.url)]
        for name in ("", "m"):
            embedding = VLLMEmbedding(keys=keys, embed_batch_size=1, model_name=name)
            with pytest.raises(ValueError, match="numbers"):
                await ask(embedding, "get_text_embedding_batch", [f"text {i}" for i in range(40)])
        alone = VLLMEmbedding(keys=keys[:1])
        assert len(await ask(alone, "get_query_embedding", "x")) == 8
        alone.keys = keys[1:]  # what is set anew begins anew
        assert len(await ask(alone, "get_query_embedding", "x")) == 16


async def test_a_text_that_is_too_long_is_named(ask):
    with SimServer(max_model_len=20) as server:
        embedding = VLLMEmbedding(base_url=server.url)
        with pytest.raises(
            ContextLengthError, match=r"2 of 3, begins 'word word.*truncate_prompt_tokens=-1"
        ) as info:
            await ask(embedding, "get_text_embedding_batch", ["a", "word " * 50, "b"])
        assert info.value.operation == "embeddings.create"
        assert info.value.status_code == 400


async def test_every_call_is_one_span(vllm_sim, ask):
    embedding = VLLMEmbedding(base_url=vllm_sim.url)
    spans, dispatcher = SimpleSpanHandler(), get_dispatcher()
    dispatcher.add_span_handler(spans)
    try:
        await ask(embedding, "get_query_embedding", "x")
        await ask(embedding, "get_text_embedding_batch", ["x"])
    finally:
        dispatcher.span_handlers.remove(spans)
    names = [span.id_.split("-")[0] for span in spans.completed_spans]
    for name in ("get_query_embedding", "get_text_embedding_batch"):
        assert (
            len([each for each in names if each in (f"VLLMEmbedding.{name}", f"VLLMEmbedding.a{name}")]) == 1
        )


class Pipeline:
    def __init__(self):
        self.cache = IngestionCache()

    async def run(self, kind, *transformations):
        pipeline = IngestionPipeline(transformations=list(transformations), cache=self.cache)
        nodes = [TextNode(text="cats", id_="1")]
        return pipeline.run(nodes=nodes) if kind == "sync" else await pipeline.arun(nodes=nodes)


async def test_caches_know_the_served_model(ask):
    pipeline = Pipeline()
    with SimServer(models="small", embedding_dim=8) as server:
        for _ in range(2):
            (node,) = await pipeline.run(ask.kind, VLLMEmbedding(base_url=server.url))
            assert len(node.embedding) == 8
        assert sum(request.path == PATH for request in server.requests) == 1
        port = int(server.url.rsplit(":", 1)[1])
    with SimServer(models="large", embedding_dim=16, port=port) as server:
        (node,) = await pipeline.run(ask.kind, VLLMEmbedding(base_url=server.url))
        assert len(node.embedding) == 16


def test_what_is_saved_tells_the_served_model_and_can_be_read(vllm_sim):
    with SimServer(models="small") as server:
        for unnamed in (VLLMEmbedding(base_url=server.url), VLLM(base_url=server.url)):
            saved = unnamed.to_dict()
            assert saved["served_model"] == "small"
            assert type(unnamed).from_dict(saved).base_url == server.url
        extractor = TitleExtractor(llm=VLLM(base_url=server.url))
        assert extractor.to_dict()["llm"]["served_model"] == "small"
    down = VLLMEmbedding(base_url="http://127.0.0.1:9")
    unknown = [down.to_dict()["served_model"] for _ in range(2)]
    assert all(name.startswith("unknown ") for name in unknown)
    assert len(set(unknown)) == 2  # a cache takes none for another
    assert "served_model" not in VLLM(base_url="http://127.0.0.1:9", model="named").to_dict()


async def embed(embedding, ask, text="cats"):
    """The widths of a text's vector, in all the ways that look into the cache."""
    (batched,) = await ask(embedding, "get_text_embedding_batch", [text])
    single = await ask(embedding, "get_text_embedding", text)
    assert batched == single
    return len(single)


async def test_a_cache_of_embeddings_knows_the_served_model(ask):
    cache = SimpleKVStore()
    with SimServer(models="small", embedding_dim=8) as server:
        port = int(server.url.rsplit(":", 1)[1])
        for _ in range(2):
            assert await embed(VLLMEmbedding(base_url=server.url, embeddings_cache=cache), ask) == 8
        assert sum(request.path == PATH for request in server.requests) == 1
    with SimServer(models="large", embedding_dim=16, port=port) as server:
        assert await embed(VLLMEmbedding(base_url=server.url, embeddings_cache=cache), ask) == 16


@pytest.mark.parametrize(
    "other",
    [
        {"model_name": "b"},
        {"dimensions": 4},
        {"text_instruction": "passage: "},
        {"truncate_prompt_tokens": 1},
        {"truncation_side": "left"},
        {"additional_kwargs": {"use_activation": False}},
    ],
)
async def test_a_cache_of_embeddings_knows_what_decides_on_a_vector(ask, other):
    cache, same = SimpleKVStore(), {"model_name": "a", "additional_kwargs": {"extra_headers": {"X": "1"}}}
    with SimServer(models=["a", "b"], matryoshka=True) as server:

        async def requests(**fields):
            server.reset()
            await embed(VLLMEmbedding(base_url=server.url, embeddings_cache=cache, **fields), ask)
            return sum(request.path == PATH for request in server.requests)

        assert [await requests(model_name="a"), await requests(**same)] == [1, 0]
        assert await requests(**{"model_name": "a", **other}) == 1


async def test_queries_have_a_place_of_their_own_in_the_cache(vllm_sim, ask):
    fields = {"model_name": "sim-chat", "base_url": vllm_sim.url, "embeddings_cache": SimpleKVStore()}
    embedding = VLLMEmbedding(**fields, query_instruction="query: ")
    text = await ask(embedding, "get_text_embedding", "cats")
    query = await ask(embedding, "get_query_embedding", "cats")
    assert text != query
    vllm_sim.reset()
    assert await ask(embedding, "get_query_embedding", "cats") == query
    assert await ask(embedding, "get_text_embedding", "cats") == text
    assert not vllm_sim.requests


async def test_without_the_name_of_the_model_nothing_is_cached(ask, monkeypatch):
    cache = SimpleKVStore()
    with SimServer() as server:
        server.fail_next("status", path="/v1/models", times=10, code=403)
        embedding = VLLMEmbedding(base_url=server.url, embeddings_cache=cache, max_retries=0)
        await embed(embedding, ask)
        assert sum(request.path == PATH for request in server.requests) == 2
    assert not cache.get_all("embeddings")


async def test_the_cache_of_a_model_is_a_part_of_a_store():
    store = SimpleKVStore()
    one, other = CacheOfModel(store, {"model": "a"}), CacheOfModel(store, {"model": "b"})
    one.put("x", {"1": [1.0]})
    await other.aput("y", {"1": [2.0]})
    assert one.get("x") == await one.aget("x") == {"1": [1.0]}
    assert other.get("x") is None
    assert one.get_all() == {"x": {"1": [1.0]}}
    assert await other.aget_all() == {"y": {"1": [2.0]}}
    assert one.delete("x")
    assert not one.delete("y")
    assert await other.adelete("y")
    assert store.get_all() == {}
