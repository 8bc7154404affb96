"""Score, classify and pooling: POST /score, /classify, /pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from typing_extensions import Unpack

from .._calls.call import Call, json_call
from .._wire.body import names, read_params
from .._wire.objects import NotAReply, Reader, in_order
from ..types import ClassificationResponse, PoolingResponse, ScoreResponse
from ._base import AsyncOwnResource, OwnResource
from .rerank import PoolingOptions, path_is_missing

#: A text, or vLLM's ``{"content": [parts]}``.
Item = str | Mapping[str, Any]


class ScoreParams(PoolingOptions, total=False):
    """Parameters of `score.create`: one pair of names for the two sides, one to many or pairwise."""

    model: str | None
    queries: Item | Sequence[Item]
    documents: Item | Sequence[Item]
    items: Item | Sequence[Item]
    text_1: Item | Sequence[Item]
    text_2: Item | Sequence[Item]
    data_1: Item | Sequence[Item]
    data_2: Item | Sequence[Item]
    instruction: str | None
    max_tokens_per_query: int | None
    max_tokens_per_doc: int | None
    user: str | None


class InputParams(PoolingOptions, total=False):
    """Parameters of `classify.create`: `input` or `messages`."""

    model: str | None
    input: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
    messages: Iterable[Any]
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    media_io_kwargs: Mapping[str, Any] | None
    user: str | None


class PoolingParams(InputParams, total=False):
    """Parameters of `pooling.create`."""

    task: str | None
    """embed, classify, token_embed, token_classify or plugin. Default: the model's."""
    data: Any
    """For an I/O processor plug-in."""
    encoding_format: str | None
    """"float" (default) or "base64"."""
    embed_dtype: str | None
    endianness: str | None
    softmax: bool | None


_SCORE = names(ScoreParams)
_CLASSIFY = names(InputParams)
_POOLING = names(PoolingParams)

T = TypeVar("T")
R = TypeVar("R", ScoreResponse, ClassificationResponse, PoolingResponse)


def _checked(
    read: Callable[[bytes], R], count: int | None, results: str, inputs: str
) -> Callable[[bytes], R]:
    """Read a reply whose items are one for each input, in the order that their indices tell.

    Args:
        read: reads the reply.
        count: of the inputs; None if it is not known.
        results: what the items are called in an error.
        inputs: what the inputs are called.
    """

    def checked(content: bytes) -> R:
        reply = read(content)
        data: list[Any] = reply.data
        if count is not None and len(data) != count:
            raise NotAReply(f"{len(data)} {results} for {count} {inputs}")
        reply.data = in_order(data, lambda item: getattr(item, "index", None))
        return reply

    return checked


def _length(inputs: object) -> int | None:
    """How many inputs a text, a message, tokens or a list of them are; None if only the server can tell."""
    if isinstance(inputs, (str, Mapping)):
        return 1
    if not isinstance(inputs, Sequence):
        return None
    return 1 if inputs and isinstance(inputs[0], int) else len(inputs)


def _input_count(params: Mapping[str, object]) -> int | None:
    if params.get("messages") is not None:
        return 1
    return _length(params.get("input"))


_read_score = Reader(ScoreResponse, "data", filled=True)
_read_classify = Reader(ClassificationResponse, "data", filled=True)
_read_pooling = Reader(PoolingResponse, "data")

_PAIRS = (("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2"))


def _call(
    operation: str,
    paths: tuple[str, ...],
    known: frozenset[str],
    params: Mapping[str, object],
    read: Callable[[bytes], T],
) -> Call[T]:
    body, options = read_params(operation, params, known)
    return json_call(operation, paths, body, options, read, falls_back=path_is_missing)


def _score_call(params: Mapping[str, object]) -> Call[ScoreResponse]:
    sides = [(params.get(left), params.get(right)) for left, right in _PAIRS]
    given = [(left, right) for left, right in sides if left is not None and right is not None]
    if not given:
        raise TypeError("score.create: pass queries= and documents=, or text_1= and text_2=")
    left, right = (_length(side) for side in given[0])
    count = None if left is None or right is None else max(left, right)  # one with many, or pairwise
    read = _checked(_read_score, count, "scores", "pairs")
    return _call("score.create", ("/score", "/v1/score"), _SCORE, params, read)


def _classify_call(params: Mapping[str, object]) -> Call[ClassificationResponse]:
    if params.get("input") is None and params.get("messages") is None:
        raise TypeError("classify.create: pass input= or messages=")
    read = _checked(_read_classify, _input_count(params), "classes", "inputs")
    return _call("classify.create", ("/classify",), _CLASSIFY, params, read)


def _pooling_call(params: Mapping[str, object]) -> Call[PoolingResponse]:
    if all(params.get(name) is None for name in ("input", "messages", "data")):
        raise TypeError("pooling.create: pass input=, messages= or data=")
    encoding = params.get("encoding_format")
    if encoding in ("bytes", "bytes_only"):
        raise ValueError(f"pooling.create: encoding_format is 'float' or 'base64', not {encoding!r}")
    count = None if params.get("data") is not None else _input_count(params)  # a plug-in answers as it likes
    read = _checked(_read_pooling, count, "results", "inputs")
    return _call("pooling.create", ("/pooling",), _POOLING, params, read)


class Score(OwnResource):
    """`score.create`."""

    def create(self, **params: Unpack[ScoreParams]) -> ScoreResponse:
        """Score how well texts match: one with many, or pairwise.

        Args:
            params: see `ScoreParams`; cross-encoders give probabilities, embedding models cosines.
        """
        return self._client._perform(_score_call(params))


class AsyncScore(AsyncOwnResource):
    """`score.create`."""

    async def create(self, **params: Unpack[ScoreParams]) -> ScoreResponse:
        """Score how well texts match; see `Score.create`."""
        return await self._client._perform(_score_call(params))


class Classify(OwnResource):
    """`classify.create`."""

    def create(self, **params: Unpack[InputParams]) -> ClassificationResponse:
        """Classify texts.

        Args:
            params: see `InputParams`.
        """
        return self._client._perform(_classify_call(params))


class AsyncClassify(AsyncOwnResource):
    """`classify.create`."""

    async def create(self, **params: Unpack[InputParams]) -> ClassificationResponse:
        """Classify texts; see `Classify.create`."""
        return await self._client._perform(_classify_call(params))


class Pooling(OwnResource):
    """`pooling.create`."""

    def create(self, **params: Unpack[PoolingParams]) -> PoolingResponse:
        """Run a pooling model for what it gives: a vector, a vector per token, classes.

        Args:
            params: see `PoolingParams`.
        """
        return self._client._perform(_pooling_call(params))


class AsyncPooling(AsyncOwnResource):
    """`pooling.create`."""

    async def create(self, **params: Unpack[PoolingParams]) -> PoolingResponse:
        """Run a pooling model; see `Pooling.create`."""
        return await self._client._perform(_pooling_call(params))
