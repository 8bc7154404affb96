"""`VLLMEmbeddings`: vLLM's embeddings as a LangChain embedding model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from .errors import model_errors
from .server import Server

_PARAMETERS = (
    "dimensions",
    "truncate_prompt_tokens",
    "truncation_side",
    "embed_dtype",
    "use_activation",
    "priority",
    "user",
    "extra_body",
)


class VLLMEmbeddings(Server, Embeddings):
    """Embed texts with a model on a vLLM server.

        embeddings = VLLMEmbeddings(model="bge", base_url="http://localhost:8000")
        embeddings.embed_query("What is the capital of France?")

    Texts are sent as they are, `batch_size` of them per request, `concurrency` requests at once.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = None
    """The name under which the server serves it. Default: the server's model."""
    query_instruction: str = ""
    """Put before queries, where the model was trained with one."""
    document_instruction: str = ""
    """Put before documents."""
    batch_size: int = Field(default=256, ge=1)
    """Texts per request at the most."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at once, at the most."""
    show_progress_bar: bool = False
    """Needs tqdm."""
    dimensions: int | None = None
    """Shorter vectors, of models that can (Matryoshka)."""
    truncate_prompt_tokens: int | None = None
    """Keep this many tokens of a text; -1 for the model's context. Otherwise too long a text is an error."""
    truncation_side: str | None = None
    """"left" or "right"."""
    embed_dtype: str | None = None
    """What vectors travel as: float32 (default), float16, bfloat16."""
    use_activation: bool | None = None
    """False: vectors are not normalised, where the model normalises."""
    priority: int | None = None
    """Lower is sooner, where the server schedules by priority."""
    user: str | None = None
    """OpenAI's."""
    extra_body: Mapping[str, Any] | None = None
    """Whatever else the server understands."""

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where a saved model is looked for."""
        return ["langchain_vllm", "embeddings"]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, in their order."""
        batches = self._batches(texts)
        with model_errors(), self._progress(len(texts)) as progress:
            if len(batches) <= 1 or self.concurrency == 1:
                found = [self._embed(batch, progress) for batch in batches]
            else:
                with ThreadPoolExecutor(min(self.concurrency, len(batches))) as pool:
                    futures = [pool.submit(self._embed, batch, progress) for batch in batches]
                    try:
                        found = [future.result() for future in futures]
                    except BaseException:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
        return [vector for vectors in found for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        """Embed a query."""
        with model_errors():
            reply = self._client().embeddings.create(**self._request([self.query_instruction + text]))
        return reply.data[0].embedding

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, in their order."""
        permits = asyncio.Semaphore(self.concurrency)
        client = self._async_client()

        async def embed(batch: list[str], progress: Any) -> list[list[float]]:
            async with permits:
                reply = await client.embeddings.create(**self._request(batch))
            progress.update(len(batch))
            return [item.embedding for item in reply.data]

        with model_errors(), self._progress(len(texts)) as progress:
            tasks = [asyncio.ensure_future(embed(batch, progress)) for batch in self._batches(texts)]
            try:
                found = await asyncio.gather(*tasks)
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                raise
        return [vector for vectors in found for vector in vectors]

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query."""
        with model_errors():
            request = self._request([self.query_instruction + text])
            reply = await self._async_client().embeddings.create(**request)
        return reply.data[0].embedding

    def _embed(self, batch: list[str], progress: Any) -> list[list[float]]:
        reply = self._client().embeddings.create(**self._request(batch))
        progress.update(len(batch))
        return [item.embedding for item in reply.data]

    def _batches(self, texts: Sequence[str]) -> list[list[str]]:
        """The texts of each request, with the instruction before each."""
        prefixed = [self.document_instruction + text for text in texts]
        return [prefixed[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size)]

    def _request(self, texts: list[str]) -> dict[str, Any]:
        request = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        return {"model": self.model, "input": texts, **request}

    def _progress(self, total: int) -> Any:
        if not self.show_progress_bar:
            return _NoProgress()
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("show_progress_bar needs tqdm: pip install tqdm") from error
        return tqdm(total=total, unit="text")


class _NoProgress:
    """A progress bar that nobody asked for."""

    def __enter__(self) -> _NoProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int) -> None:
        """Take note of so many more texts."""
