"""Embeddings, in every form in which they travel."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from openai.types import CreateEmbeddingResponse
from tests.both import settled
from tests.operations.catalogue import covers

from vllm_connect import BadRequestError, ContextLengthError, NotFoundError

MODEL = "tiny-embed"
TEXTS = ["A cat sits on the mat.", "A kitten lies on the rug.", "Stock prices fell sharply today."]
TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2, "fp8_e4m3": 0.07, "fp8_e5m2": 0.13}


async def embed_texts(client, texts, **params):
    return await client("embeddings.create", model=MODEL, input=texts, **params)


def vectors(response):
    return [item.embedding for item in response.data]


class TestEmbeddings:
    """Vectors of texts."""

    @covers("embeddings.create")
    async def test_text(self, embed):
        response = await embed_texts(embed, "hello")
        assert isinstance(response, CreateEmbeddingResponse)
        assert (response.object, response.model) == ("list", MODEL)
        assert response.id.startswith("embd-")
        (item,) = response.data
        assert (item.object, item.index, len(item.embedding)) == ("embedding", 0, 384)
        assert all(type(number) is float for number in item.embedding)
        assert np.linalg.norm(item.embedding) == pytest.approx(1, abs=1e-3)
        assert (response.usage.prompt_tokens, response.usage.total_tokens) == (3, 3)

    async def test_similar_texts_are_near(self, embed):
        cat, kitten, stocks = (await embed_texts(embed, TEXTS, as_numpy=True)).array
        assert cat @ kitten > 0.5 > 0.2 > cat @ stocks

    async def test_order(self, embed):
        alone = [vectors(await embed_texts(embed, text))[0] for text in TEXTS]
        together = await embed_texts(embed, TEXTS)
        assert [item.index for item in together.data] == [0, 1, 2]
        assert np.allclose(vectors(together), alone, atol=1e-4)

    @pytest.mark.parametrize("form", ["base64", "bytes", "bytes_only"])
    async def test_formats_are_equal(self, embed, form):
        floats = await embed_texts(embed, TEXTS, encoding_format="float")
        others = await embed_texts(embed, TEXTS, encoding_format=form)
        assert np.allclose(vectors(others), vectors(floats), atol=1e-6)
        if form != "bytes_only":  # which tells nothing but the numbers
            assert others.usage.prompt_tokens == floats.usage.prompt_tokens > 0
            assert others.model == floats.model

    @pytest.mark.parametrize("dtype", TOLERANCE)
    async def test_numbers(self, embed, dtype):
        exact = vectors(await embed_texts(embed, TEXTS[:2], encoding_format="float"))
        for endianness, form in product(["little", "big"], ["base64", "bytes", "bytes_only"]):
            wire = {"embed_dtype": dtype, "endianness": endianness, "encoding_format": form}
            lists = vectors(await embed_texts(embed, TEXTS[:2], **wire))
            assert np.allclose(lists, exact, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] / 10), wire
            array = (await embed_texts(embed, TEXTS[:2], as_numpy=True, **wire)).array
            assert np.array_equal(array, np.array(lists, dtype=np.float32)), wire

    @pytest.mark.parametrize("form", [None, "float", "base64", "bytes", "bytes_only"])
    async def test_numpy(self, embed, form):
        lists = await embed_texts(embed, TEXTS, encoding_format=form)
        arrays = await embed_texts(embed, TEXTS, encoding_format=form, as_numpy=True)
        assert arrays.array.dtype == np.float32
        assert arrays.array.shape == (3, 384)
        assert np.allclose(arrays.array, vectors(lists), atol=1e-6)
        assert np.array_equal(arrays.data[1].embedding, arrays.array[1])
        assert np.array_equal(lists.array, np.array(vectors(lists), dtype=np.float32))

    async def test_token_ids(self, embed):
        tokens = (await embed("tokenize", model=MODEL, prompt="hello")).tokens
        (hello,) = vectors(await embed_texts(embed, "hello"))
        assert np.allclose(vectors(await embed_texts(embed, tokens)), [hello], atol=1e-5)
        assert np.allclose(vectors(await embed_texts(embed, [tokens, tokens])), [hello, hello], atol=1e-5)

    async def test_truncation(self, embed):
        long = "word " * 400
        with pytest.raises(ContextLengthError, match="maximum context length is 256 tokens"):
            await embed_texts(embed, long)
        assert (await embed_texts(embed, long, truncate_prompt_tokens=-1)).usage.prompt_tokens == 256
        assert (await embed_texts(embed, long, truncate_prompt_tokens=5)).usage.prompt_tokens == 5

    async def test_raw_logits(self, embed):
        """Without the activation, which here is the normalisation to length one."""
        (raw,) = vectors(await embed_texts(embed, "hello", use_activation=False))
        (unit,) = vectors(await embed_texts(embed, "hello"))
        assert np.linalg.norm(raw) > 1.5
        assert np.allclose(raw / np.linalg.norm(raw), unit, atol=1e-3)

    async def test_conversation_needs_a_template(self, embed):
        """`messages` reach the server; this model has no chat template."""
        with pytest.raises(BadRequestError, match="chat template"):
            await embed("embeddings.create", model=MODEL, messages=[{"role": "user", "content": "hello"}])

    async def test_dimensions(self, embed):
        with pytest.raises(BadRequestError, match="Matryoshka"):
            await embed_texts(embed, "hello", dimensions=8)

    async def test_unknown_model(self, embed):
        with pytest.raises(NotFoundError, match="nobody"):
            await embed("embeddings.create", model="nobody", input="hello")

    async def test_many(self, embed):
        texts = [f"text number {number}" for number in range(40)]
        response = await embed_texts(embed, texts, as_numpy=True)
        assert response.array.shape == (40, 384)
        assert np.allclose(response.array[39], vectors(await embed_texts(embed, texts[39]))[0], atol=1e-4)

    async def test_raw_response(self, embed):
        raw = await embed("embeddings.with_raw_response.create", model=MODEL, input="hello")
        assert json.loads(raw.content)["object"] == "list"
        assert len((await settled(raw.parse())).data[0].embedding) == 384
