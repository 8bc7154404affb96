"""`VLLMRerank`: vLLM's rerank as a LangChain document compressor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field

from .errors import model_errors
from .server import Server

_PARAMETERS = (
    "instruction",
    "max_tokens_per_query",
    "max_tokens_per_doc",
    "truncate_prompt_tokens",
    "use_activation",
    "priority",
    "user",
    "extra_body",
)


class VLLMRerank(Server, BaseDocumentCompressor):
    """Order documents by relevance with a model on a vLLM server.

        rerank = VLLMRerank(model="bge-reranker", base_url="http://localhost:8000", top_n=3)
        rerank.compress_documents(documents, "What is the capital of France?")

    The documents that come out are copies, ids and all, with ``metadata["relevance_score"]``.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = None
    """The name under which the server serves it. Default: the server's model."""
    top_n: int | None = Field(default=None, ge=1)
    """How many documents to keep. Default: all."""
    batch_size: int = Field(default=512, ge=1)
    """Documents per request at the most; scores of several requests compare."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at once, at the most."""
    instruction: str | None = None
    """For models that were trained with one."""
    max_tokens_per_query: int | None = None
    """Cuts the query."""
    max_tokens_per_doc: int | None = None
    """Cuts documents."""
    truncate_prompt_tokens: int | None = None
    """Keep this many tokens of query and document; -1 for the model's context."""
    use_activation: bool | None = None
    """False: raw logits instead of scores from 0 to 1."""
    priority: int | None = None
    """Lower is sooner, where the server schedules by priority."""
    user: str | None = None
    """OpenAI's."""
    extra_body: Mapping[str, Any] | None = None
    """Whatever else the server understands."""

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where a saved model is looked for."""
        return ["langchain_vllm", "rerank"]

    def rerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[dict[str, Any]]:
        """Order texts by relevance.

        Returns:
            ``{"index": …, "relevance_score": …}`` of the best, the best first.
        """
        batches = self._batches(documents)
        with model_errors():
            if len(batches) <= 1:
                found = [self._ask(query, batch) for batch in batches]
            else:
                with ThreadPoolExecutor(min(self.concurrency, len(batches))) as pool:
                    found = list(pool.map(lambda batch: self._ask(query, batch), batches))
        return self._best(found, top_n)

    async def arerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[dict[str, Any]]:
        """Order texts by relevance; see `rerank`."""
        permits = asyncio.Semaphore(self.concurrency)
        client = self._async_client()

        async def ask(batch: list[str]) -> Any:
            async with permits:
                return await client.rerank.create(**self._request(query, batch))

        with model_errors():
            found = await asyncio.gather(*(ask(batch) for batch in self._batches(documents)))
        return self._best(found, top_n)

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

    def _ask(self, query: str, batch: list[str]) -> Any:
        return self._client().rerank.create(**self._request(query, batch))

    def _batches(self, documents: Sequence[str | Document]) -> list[list[str]]:
        texts = [each.page_content if isinstance(each, Document) else each for each in documents]
        return [texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size)]

    def _request(self, query: str, batch: list[str]) -> dict[str, Any]:
        request = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        return {"model": self.model, "query": query, "documents": batch, **request}

    def _best(self, replies: Sequence[Any], top_n: int | None) -> list[dict[str, Any]]:
        ranked = [
            {
                "index": number * self.batch_size + result.index,
                "relevance_score": result.relevance_score,
            }
            for number, reply in enumerate(replies)
            for result in reply.results
        ]
        ranked.sort(key=lambda result: (-result["relevance_score"], result["index"]))
        return ranked[: top_n or self.top_n]


def _with_scores(documents: Sequence[Document], ranked: Sequence[Mapping[str, Any]]) -> list[Document]:
    found = []
    for result in ranked:
        document = documents[result["index"]]
        metadata = {**document.metadata, "relevance_score": result["relevance_score"]}
        found.append(document.model_copy(update={"metadata": metadata}))
    return found
