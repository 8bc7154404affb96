"""`VLLMCrossEncoder`: vLLM's score as a LangChain cross-encoder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder
from pydantic import ConfigDict, Field

from .errors import model_errors
from .server import Server

_PARAMETERS = ("instruction", "truncate_prompt_tokens", "use_activation", "priority", "user", "extra_body")

Pairs = Sequence[tuple[str, str]]


class VLLMCrossEncoder(Server, BaseCrossEncoder):
    """Score pairs of texts with a model on a vLLM server: a reranker, a classifier or an embedding model.

    encoder = VLLMCrossEncoder(model="bge-reranker", base_url="http://localhost:8000")
    encoder.score([("capital of France", "Paris is the capital of France.")])
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = None
    """The name under which the server serves it. Default: the server's model."""
    batch_size: int = Field(default=512, ge=1)
    """Pairs per request at the most."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at once, at the most."""
    instruction: str | None = None
    """For models that were trained with one."""
    truncate_prompt_tokens: int | None = None
    """Keep this many tokens of a pair; -1 for the model's context."""
    use_activation: bool | None = None
    """False: raw logits."""
    priority: int | None = None
    """Lower is sooner, where the server schedules by priority."""
    user: str | None = None
    """OpenAI's."""
    extra_body: Mapping[str, Any] | None = None
    """Whatever else the server understands."""

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where a saved model is looked for."""
        return ["langchain_vllm", "cross_encoder"]

    def score(self, text_pairs: Pairs) -> list[float]:
        """One score per pair, in their order."""
        batches = self._batches(text_pairs)
        with model_errors():
            if len(batches) <= 1:
                found = [self._ask(batch) for batch in batches]
            else:
                with ThreadPoolExecutor(min(self.concurrency, len(batches))) as pool:
                    found = list(pool.map(self._ask, batches))
        return [item.score for reply in found for item in reply.data]

    async def ascore(self, text_pairs: Pairs) -> list[float]:
        """One score per pair, in their order."""
        permits = asyncio.Semaphore(self.concurrency)
        client = self._async_client()

        async def ask(batch: Pairs) -> Any:
            async with permits:
                return await client.score.create(**self._request(batch))

        with model_errors():
            found = await asyncio.gather(*(ask(batch) for batch in self._batches(text_pairs)))
        return [item.score for reply in found for item in reply.data]

    def _ask(self, batch: Pairs) -> Any:
        return self._client().score.create(**self._request(batch))

    def _batches(self, pairs: Pairs) -> list[Pairs]:
        return [pairs[start : start + self.batch_size] for start in range(0, len(pairs), self.batch_size)]

    def _request(self, batch: Pairs) -> dict[str, Any]:
        request = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        left, right = zip(*batch, strict=True)
        return {"model": self.model, "text_1": list(left), "text_2": list(right), **request}
