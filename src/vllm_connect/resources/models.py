"""The list of models: GET /v1/models of every key, at once.

One key that answers is a success; the result says how each one answered. Allow and block lists filter it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from openai.resources.models import AsyncModels as SDKAsyncModels
from openai.resources.models import Models as SDKModels
from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._calls.inspection import reading
from .._keys.choosing import allows
from .._keys.key import Key
from .._unsupported import only
from .._wire.body import RequestOptions, names, options_of, read_params
from .._wire.objects import NotAReply, Reader
from ..errors import VLLMError
from ..types import AsyncModelPage, KeyStatus, Model, ModelPage

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


_KNOWN = names(RequestOptions)
_READ: Reader[ModelPage] = Reader(ModelPage, "data")
_INSTEAD = "vLLM has no such route; look it up in models.list()"


def _calls(keys: Sequence[Key], given: Any) -> list[tuple[Call, dict[str, Any]]]:
    _, options = read_params("models.list", given, _KNOWN)
    return [
        (
            Call("models.list", (Variant("/v1/models"),), method="get", generates=False, key_name=key.name),
            options_of(options),
        )
        for key in keys
        if key.enabled
    ]


def _read_models(data: bytes) -> list[Model]:
    models = _READ(data).data
    if not all(isinstance(model, Model) and isinstance(model.id, str) for model in models):
        raise NotAReply(f"a model without an id: {data[:200]!r}")
    return models


def gather_models(
    keys: Sequence[Key], answers: Sequence[list[Model] | VLLMError]
) -> tuple[list[Model], list[KeyStatus]]:
    """Put the lists of several servers together.

    Args:
        keys: the keys that were asked.
        answers: the models of each, or why there are none.

    Returns:
        Models by name, each with the keys that serve it; and the status of each key.

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
                models.setdefault(model.id, model).key_names.append(key.name)
    failed = [answer for answer in answers if isinstance(answer, VLLMError)]
    if len(failed) == len(answers):
        raise failed[0]
    return sorted(models.values(), key=lambda model: model.id), statuses


@only("models", "list", retrieve=_INSTEAD)
class Models(SDKModels):
    """The list of models."""

    _client: VLLM

    def list(self, **params: Unpack[RequestOptions]) -> ModelPage:  # type: ignore[override]
        """List the models of every key.

        Returns:
            A page whose `data` holds `Model`s, and whose `key_statuses` tells how each key answered.

        Raises:
            VLLMError: no key answered.
        """
        keys = [key for key in self._client.keys if key.enabled]
        calls = _calls(keys, params)
        if len(calls) == 1:
            answers: list[Any] = [self._one(*calls[0])]
        else:
            with ThreadPoolExecutor(max_workers=min(32, len(calls) or 1)) as pool:
                answers = list(pool.map(lambda call: self._one(*call), calls))
        models, statuses = gather_models(keys, answers)
        return ModelPage.construct(object="list", data=models, key_statuses=statuses)

    def _one(self, call: Call, options: dict[str, Any]) -> Any:
        try:
            return self._client._perform(call, options, read=reading(call, _read_models))
        except VLLMError as error:
            return error


@only("models", "list", retrieve=_INSTEAD)
class AsyncModels(SDKAsyncModels):
    """The list of models."""

    _client: AsyncVLLM

    def list(self, **params: Unpack[RequestOptions]) -> AsyncModelList:  # type: ignore[override]
        """List the models of every key; await it, or iterate it with `async for`. See `Models.list`."""
        return AsyncModelList(self._client, params)


class AsyncModelList:
    """What `AsyncModels.list` returns, as awaitable and iterable as the SDK's paginator."""

    def __init__(self, client: AsyncVLLM, params: RequestOptions) -> None:
        self._client = client
        self._params = params

    def __await__(self) -> Generator[Any, None, AsyncModelPage]:
        return self._page().__await__()

    async def __aiter__(self) -> AsyncIterator[Model]:
        for model in (await self._page()).data:
            yield model

    async def _page(self) -> AsyncModelPage:
        keys = [key for key in self._client.keys if key.enabled]
        answers = await asyncio.gather(*(self._one(*call) for call in _calls(keys, self._params)))
        models, statuses = gather_models(keys, answers)
        return AsyncModelPage.construct(object="list", data=models, key_statuses=statuses)

    async def _one(self, call: Call, options: dict[str, Any]) -> Any:
        try:
            return await self._client._perform(call, options, read=reading(call, _read_models))
        except VLLMError as error:
            return error
