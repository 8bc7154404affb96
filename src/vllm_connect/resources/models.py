"""The list of models: GET /v1/models of every key, at once.

One key that answers is a success; the result says how each one answered. Allow and block lists filter it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from openai._constants import RAW_RESPONSE_HEADER
from openai.resources.models import AsyncModels as SDKAsyncModels
from openai.resources.models import Models as SDKModels
from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._keys.choosing import allows
from .._keys.key import Key
from .._transport.loops import gather
from .._unsupported import only
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import NotAReply, Reader
from ..errors import VLLMError
from ..types import AsyncModelPage, KeyStatus, Model, ModelPage

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


T = TypeVar("T")
PageT = TypeVar("PageT", ModelPage, AsyncModelPage)

Answer = list[Model] | VLLMError
Answers = list[Answer]

_KNOWN = names(RequestOptions)
_read: Reader[ModelPage] = Reader(ModelPage, "data")
_INSTEAD = "vLLM has no such route; look it up in models.list()"


def _call(key: Key, params: RequestOptions, read: Callable[[bytes], T]) -> Call[T]:
    _, options = read_params("models.list", params, _KNOWN)
    return Call(
        "models.list",
        (Variant("/v1/models"),),
        read=read,
        options=options,
        method="get",
        generates=False,
        key_name=key.name,
    )


def _read_models(data: bytes) -> list[Model]:
    models = _read(data).data
    if not all(isinstance(model, Model) and isinstance(model.id, str) for model in models):
        raise NotAReply(f"a model without an id: {data[:200]!r}")
    return models


def gather_models(keys: Sequence[Key], answers: Sequence[Answer]) -> tuple[list[Model], list[KeyStatus]]:
    """Put the lists of several servers together.

    Args:
        keys: the keys that were asked.
        answers: the models of each, or why there are none.

    Returns:
        Models by name, each with the keys that serve it and the least context that one of them gives it; and
        the status of each key.

    Raises:
        VLLMError: no key answered; the first one's error.
    """
    models: dict[str, Model] = {}
    statuses = []
    for key, answer in zip(keys, answers, strict=True):
        if isinstance(answer, VLLMError):
            statuses.append(KeyStatus(key_name=key.name, status="list_models_failed", error=str(answer)))
            continue
        statuses.append(KeyStatus(key_name=key.name, status="success"))
        for model in answer:
            if allows(key, model.id):
                first = models.setdefault(model.id, model)
                first.key_names = [*first.key_names, key.name]
                lengths = [length for each in (first, model) if (length := each.max_model_len)]
                if lengths:
                    first.max_model_len = min(lengths)
    failed = [answer for answer in answers if isinstance(answer, VLLMError)]
    if len(failed) == len(answers):
        raise failed[0]
    return sorted(models.values(), key=lambda model: model.id), statuses


def _page(kind: type[PageT], keys: Sequence[Key], answers: Sequence[Answer]) -> PageT:
    models, statuses = gather_models(keys, answers)
    return kind.construct(object="list", data=models, key_statuses=statuses)


def _read_page(
    kind: type[PageT], keys: Sequence[Key], answers: Answers, number: int, content: bytes
) -> PageT:
    """Read the reply of one key as the page of all, whose other answers are there."""
    answers[number] = _read_models(content)
    return _page(kind, keys, answers)


def _wants_raw_reply(params: RequestOptions) -> bool:
    return RAW_RESPONSE_HEADER in (params.get("extra_headers") or {})


def _plain(params: RequestOptions) -> RequestOptions:
    """The same without the mark that asks for a raw reply."""
    headers = params.get("extra_headers") or {}
    return {
        **params,
        "extra_headers": {name: value for name, value in headers.items() if name != RAW_RESPONSE_HEADER},
    }


@only("models", "list", retrieve=_INSTEAD)
class Models(SDKModels):
    """The list of models."""

    _client: VLLM

    def list(self, **params: Unpack[RequestOptions]) -> ModelPage:  # type: ignore[override]  # vLLM's parameters
        """List the models of every key.

        Returns:
            A page whose `data` holds `Model`s, and whose `key_statuses` tells how each key answered.

        Raises:
            VLLMError: no key answered.
        """
        keys = [key for key in self._client.keys if key.enabled]
        if _wants_raw_reply(params):
            return self._raw(keys, params)
        return _page(ModelPage, keys, self._ask(keys, params))

    def _ask(self, keys: Sequence[Key], params: RequestOptions) -> Answers:
        if len(keys) < 2:
            return [self._ask_one(key, params) for key in keys]
        with ThreadPoolExecutor(max_workers=min(32, len(keys))) as pool:
            return [*pool.map(lambda key: self._ask_one(key, params), keys)]

    def _ask_one(self, key: Key, params: RequestOptions) -> Answer:
        try:
            return self._client._perform(_call(key, params, _read_models))
        except VLLMError as error:
            return error

    def _raw(self, keys: Sequence[Key], params: RequestOptions) -> ModelPage:
        """The raw reply of the first key that answers, to be parsed as the page of all of them."""
        answers: Answers = [[], *self._ask(keys[1:], _plain(params))]
        for number, key in enumerate(keys):
            if isinstance(answers[number], VLLMError):
                continue
            try:
                read = partial(_read_page, ModelPage, keys, answers, number)
                return self._client._perform(_call(key, params, read))
            except VLLMError as error:
                answers[number] = error
        return _page(ModelPage, keys, answers)


@only("models", "list", retrieve=_INSTEAD)
class AsyncModels(SDKAsyncModels):
    """The list of models."""

    _client: AsyncVLLM

    def list(self, **params: Unpack[RequestOptions]) -> AsyncModelList:  # type: ignore[override]  # vLLM's parameters
        """List the models of every key; await it, or iterate it with `async for`. See `Models.list`."""
        return AsyncModelList(self._client, params)


class AsyncModelList:
    """The result of `AsyncModels.list`, as awaitable and iterable as the SDK's paginator."""

    def __init__(self, client: AsyncVLLM, params: RequestOptions) -> None:
        self._client = client
        self._params = params

    def __await__(self) -> Generator[Any, None, AsyncModelPage]:
        return self._list().__await__()

    async def __aiter__(self) -> AsyncIterator[Model]:
        for model in (await self._list()).data:
            yield model

    async def _list(self) -> AsyncModelPage:
        keys = [key for key in self._client.keys if key.enabled]
        if _wants_raw_reply(self._params):
            return await self._raw(keys)
        return _page(AsyncModelPage, keys, await self._ask(keys, self._params))

    async def _ask(self, keys: Sequence[Key], params: RequestOptions) -> Answers:
        return await gather([self._ask_one(key, params) for key in keys])

    async def _ask_one(self, key: Key, params: RequestOptions) -> Answer:
        try:
            return await self._client._perform(_call(key, params, _read_models))
        except VLLMError as error:
            return error

    async def _raw(self, keys: Sequence[Key]) -> AsyncModelPage:
        """See `Models._raw`."""
        answers: Answers = [[], *await self._ask(keys[1:], _plain(self._params))]
        for number, key in enumerate(keys):
            if isinstance(answers[number], VLLMError):
                continue
            try:
                read = partial(_read_page, AsyncModelPage, keys, answers, number)
                return await self._client._perform(_call(key, self._params, read))
            except VLLMError as error:
                answers[number] = error
        return _page(AsyncModelPage, keys, answers)
