"""Rerank, score, classify and pooling, of a cross-encoder and of an embedding model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.both import settled
from tests.operations.catalogue import covers

from vllm_connect import BadRequestError, NotFoundError

QUERY = "What is the capital of France?"
DOCUMENTS = ["Bananas are yellow.", "The capital of France is Paris.", "Berlin lies in Germany."]
ORDER = [1, 2, 0]

both = pytest.mark.parametrize("name", ["rerank", "embed"])


class Both:
    """For tests that run with the cross-encoder, which gives probabilities, and with the embedding model,
    which gives cosines."""

    @pytest.fixture
    def client(self, name, rerank, embed):
        return {"rerank": rerank, "embed": embed}[name]


class TestRerank(Both):
    """Documents by relevance."""

    @pytest.fixture
    def ask(self, client, name):
        async def ask(documents=DOCUMENTS, **params):
            params = {"model": f"tiny-{name}", "query": QUERY, **params}
            return await client("rerank.create", documents=documents, **params)

        return ask

    @both
    @covers("rerank.create")
    async def test_order(self, ask, name):
        response = await ask()
        assert [result.index for result in response.results] == ORDER
        scores = [result.relevance_score for result in response.results]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.8 > 0.5 > scores[1]
        assert [result.document for result in response.results] == [None] * 3
        assert response.model == f"tiny-{name}"
        assert response.id.startswith("score-")
        assert response.usage.prompt_tokens == response.usage.total_tokens > 0

    @both
    async def test_top_n(self, ask):
        assert [result.index for result in (await ask(top_n=1)).results] == ORDER[:1]
        assert [result.index for result in (await ask(top_n=99)).results] == ORDER

    @both
    async def test_documents_come_back(self, ask):
        response = await ask(return_documents=True)
        assert [result.document for result in response.results] == [DOCUMENTS[index] for index in ORDER]

    @both
    async def test_documents_as_mappings(self, ask):
        """As other providers take them; vLLM itself answers 400 to them."""
        for extra in ({"id": 7}, {"type": "text"}):
            documents = [{"text": document, **extra} for document in DOCUMENTS]
            response = await ask(documents, return_documents=True)
            assert [result.index for result in response.results] == ORDER
            assert response.results[0].document == documents[ORDER[0]]

    @both
    async def test_nested_params(self, ask):
        response = await ask(params={"top_n": 2, "return_documents": True})
        assert [result.document for result in response.results] == [DOCUMENTS[index] for index in ORDER[:2]]

    @both
    async def test_content_parts(self, ask):
        """They arrive, and a model of text alone says that it is one."""
        parts = [{"content": [{"type": "text", "text": document}]} for document in DOCUMENTS]
        with pytest.raises(BadRequestError, match="MultiModalParam is not supported"):
            await ask(parts)

    @pytest.mark.parametrize("name", ["rerank"])
    async def test_raw_scores(self, ask):
        logits = await ask(use_activation=False)
        assert [result.index for result in logits.results] == ORDER
        assert logits.results[0].relevance_score > 1
        assert logits.results[-1].relevance_score < 0

    @both
    async def test_truncation(self, ask):
        long = [document + " word" * 600 for document in DOCUMENTS]
        with pytest.raises(BadRequestError):
            await ask(long)
        response = await ask(long, truncate_prompt_tokens=40)
        assert response.results[0].index == ORDER[0]

    @both
    async def test_without_a_model(self, ask):
        assert [result.index for result in (await ask(model=None)).results] == ORDER

    @both
    async def test_unknown_model(self, ask):
        with pytest.raises(NotFoundError, match="nobody") as raised:
            await ask(model="nobody")
        assert raised.value.operation == "rerank.create"

    async def test_no_such_route(self, chat):
        """All paths were tried; the error says most."""
        with pytest.raises(NotFoundError, match="Not Found"):
            await chat("rerank.create", model="tiny-chat", query=QUERY, documents=DOCUMENTS)

    async def test_raw_response(self, rerank):
        asked = {"model": "tiny-rerank", "query": QUERY, "documents": DOCUMENTS}
        raw = await rerank("rerank.with_raw_response.create", **asked)
        assert raw.http_response.request.url.path == "/v1/rerank"
        assert json.loads(raw.content)["results"][0]["document"] == {
            "text": DOCUMENTS[1],
            "multi_modal": None,
        }
        assert [result.index for result in (await settled(raw.parse())).results] == ORDER


class TestScore(Both):
    """How well texts match."""

    @both
    @covers("score.create")
    async def test_one_to_many(self, client, name):
        response = await client("score.create", model=f"tiny-{name}", queries=QUERY, documents=DOCUMENTS)
        assert [one.index for one in response.data] == [0, 1, 2]
        bananas, paris, berlin = (one.score for one in response.data)
        assert paris > 0.8 > 0.5 > berlin > bananas
        assert (response.object, response.model) == ("list", f"tiny-{name}")
        assert response.id.startswith("score-")
        assert response.usage.prompt_tokens > 0

    @both
    async def test_pairs(self, client, name):
        left, right = [QUERY, "Where is Berlin?"], [DOCUMENTS[1], DOCUMENTS[2]]
        response = await client("score.create", model=f"tiny-{name}", text_1=left, text_2=right)
        first = await client("score.create", model=f"tiny-{name}", text_1=QUERY, text_2=DOCUMENTS[1])
        assert len(response.data) == 2
        assert response.data[0].score == pytest.approx(first.data[0].score, abs=1e-4)
        assert response.data[1].score > 0.5

    @both
    async def test_equals_rerank(self, client, name):
        asked = {"model": f"tiny-{name}", "documents": DOCUMENTS}
        scores = await client("score.create", queries=QUERY, **asked)
        ranked = await client("rerank.create", query=QUERY, **asked)
        for result in ranked.results:
            assert scores.data[result.index].score == pytest.approx(result.relevance_score, abs=1e-4)

    async def test_embeddings_agree(self, embed):
        response = await embed("score.create", model="tiny-embed", queries=QUERY, documents=DOCUMENTS)
        array = (await embed("embeddings.create", model="tiny-embed", input=[QUERY, *DOCUMENTS])).array
        assert [one.score for one in response.data] == pytest.approx(
            (array[1:] @ array[0]).tolist(), abs=1e-4
        )

    async def test_mismatch(self, rerank):
        with pytest.raises(BadRequestError):
            await rerank("score.create", model="tiny-rerank", text_1=["a", "b"], text_2=["a", "b", "c"])


class TestClassify:
    """Classes."""

    @covers("classify.create")
    async def test_texts(self, rerank):
        response = await rerank("classify.create", model="tiny-rerank", input=["hello", "world"])
        assert [one.index for one in response.data] == [0, 1]
        for one in response.data:
            assert (one.label, one.num_classes, len(one.probs)) == ("LABEL_0", 1, 1)
            assert 0 <= one.probs[0] <= 1
        assert response.id.startswith("classify-")
        assert response.usage.prompt_tokens > 0

    async def test_no_such_route(self, embed):
        with pytest.raises(NotFoundError, match="Not Found"):
            await embed("classify.create", model="tiny-embed", input="hello")


class TestPooling:
    """What a pooling model gives."""

    @covers("pooling.create")
    async def test_vector(self, embed):
        response = await embed("pooling.create", model="tiny-embed", input=["hello", "world"])
        assert [(one.index, one.object) for one in response.data] == [(0, "pooling"), (1, "pooling")]
        assert response.id.startswith("pooling-")
        embedded = await embed("embeddings.create", model="tiny-embed", input=["hello", "world"])
        for one, item in zip(response.data, embedded.data, strict=True):
            assert np.allclose(one.data, item.embedding, atol=1e-5)

    async def test_class(self, rerank):
        pooled = await rerank("pooling.create", model="tiny-rerank", input="hello", task="classify")
        classes = await rerank("classify.create", model="tiny-rerank", input="hello")
        assert pooled.data[0].data == pytest.approx(classes.data[0].probs, abs=1e-5)

    async def test_base64(self, embed):
        asked = {"model": "tiny-embed", "input": "hello"}
        text = (await embed("pooling.create", encoding_format="base64", **asked)).data[0].data
        assert isinstance(text, str)
        assert len(text) == 384 * 4 * 4 // 3

    async def test_unknown_task(self, embed):
        with pytest.raises(BadRequestError, match="classify"):
            await embed("pooling.create", model="tiny-embed", input="hello", task="classify")
