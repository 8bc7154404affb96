"""`VLLMRerank`: vLLM's rerank as a LangChain document compressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field
from vllm_connect.types import RerankResponse

from .parameters import ScoreParameters
from .pooling import Pooling, check_text, listed
from .server import CONFIG
from .wire import Json


class VLLMRerank(Pooling, ScoreParameters, BaseDocumentCompressor):
    """Order documents by relevance with a model on a vLLM server.

    Instantiate:
        ```python
        from langchain_vllm import VLLMRerank

        rerank = VLLMRerank(model="bge-reranker", base_url="http://localhost:8000", top_n=1)
        ```

    Compress documents:
        ```python
        from langchain_core.documents import Document

        documents = [Document("Cats purr."), Document("Paris is the capital of France.")]
        rerank.compress_documents(documents, "What is the capital of France?")
        ```

    With `langchain-classic`, `ContextualCompressionRetriever(base_compressor=rerank, …)` takes it.

    The documents that come out are copies, ids and all, with ``metadata["relevance_score"]``.
    """

    model_config = CONFIG

    top_n: int | None = Field(default=None, ge=1)
    """How many documents to keep. Default: all."""

    def rerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[Json]:
        """Order texts by relevance.

        Returns:
            ``{"index": …, "relevance_score": …}`` of the best, the best first.

        Raises:
            ValueError: `top_n` is less than 1.
        """
        client = self._client()

        def ask(batch: Sequence[str]) -> RerankResponse:
            return client.rerank.create(**self._request(query, batch))

        return self._best(self._ask_each(ask, self._batches(_texts(documents))), top_n)

    async def arerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[Json]:
        """Order texts by relevance; see `rerank`."""
        client = self._async_client()

        async def ask(batch: Sequence[str]) -> RerankResponse:
            return await client.rerank.create(**self._request(query, batch))

        return self._best(await self._aask_each(ask, self._batches(_texts(documents))), top_n)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The most relevant documents, the best first."""
        return _with_scores(documents, self.rerank(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The most relevant documents, the best first."""
        return _with_scores(documents, await self.arerank(documents, query))

    def _request(self, query: str, batch: Sequence[str]) -> Json:
        check_text(query, "rerank: query")
        return {"query": query, "documents": batch, **self._parameters(ScoreParameters)}

    def _best(self, replies: Sequence[RerankResponse], top_n: int | None) -> list[Json]:
        if top_n is not None and top_n < 1:
            raise ValueError(f"top_n is how many documents to keep, at least 1, not {top_n}")
        ranked = [
            {"index": number * self.batch_size + result.index, "relevance_score": result.relevance_score}
            for number, reply in enumerate(replies)
            for result in reply.results
        ]
        ranked.sort(key=lambda result: (-result["relevance_score"], result["index"]))
        return ranked[: top_n or self.top_n]


def _texts(documents: Sequence[str | Document]) -> list[str]:
    texts = listed(documents, "documents")
    return [each.page_content if isinstance(each, Document) else each for each in texts]


def _with_scores(documents: Sequence[Document], ranked: Sequence[Mapping[str, Any]]) -> list[Document]:
    found = []
    for result in ranked:
        document = documents[result["index"]]
        metadata = {**document.metadata, "relevance_score": result["relevance_score"]}
        found.append(document.model_copy(update={"metadata": metadata}))
    return found
