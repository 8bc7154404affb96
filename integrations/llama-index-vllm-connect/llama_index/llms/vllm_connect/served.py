"""The served model: its name, its context and what its chat template takes of that, asked once."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from llama_index.core.schema import BaseComponent
from pydantic import (
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vllm_connect import VLLM, AsyncVLLM, Key, VLLMError
from vllm_connect._keys.key import wire_model
from vllm_connect.types import Model

_logger = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds
_PATIENCE_IN_LOOPS = 2.0  # in which an event loop stands still, once
_ASK_AGAIN_AFTER = 30.0

TEMPLATE_TOKENS = 64
_FURTHER_MESSAGES = 16  # tokens: prompts that are packed hold up to three


@dataclass(frozen=True)
class Served:
    """A served model.

    Attributes:
        name: What the server calls it; None if it was not found.
        context_window: Tokens of prompt and answer together; None if the server does not say.
        template_tokens: How many of them the chat template adds to the text of a prompt that is packed.
    """

    name: str | None = None
    context_window: int | None = None
    template_tokens: int = TEMPLATE_TOKENS


class KnowsServedModel(BaseComponent):
    """What is saved with the name of the served model, if nobody named one.

    LlamaIndex's caches hash what is saved. Without that name they would hand out what another model, which
    has been served at the same address since, has not made.
    """

    _inquiry: Inquiry = PrivateAttr(default_factory=lambda: Inquiry())

    if TYPE_CHECKING:

        @property
        def client(self) -> VLLM:
            """The client to ask."""

    @property
    def named_model(self) -> str | None:
        """The model that the user named."""
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """The saved data; reading ignores what is added here."""
        saved: dict[str, Any] = super().custom_model_dump(handler, info)
        if not self.named_model:
            served = self._inquiry.ask_for_a_moment(self.client, None)
            saved[_SERVED] = served and served.name
        return saved

    @model_validator(mode="before")
    @classmethod
    def _read_saved(cls, saved: object) -> object:
        return {k: v for k, v in saved.items() if k != _SERVED} if isinstance(saved, dict) else saved


_SERVED = "served_model"


def find(models: Sequence[Model], wanted: str | None, keys: Iterable[Key]) -> Served:
    """Look up a model in the list of models.

    Args:
        models: The list.
        wanted: The name that is asked for; None for whatever is served.
        keys: The servers, whose aliases count.
    """
    bases = [model for model in models if not model.parent] or list(models)
    names = set() if wanted is None else {wire_model(key, wanted) for key in keys}
    found = [model for model in models if model.id in names] or bases
    windows = [window for model in found if (window := _window(model, models))] or _windows(bases)
    return Served(
        name=wanted or (found[0].id if found else None), context_window=min(windows) if windows else None
    )


def _template_question(model: str | None) -> dict[str, Any]:
    """What to ask `tokenize`: the shortest conversation."""
    return {"model": model, "messages": [{"role": "user", "content": "a"}]}


def with_template(served: Served, count: int) -> Served:
    """The same model, whose template made that many tokens of the shortest conversation."""
    return replace(served, template_tokens=count + _FURTHER_MESSAGES)


def _window(model: Model, models: Sequence[Model]) -> int | None:
    """A model's context; vLLM tells that of a LoRA adapter with its parent alone."""
    parents = [other for other in models if other.id == model.parent]
    return model.max_model_len or min(_windows(parents), default=None)


def _windows(models: Iterable[Model]) -> list[int]:
    return [model.max_model_len for model in models if model.max_model_len]


class Inquiry:
    """Asks for the served model and remembers the answer; neither copied nor pickled with its owner.

    Args:
        templated: Whether the chat template counts, too.
    """

    def __init__(self, templated: bool = False) -> None:
        self._templated = templated
        self._lock = threading.Lock()
        self._turns: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()  # one for each event loop
        self._keys: Sequence[Key] = ()
        self._answers: dict[str | None, Served] = {}
        self._failed_at = -math.inf
        self._thread: threading.Thread | None = None
        self._warned = False

    def __reduce__(self) -> tuple[type[Inquiry], tuple[bool]]:
        return Inquiry, (self._templated,)

    def known(self, client: VLLM | AsyncVLLM, model: str | None) -> Served | None:
        """What is known already, of these very servers."""
        if self._keys != client.keys:
            self._keys, self._answers, self._failed_at = client.keys, {}, -math.inf
        return self._answers.get(model)

    def ask(self, client: VLLM, model: str | None) -> Served:
        """Ask the server, unless it is known or the server did not answer just now."""
        with self._lock:
            if known := self.known(client, model):
                return known
            if self._failed_just_now():
                return Served(model)
            client = client.with_options(max_retries=0, timeout=_PATIENCE)
            try:
                served = find(client.models.list().data, model, client.keys)
            except VLLMError as error:
                return self._failed(error, model)
            if self._templated:
                try:
                    served = with_template(served, client.tokenize(**_template_question(model)).count)
                except VLLMError as error:
                    _logger.info("The chat template's tokens are estimated: %s", error)
            return self._remember(served, model)

    async def aask(self, client: AsyncVLLM, model: str | None) -> Served:
        """Ask without blocking the event loop; see `ask`."""
        async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if known := self.known(client, model):
                return known
            if self._failed_just_now():
                return Served(model)
            client = client.with_options(max_retries=0, timeout=_PATIENCE)
            try:
                served = find((await client.models.list()).data, model, client.keys)
            except VLLMError as error:
                return self._failed(error, model)
            if self._templated:
                try:
                    served = with_template(served, (await client.tokenize(**_template_question(model))).count)
                except VLLMError as error:
                    _logger.info("The chat template's tokens are estimated: %s", error)
            return self._remember(served, model)

    def ask_for_a_moment(self, client: VLLM, model: str | None) -> Served | None:
        """Ask in a thread and wait for it, but not long and not twice: an event loop stands still.

        Returns:
            What is known by then; None if the answer is still on its way.
        """
        if known := self.known(client, model):
            return known
        if self._failed_just_now():
            return Served(model)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self.ask, args=(client, model), name="vllm-served-model", daemon=True
            )
            self._thread.start()
            self._thread.join(_PATIENCE_IN_LOOPS)
        return self.known(client, model)

    def warn_of_default(self, window: int) -> None:
        """Say once that a default is all there is yet: LlamaIndex copies it into what it builds."""
        if not self._warned:
            self._warned = True
            _logger.warning(
                "The server did not tell its context within %g seconds, so %d tokens are assumed: set "
                "context_window=, or in async code await llm.aload_metadata() before building engines and "
                "memories",
                _PATIENCE_IN_LOOPS,
                window,
            )

    def _failed_just_now(self) -> bool:
        return time.monotonic() - self._failed_at < _ASK_AGAIN_AFTER

    def _remember(self, served: Served, model: str | None) -> Served:
        if served.context_window is None:
            _logger.warning("The server does not tell its context: set context_window=")
        self._answers[model] = served
        return served

    def _failed(self, error: VLLMError, model: str | None) -> Served:
        self._failed_at = time.monotonic()
        _logger.warning("The server's models are not known, so a default context is assumed: %s", error)
        return Served(model)
