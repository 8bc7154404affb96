"""`VLLMCrossEncoder`: vLLM's score as a LangChain cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder

from .parameters import ScoreParameters
from .pooling import Pooling
from .server import CONFIG

Pairs = Sequence[tuple[str, str]]


class VLLMCrossEncoder(Pooling, ScoreParameters, BaseCrossEncoder):
    """Score pairs of texts with a model on a vLLM server: a reranker, a classifier or an embedding model.

    encoder = VLLMCrossEncoder(model="bge-reranker", base_url="http://localhost:8000")
    encoder.score([("capital of France", "Paris is the capital of France.")])
    """

    model_config = CONFIG

    def score(self, text_pairs: Pairs) -> list[float]:
        """One score per pair, in their order."""
        client = self._client()

        def ask(batch: Pairs) -> Any:
            return client.score.create(**self._request(batch))

        return _scores(self._ask_each(ask, self._batches(text_pairs)))

    async def ascore(self, text_pairs: Pairs) -> list[float]:
        """One score per pair, in their order."""
        client = self._async_client()

        async def ask(batch: Pairs) -> Any:
            return await client.score.create(**self._request(batch))

        return _scores(await self._aask_each(ask, self._batches(text_pairs)))

    def _request(self, batch: Pairs) -> dict[str, Any]:
        left, right = zip(*batch, strict=True)
        return {"text_1": list(left), "text_2": list(right), **self._parameters(ScoreParameters)}


def _scores(replies: Sequence[Any]) -> list[float]:
    return [item.score for reply in replies for item in reply.data]
