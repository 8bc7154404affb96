"""`VLLMCrossEncoder`: vLLM's score as a LangChain cross-encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.cross_encoders import BaseCrossEncoder
from vllm_connect.types import ScoreResponse

from .parameters import ScoreParameters
from .pooling import Pooling, listed
from .server import CONFIG
from .wire import Json

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

        def ask(batch: Pairs) -> ScoreResponse:
            return client.score.create(**self._request(batch))

        return _scores(self._ask_each(ask, self._batches(_checked(text_pairs))))

    async def ascore(self, text_pairs: Pairs) -> list[float]:
        """One score per pair, in their order."""
        client = self._async_client()

        async def ask(batch: Pairs) -> ScoreResponse:
            return await client.score.create(**self._request(batch))

        return _scores(await self._aask_each(ask, self._batches(_checked(text_pairs))))

    def _request(self, batch: Pairs) -> Json:
        left, right = zip(*batch, strict=True)
        return {"text_1": list(left), "text_2": list(right), **self._parameters(ScoreParameters)}


def _checked(text_pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs.

    Raises:
        TypeError: one is no pair of texts; a text of two letters would pass for one.
    """
    pairs = listed(text_pairs, "pairs of texts")
    for place, pair in enumerate(pairs):
        if isinstance(pair, (str, bytes)) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise TypeError(
                f"score: text_pairs is a list of pairs of texts, and its item {place} is {pair!r}"
            )
    return pairs


def _scores(replies: Sequence[ScoreResponse]) -> list[float]:
    return [item.score for reply in replies for item in reply.data]
