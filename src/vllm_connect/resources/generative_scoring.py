"""Probabilities of some tokens to be next: POST /generative_scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import Unpack

from .._calls.call import Call, json_call
from .._wire.body import RequestOptions, names, read_params
from .._wire.inputs import count_of
from .._wire.objects import Reader
from ..types import ScoreResponse
from ._base import AsyncOwnResource, OwnResource
from .scoring import check_score, ordered


class GenerativeScoringParams(RequestOptions, total=False):
    """Parameters of `generative_scoring.create`."""

    model: str | None
    query: str | Sequence[int]
    items: Sequence[str] | Sequence[Sequence[int]]
    label_token_ids: Sequence[int]
    """Tokens (`client.tokenize` knows their ids); a score is the probability of the first of them."""
    apply_softmax: bool | None
    """Whether probabilities are those among the labels (default), or those in the whole vocabulary."""
    item_first: bool | None
    """Whether an item stands before the query, not after it."""
    add_special_tokens: bool | None
    cache_salt: str | None
    priority: int | None
    request_id: str | None
    session_id: str | None
    data_parallel_rank: int | None


_OPERATION = "generative_scoring.create"
_KNOWN = names(GenerativeScoringParams)
_read = Reader(ScoreResponse, "data", filled=True)


def _call(params: Mapping[str, object]) -> Call[ScoreResponse]:
    body, options = read_params(_OPERATION, params, _KNOWN)
    if absent := [name for name in ("query", "items", "label_token_ids") if name not in body]:
        raise TypeError(f"{_OPERATION}: pass {' and '.join(f'{name}=' for name in absent)}")
    read = ordered(_read, count_of(body, "items", _OPERATION), check_score, "scores", "items")
    return json_call(_OPERATION, ("/generative_scoring",), body, options, read)


class GenerativeScoring(OwnResource):
    """`generative_scoring.create`."""

    def create(self, **params: Unpack[GenerativeScoringParams]) -> ScoreResponse:
        """Score items by how likely a language model finds a token after query and item.

        Args:
            params: see `GenerativeScoringParams`.
        """
        return self._client._perform(_call(params))


class AsyncGenerativeScoring(AsyncOwnResource):
    """`generative_scoring.create`."""

    async def create(self, **params: Unpack[GenerativeScoringParams]) -> ScoreResponse:
        """Score items by a token that follows them; see `GenerativeScoring.create`."""
        return await self._client._perform(_call(params))
