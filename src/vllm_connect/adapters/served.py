"""The served model: its name, its context and what its chat template takes of that, asked once.

`find_served` reads the list of models; `ServedModels` asks for it and remembers, per model and for as long as
the servers stay the same. A server that does not answer is asked again only `ASK_AGAIN_AFTER` later.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict
from weakref import WeakKeyDictionary

from .._client import VLLM, AsyncVLLM
from .._keys.key import Key, wire_model
from ..errors import VLLMError
from ..types import Model

_logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds to wait for an answer."""
PATIENCE_IN_LOOPS = 2.0
"""Seconds that an event loop may stand still, once."""
ASK_AGAIN_AFTER = 30.0
"""Seconds from a failure to the next question."""

TEMPLATE_TOKENS = 64
"""What a chat template takes of a context, where no server says it."""
_FURTHER_MESSAGES = 16  # tokens: prompts that are packed hold up to three


@dataclass(frozen=True)
class Served:
    """A served model.

    Attributes:
        name: what the server calls it; None if it was not found.
        context_window: tokens of prompt and answer together; None if the server does not say.
        template_tokens: how many of them the chat template adds to the text of a prompt that is packed.
        is_listed: whether a server lists it by that name; else the context is that of what is listed.
    """

    name: str | None = None
    context_window: int | None = None
    template_tokens: int = TEMPLATE_TOKENS
    is_listed: bool = False


def find_served(models: Sequence[Model], name: str | None, keys: Iterable[Key]) -> Served:
    """Look up a model in the list of models.

    Args:
        models: the list.
        name: the name that is asked for; None for whatever is served.
        keys: the servers, whose aliases count. Of several contexts, the least counts: any may be asked.
    """
    bases = [model for model in models if not model.parent] or list(models)
    names = set() if name is None else {wire_model(key, name) for key in keys}
    listed = [model for model in models if model.id in names]
    found = listed or bases
    windows = [window for model in found if (window := _window(model, models))] or _windows(bases)
    return Served(
        name=name or (found[0].id if found else None),
        context_window=min(windows, default=None),
        is_listed=bool(listed) or (name is None and bool(found)),
    )


def _window(model: Model, models: Sequence[Model]) -> int | None:
    """A model's context; vLLM tells that of a LoRA adapter with its parent alone."""
    parents = [other for other in models if other.id == model.parent]
    return model.max_model_len or min(_windows(parents), default=None)


def _windows(models: Iterable[Model]) -> list[int]:
    return [model.max_model_len for model in models if model.max_model_len]


class _TemplateQuestion(TypedDict):
    """Arguments of `tokenize`: the shortest conversation."""

    model: str | None
    messages: list[dict[str, str]]


def _template_question(model: str | None) -> _TemplateQuestion:
    return {"model": model, "messages": [{"role": "user", "content": "a"}]}


# What is asked: the list of models (None), or the tokens of a conversation.
_Question = _TemplateQuestion | None
_Reply = Sequence[Model] | int


class ServedModels:
    """Knowledge of the models that one LLM asks for; neither copied nor pickled with it.

    Args:
        templated: whether the chat template counts, too.
    """

    def __init__(self, templated: bool = False) -> None:
        self._templated = templated
        self._lock = threading.Lock()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._keys: Sequence[Key] = ()
        self._answers: dict[str | None, Served] = {}
        self._failed_at = -math.inf
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServedModels)  # models are equal by their fields

    __hash__ = None  # type: ignore[assignment]  # as Python does it, had the class no base

    def __deepcopy__(self, memo: dict[int, object]) -> ServedModels:
        return ServedModels(self._templated)

    def __reduce__(self) -> tuple[type[ServedModels], tuple[bool]]:
        return ServedModels, (self._templated,)

    def cached(self, client: VLLM | AsyncVLLM, model: str | None) -> Served | None:
        """Return what is known already, of these very servers."""
        if self._keys != client.keys:
            self._keys, self._answers, self._failed_at = client.keys, {}, -math.inf
        return self._answers.get(model)

    def ask(self, client: VLLM, model: str | None) -> Served:
        """Ask the server, unless it is known or the server did not answer just now."""
        with self._lock:
            inquiry = self._inquire(client, model)
            try:
                question = next(inquiry)
                client = client.with_options(max_retries=0, timeout=PATIENCE)
                while True:
                    try:
                        if question is None:
                            reply: _Reply = client.models.list().data
                        else:
                            reply = client.tokenize(**question).count
                    except VLLMError as error:
                        question = inquiry.throw(error)
                    else:
                        question = inquiry.send(reply)
            except StopIteration as end:
                served: Served = end.value
                return served

    async def aask(self, client: AsyncVLLM, model: str | None) -> Served:
        """Ask without blocking the event loop; see `ask`."""
        async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            inquiry = self._inquire(client, model)
            try:
                question = next(inquiry)
                client = client.with_options(max_retries=0, timeout=PATIENCE)
                while True:
                    try:
                        if question is None:
                            reply: _Reply = (await client.models.list()).data
                        else:
                            reply = (await client.tokenize(**question)).count
                    except VLLMError as error:
                        question = inquiry.throw(error)
                    else:
                        question = inquiry.send(reply)
            except StopIteration as end:
                served: Served = end.value
                return served

    def ask_for_a_moment(self, client: VLLM, model: str | None) -> Served | None:
        """Ask in a thread and wait for it, but not long and not twice: an event loop stands still.

        Returns:
            What is known by then; None if the answer is still on its way.
        """
        if known := self.cached(client, model):
            return known
        if self._failed_just_now():
            return Served(model)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self.ask, args=(client, model), name="vllm-served-model", daemon=True
            )
            self._thread.start()
            self._thread.join(PATIENCE_IN_LOOPS)
        return self.cached(client, model)

    def warn_of_default(self, window: int, advice: str) -> None:
        """Say once that a default is all there is yet.

        Args:
            window: the default, in tokens.
            advice: what to do, in the framework's words.
        """
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "The server did not tell its context within %g seconds, so %d tokens are assumed: %s",
                PATIENCE_IN_LOOPS,
                window,
                advice,
            )

    def _inquire(self, client: VLLM | AsyncVLLM, model: str | None) -> Generator[_Question, _Reply, Served]:
        """Find out about a model; yields questions, takes the replies to them or the errors."""
        if known := self.cached(client, model):
            return known
        if self._failed_just_now():
            return Served(model)
        try:
            models = yield None
        except VLLMError as error:
            self._failed_at = time.monotonic()
            _logger.warning(
                "The server did not tell its models and their context, and is asked again in %g seconds; "
                "what is built until then keeps the context that it assumes: %s",
                ASK_AGAIN_AFTER,
                error,
            )
            return Served(model)
        assert not isinstance(models, int)
        served = find_served(models, model, client.keys)
        if self._templated:
            try:
                count = yield _template_question(model)
            except VLLMError as error:
                _logger.info("The chat template's tokens are estimated: %s", error)
            else:
                assert isinstance(count, int)
                served = replace(served, template_tokens=count + _FURTHER_MESSAGES)
        if served.context_window is None:
            _logger.warning("The server does not tell the context of the model: set it by hand")
        self._answers[model] = served
        return served

    def _failed_just_now(self) -> bool:
        return time.monotonic() - self._failed_at < ASK_AGAIN_AFTER
