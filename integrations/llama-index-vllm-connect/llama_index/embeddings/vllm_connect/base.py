"""`VLLMEmbedding`: LlamaIndex's embedding model on vLLM servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from pydantic import Field, PrivateAttr

from llama_index_vllm_connect.connection import Connection, Parameters
from llama_index_vllm_connect.content import Json
from llama_index_vllm_connect.served import KnowsServedModel
from llama_index_vllm_connect.spans import without_span
from llama_index_vllm_connect.texts import check_text, check_texts
from vllm_connect.adapters import Limiter, TaskGroup, batches, closes_with_group, naming_long_text
from vllm_connect.types import EmbeddingResponse

from .cache import CacheOfModel
from .space import VectorSpace


class VLLMEmbedding(KnowsServedModel, Connection, BaseEmbedding):
    """Embeddings from one or several vLLM servers.

        from llama_index.embeddings.vllm_connect import VLLMEmbedding

        embed_model = VLLMEmbedding(model_name="bge", base_url="http://localhost:8000")

    Texts are sent as they are, line breaks and all, behind the instruction that the model wants. All vectors
    of one `VLLMEmbedding` are of one model and one width, however many servers there are; anything else is
    an error, since a vector store could not tell.
    """

    model_name: str = Field(default="", description="The model's name. Default: the server's model.")
    embed_batch_size: int = Field(default=32, gt=0, le=2048, description="Texts in one request.")
    num_workers: int | None = Field(
        default=None,
        gt=0,
        description="Requests at once of the async methods. Default: as many as the servers do best with.",
    )
    query_instruction: str = Field(
        default="", description='Put before a query as it is, e.g. "query: ", with its space.'
    )
    text_instruction: str = Field(default="", description='Put before a text, e.g. "passage: ".')
    dimensions: int | None = Field(default=None, description="Shorter vectors, of a Matryoshka model.")
    truncate_prompt_tokens: int | None = Field(
        default=None,
        description="Keep this many tokens; -1 for the model's context. Unset: too long is an error.",
    )
    truncation_side: Literal["left", "right"] | None = None
    additional_kwargs: Parameters = Field(
        default_factory=dict, description="Further parameters of `embeddings.create`."
    )

    _limiter: Limiter = PrivateAttr(default_factory=Limiter)
    _space: VectorSpace = PrivateAttr(default_factory=VectorSpace)

    @property
    def named_model(self) -> str | None:
        """The model that the user named."""
        return self.model_name or None

    @classmethod
    def class_name(cls) -> str:
        """The id in serialised data."""
        return "VLLMConnectEmbedding"

    def get_query_embedding(self, query: str) -> Embedding:
        """Embed a query."""
        check_text(query, "get_query_embedding: query")
        get = without_span(BaseEmbedding.get_query_embedding)
        vector: Embedding = get(self._with_cache(self.query_instruction), query)
        return vector

    async def aget_query_embedding(self, query: str) -> Embedding:
        """Embed a query."""
        check_text(query, "aget_query_embedding: query")
        aget = without_span(BaseEmbedding.aget_query_embedding)
        vector: Embedding = await aget(await self._awith_cache(self.query_instruction), query)
        return vector

    def get_text_embedding(self, text: str) -> Embedding:
        """Embed a text."""
        check_text(text, "get_text_embedding: text")
        get = without_span(BaseEmbedding.get_text_embedding)
        vector: Embedding = get(self._with_cache(self.text_instruction), text)
        return vector

    async def aget_text_embedding(self, text: str) -> Embedding:
        """Embed a text."""
        check_text(text, "aget_text_embedding: text")
        aget = without_span(BaseEmbedding.aget_text_embedding)
        vector: Embedding = await aget(await self._awith_cache(self.text_instruction), text)
        return vector

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Embed texts."""
        check_texts(texts, "get_text_embedding_batch: texts")
        get = without_span(BaseEmbedding.get_text_embedding_batch)
        vectors: list[Embedding] = get(self, texts, show_progress, **kwargs)
        return vectors

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Embed texts; when a request fails, the others are cancelled."""
        check_texts(texts, "aget_text_embedding_batch: texts")
        async with TaskGroup():
            aget = without_span(BaseEmbedding.aget_text_embedding_batch)
            vectors: list[Embedding] = await aget(self, texts, show_progress, **kwargs)
            return vectors

    def _get_text_embeddings_cached(self, texts: list[str]) -> list[Embedding]:
        cached = self._with_cache(self.text_instruction)
        if cached.embeddings_cache is None:
            return self._get_text_embeddings(texts)
        vectors: list[Embedding] = BaseEmbedding._get_text_embeddings_cached(cached, texts)
        return vectors

    async def _aget_text_embeddings_cached(self, texts: list[str]) -> list[Embedding]:
        cached = await self._awith_cache(self.text_instruction)
        if cached.embeddings_cache is None:
            return await self._aget_text_embeddings(texts)
        vectors: list[Embedding] = await BaseEmbedding._aget_text_embeddings_cached(cached, texts)
        return vectors

    def _with_cache(self, instruction: str) -> VLLMEmbedding:
        """This model with its part of the cache; without one where the served model is not known."""
        if self.embeddings_cache is None:
            return self
        name = self.model_name
        if not name:
            served = self._served_models.ask_for_a_moment(self.client, None)
            name = (served and served.name) or ""
        return self._caching(name, instruction)

    async def _awith_cache(self, instruction: str) -> VLLMEmbedding:
        """As `_with_cache`."""
        if self.embeddings_cache is None:
            return self
        name = self.model_name or (await self._served_models.aask(self.async_client, None)).name
        return self._caching(name or "", instruction)

    def _caching(self, name: str, instruction: str) -> VLLMEmbedding:
        made_by = {
            "model": name,
            "instruction": instruction,
            "dimensions": self.dimensions,
            "truncate_prompt_tokens": self.truncate_prompt_tokens,
            "truncation_side": self.truncation_side,
            **{name: value for name, value in self.additional_kwargs.items() if name != "extra_headers"},
        }
        store: Any = self.embeddings_cache
        cache = CacheOfModel(store, made_by) if name else None
        caching = self.model_copy(update={"embeddings_cache": cache})
        caching._clients, caching._limiter, caching._space = self._clients, self._limiter, self._space
        return caching

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([self.query_instruction + query])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([self.query_instruction + query]))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([self.text_instruction + text for text in texts])

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed([self.text_instruction + text for text in texts])

    def _embed(self, texts: list[str]) -> list[Embedding]:
        vectors: list[Embedding] = []
        for batch in batches(texts, self.embed_batch_size):  # which LlamaIndex has cut by their number
            with naming_long_text(batch, "text"):
                response = self.client.embeddings.create(**self._params(batch))
                vectors += self._checked(response, batch)
        return vectors

    async def _aembed(self, texts: list[str]) -> list[Embedding]:
        # LlamaIndex itself would start the requests of all batches together.
        vectors: list[Embedding] = []
        client = self.async_client
        with closes_with_group():
            for batch in batches(texts, self.embed_batch_size):
                with naming_long_text(batch, "text"):
                    async with self._limiter.at_most(self.num_workers, client):
                        response = await client.embeddings.create(**self._params(batch))
                    vectors += self._checked(response, batch)
        return vectors

    def _checked(self, response: EmbeddingResponse, texts: Sequence[str]) -> list[Embedding]:
        """The vectors, if they may stand beside those before them."""
        vectors = [item.embedding for item in response.data]
        settings = (self.client.keys, self.model_name, self.dimensions)
        self._space.check(vectors, texts, settings, None if self.model_name else response.model)
        return vectors

    def _params(self, texts: Sequence[str]) -> Json:
        return {
            "input": texts,
            "model": self.model_name or None,
            "truncate_prompt_tokens": self.truncate_prompt_tokens,
            "truncation_side": self.truncation_side,
            **({} if self.dimensions is None else {"dimensions": self.dimensions}),
            **self.additional_kwargs,
        }
