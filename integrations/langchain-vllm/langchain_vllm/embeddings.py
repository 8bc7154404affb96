"""`VLLMEmbeddings`: vLLM's embeddings as a LangChain embedding model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from vllm_connect.adapters import beginning_of, naming_long_text
from vllm_connect.types import EmbeddingResponse

from .content import content_of
from .errors import model_errors
from .parameters import EmbeddingParameters
from .pooling import Pooling, check_text, listed
from .server import CONFIG
from .wire import Json


class VLLMEmbeddings(Pooling, EmbeddingParameters, Embeddings):
    """Embed texts with a model on a vLLM server.

    Setup:
        Install `langchain-vllm`, and have a vLLM server with an embedding model.

        ```bash
        pip install -U langchain-vllm
        export VLLM_BASE_URL="http://localhost:8000"  # unless you pass base_url
        ```

    Key init args:
        model: name of the model; by default the server's.
        query_instruction, document_instruction: put before queries and documents.
        batch_size: texts in one request.
        concurrency: requests at once; by default as many as the servers do best with.
        base_url, api_key, keys, timeout, max_retries: as of `ChatVLLM`.

    Instantiate:
        ```python
        from langchain_vllm import VLLMEmbeddings

        embeddings = VLLMEmbeddings(model="bge", base_url="http://localhost:8000")
        ```

    Embed one text, or many:
        ```python
        embeddings.embed_query("What is the capital of France?")
        embeddings.embed_documents(["Paris is the capital of France.", "Cats purr."])
        ```

    Async:
        ```python
        import asyncio

        asyncio.run(embeddings.aembed_documents(["Cats purr."]))
        ```

    Texts are sent as they are, `batch_size` of them per request, several requests at once.
    """

    model_config = CONFIG

    query_instruction: str = ""
    """Put before queries, where the model was trained with one."""
    document_instruction: str = ""
    """Put before documents."""
    show_progress_bar: bool = False
    """Needs tqdm."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, in their order."""
        texts = listed(texts, "texts")
        client = self._client()
        with self._progress(len(texts)) as progress:

            def embed(batch: Sequence[str]) -> list[list[float]]:
                with naming_long_text(batch):
                    reply = client.embeddings.create(**self._request(self.document_instruction, batch))
                progress.update(len(batch))
                return _vectors(reply, batch)

            found = self._ask_each(embed, self._batches(texts, self.document_instruction))
        return [vector for vectors in found for vector in vectors]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, in their order."""
        texts = listed(texts, "texts")
        client = self._async_client()
        with self._progress(len(texts)) as progress:

            async def embed(batch: Sequence[str]) -> list[list[float]]:
                with naming_long_text(batch):
                    reply = await client.embeddings.create(**self._request(self.document_instruction, batch))
                progress.update(len(batch))
                return _vectors(reply, batch)

            found = await self._aask_each(embed, self._batches(texts, self.document_instruction))
        return [vector for vectors in found for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        """Embed a query."""
        check_text(text, "embed_query: text")
        with model_errors(), naming_long_text([text]):
            request = self._request(self.query_instruction, [text])
            return _vectors(self._client().embeddings.create(**request), [text])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query."""
        check_text(text, "embed_query: text")
        with model_errors(), naming_long_text([text]):
            request = self._request(self.query_instruction, [text])
            return _vectors(await self._async_client().embeddings.create(**request), [text])[0]

    def embed_image(self, uris: Sequence[str | Path]) -> list[list[float]]:
        """Embed images, with a model that can: one request each, several of them at once.

        Args:
            uris: ``http:``, ``https:`` or ``data:`` URLs, or paths of files.
        """
        uris = listed(uris, "images")
        client = self._client()

        def embed(uri: str | Path) -> list[float]:
            return _vectors(client.embeddings.create(**self._image_request(uri)), [uri])[0]

        return self._ask_each(embed, uris)

    async def aembed_image(self, uris: Sequence[str | Path]) -> list[list[float]]:
        """As `embed_image`."""
        uris = listed(uris, "images")
        client = self._async_client()

        async def embed(uri: str | Path) -> list[float]:
            return _vectors(await client.embeddings.create(**self._image_request(uri)), [uri])[0]

        return await self._aask_each(embed, uris)

    def _image_request(self, uri: str | Path) -> Json:
        is_url = str(uri).startswith(("http:", "https:", "data:"))
        image = {"type": "image", "url": uri} if is_url else {"type": "image", "path": Path(uri)}
        message = {"role": "user", "content": content_of([image])}
        return {"messages": [message], **self._parameters(EmbeddingParameters)}

    def _request(self, instruction: str, texts: Sequence[str]) -> Json:
        for place, text in enumerate(texts):
            check_text(text, f"embed_documents: item {place} of a batch")
        return {"input": [instruction + text for text in texts], **self._parameters(EmbeddingParameters)}

    def _progress(self, total: int) -> Any:
        if not self.show_progress_bar:
            return _NoProgress()
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("show_progress_bar needs tqdm: pip install tqdm") from error
        return tqdm(total=total, unit="text")


def _vectors(reply: EmbeddingResponse, inputs: Sequence[object]) -> list[list[float]]:
    """The vectors of a reply.

    Raises:
        ValueError: one of them is not finite; a vector store would keep it, and never find anything by it.
    """
    vectors = [item.embedding for item in reply.data]
    for vector, each in zip(vectors, inputs, strict=True):
        if not math.isfinite(sum(vector)):
            raise ValueError(f"the vector of the text that begins {beginning_of(each)} is not finite (NaN)")
    return vectors


class _NoProgress:
    """A progress bar that nobody asked for."""

    def __enter__(self) -> _NoProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int) -> None:
        """Take note of so many more texts."""
