"""Score, classify and pooling: POST /score, /classify, /pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from typing_extensions import Unpack

from .._calls.call import Call, Variant, json_call
from .._wire.body import encode, names, read_params
from .._wire.decoding import JsonObject
from .._wire.inputs import count_of, is_number
from .._wire.objects import NotAReply, Reader, in_order
from .._wire.payloads import ErrorPayload
from .._wire.vectors import Layout, read_arrays
from ..types import ClassificationResponse, PoolingResponse, ScoreResponse
from ..types.scoring import Classification as ClassificationItem
from ..types.scoring import Pooling as PoolingItem
from ..types.scoring import Score as ScoreItem
from ._base import AsyncOwnResource, OwnResource
from .embeddings import FEW, format_is_refused, in_format
from .rerank import PoolingOptions, path_is_missing

if TYPE_CHECKING:
    from .._transport._httpx import httpx

#: A text, or vLLM's ``{"content": [parts]}``.
Item = str | Mapping[str, object]


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
    messages: Iterable[object]
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    media_io_kwargs: Mapping[str, object] | None
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
    as_numpy: bool | None
    """`data` as float32 numpy arrays, of shape (numbers,) or (tokens, numbers); needs the `[numpy]` extra."""


_SCORE = names(ScoreParams)
_CLASSIFY = names(InputParams)
_POOLING = names(PoolingParams)

T = TypeVar("T")
R = TypeVar("R", ScoreResponse, ClassificationResponse, PoolingResponse)

_read_score = Reader(ScoreResponse, "data", filled=True)
_read_classify = Reader(ClassificationResponse, "data", filled=True)
_read_pooling = Reader(PoolingResponse, "data")

_OLDER_PAIR = ("text_1", "text_2")
_PAIRS = (("queries", "documents"), ("queries", "items"), _OLDER_PAIR, ("data_1", "data_2"))


def ordered(
    read: Callable[[bytes], R],
    count: int | None,
    check: Callable[[Any, int], None],
    results: str = "results",
    inputs: str = "inputs",
) -> Callable[[bytes], R]:
    """Read a reply with an item for each input, whose indices say which.

    Args:
        read: reads the reply.
        count: how many items there must be, None when only the server knows.
        results: what the items are called in an error.
        inputs: what the inputs are called.
        check: raises `NotAReply` for an item, and its index, whose numbers are none.
    """

    def ordered(content: bytes) -> R:
        reply = read(content)
        data: list[Any] = reply.data
        if count is not None and len(data) != count:
            raise NotAReply(f"{len(data)} {results} for {count} {inputs}")
        data = in_order(data, lambda item: getattr(item, "index", None))
        for index, item in enumerate(data):
            check(item, index)
        reply.data = data
        return reply

    return ordered


def check_score(item: ScoreItem, index: int) -> None:
    """Raise `NotAReply` for a score that is no number."""
    if not is_number(getattr(item, "score", None)):
        raise NotAReply(f"result {index} has no score that is a number")


def _check_classes(item: ClassificationItem, index: int) -> None:
    probabilities = getattr(item, "probs", None)
    if not isinstance(probabilities, list) or not all(map(is_number, probabilities)):
        raise NotAReply(f"result {index} has no probabilities that are numbers")


def _check_pooling(item: PoolingItem, index: int) -> None:
    data = getattr(item, "data", None)
    if data is None:
        raise NotAReply(f"result {index} has no data")
    if isinstance(data, list) and any(value is None or isinstance(value, str) for value in data):
        raise NotAReply(f"result {index} has data that is no number")


def _call(
    operation: str,
    paths: tuple[str, ...],
    body: JsonObject,
    options: Mapping[str, object],
    read: Callable[[bytes], T],
) -> Call[T]:
    return json_call(operation, paths, body, options, read, falls_back=path_is_missing)


def _score_call(params: Mapping[str, object]) -> Call[ScoreResponse]:
    body, options = read_params("score.create", params, _SCORE)
    pair = next((pair for pair in _PAIRS if pair[0] in body and pair[1] in body), None)
    if pair is None:
        raise TypeError("score.create: pass queries= and documents=, or text_1= and text_2=")
    _, right = (count_of(body, name, "score.create") for name in pair)  # one with many, or pairwise
    read = ordered(_read_score, right, check_score, "scores", "pairs")
    call = _call("score.create", ("/score", "/v1/score"), body, options, read)
    if pair == _OLDER_PAIR:
        return call
    texts = dict(zip(_OLDER_PAIR, map(body.pop, pair), strict=True))
    content = partial(encode, {**body, **texts}, operation="score.create")
    older = (Variant(variant.path, content, "older") for variant in call.variants)
    return replace(call, variants=(*call.variants, *older), falls_back=_is_worded_otherwise)


def _is_worded_otherwise(variant: Variant, status: int, error: ErrorPayload) -> bool:
    """Tell whether a server has score elsewhere, or misses the older names of the texts (vLLM 0.12)."""
    wants_older = status in (400, 422) and not variant.kind and "text_1" in error.message
    return wants_older or path_is_missing(variant, status, error)


def _classify_call(params: Mapping[str, object]) -> Call[ClassificationResponse]:
    body, options = read_params("classify.create", params, _CLASSIFY)
    if "input" not in body and "messages" not in body:
        raise TypeError("classify.create: pass input= or messages=")
    count = 1 if "messages" in body else count_of(body, "input", "classify.create")
    return _call(
        "classify.create",
        ("/classify",),
        body,
        options,
        ordered(_read_classify, count, _check_classes, "classes"),
    )


def _pooling_call(params: Mapping[str, object]) -> Call[PoolingResponse]:
    body, options = read_params("pooling.create", params, _POOLING)
    if not body.keys() & {"input", "messages", "data"}:
        raise TypeError("pooling.create: pass input=, messages= or data=")
    encoding = body.get("encoding_format")
    if encoding in ("bytes", "bytes_only"):
        raise ValueError(f"pooling.create: encoding_format is 'float' or 'base64', not {encoding!r}")
    as_numpy = body.pop("as_numpy", False)
    # A plug-in, which takes `data`, answers as it likes.
    count = None if "data" in body else 1 if "messages" in body else count_of(body, "input", "pooling.create")
    if as_numpy:
        if "data" in body or encoding == "base64":
            raise ValueError("pooling.create: as_numpy=True goes neither with data= nor with base64")
        return _array_call(body, options, count)
    return _call(
        "pooling.create", ("/pooling",), body, options, ordered(_read_pooling, count, _check_pooling)
    )


def _array_call(body: JsonObject, options: Mapping[str, object], count: int | None) -> Call[PoolingResponse]:
    """Build a call for arrays: as bytes, whose shape a header tells, where there are few inputs."""
    layout = Layout(True, count, body.get("embed_dtype", "float32"), body.get("endianness", "native"))

    def read(reply: httpx.Response) -> PoolingResponse:
        about, arrays = read_arrays(reply.content, reply.headers, layout)
        response = _read_pooling(encode({**about, "data": []}, operation="pooling.create"))
        response.data = [PoolingItem(index=index, data=array) for index, array in enumerate(arrays)]
        return response

    # vLLM 0.13 is the first that can send bytes; it ignores what is not in the body.
    kinds = ["float"] if "encoding_format" in body or (count or 1) > FEW else ["bytes", "float"]
    fields = {name: value for name, value in body.items() if name != "encoding_format"}
    call = json_call("pooling.create", ("/pooling",), fields, options, _read_pooling)
    content = cast("bytes", call.variants[0].body)
    variants = tuple(Variant("/pooling", in_format(content, kind), kind) for kind in kinds)
    return replace(call, variants=variants, read=None, read_reply=read, falls_back=format_is_refused)


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

        Returns:
            The `data` of each input, in their order: numbers, lists of them for a vector per token, or with
            `as_numpy=True` an array of one or two dimensions.
        """
        return self._client._perform(_pooling_call(params))


class AsyncPooling(AsyncOwnResource):
    """`pooling.create`."""

    async def create(self, **params: Unpack[PoolingParams]) -> PoolingResponse:
        """Run a pooling model; see `Pooling.create`."""
        return await self._client._perform(_pooling_call(params))
