"""The base of embeddings, rerank and score: many inputs, sent in batches, several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field
from vllm_connect.adapters import agather_or_cancel, batches, gather_or_cancel

from .errors import model_errors
from .parameters import PoolingParameters
from .server import Server

Input = TypeVar("Input")
Reply = TypeVar("Reply")


class Pooling(Server, PoolingParameters):
    """Fields of models that read texts and write none."""

    batch_size: int = Field(default=256, ge=1)
    """Inputs per request at the most."""
    concurrency: int | None = Field(default=None, ge=1)
    """Requests at once. Default: as many as the servers do best with, found while they work."""

    def _batches(self, inputs: Sequence[Input], instruction: str = "") -> list[Sequence[Input]]:
        """The inputs, as many together as go into a request; each has an instruction before it."""
        return batches(inputs, self.batch_size, bytes_besides=len(instruction.encode()))

    def _ask_each(self, ask: Callable[[Input], Reply], inputs: Sequence[Input]) -> list[Reply]:
        """The replies to all inputs, in order; after an error no further request is begun."""
        with model_errors():
            return gather_or_cancel(ask, inputs, self.concurrency, client=self._client())

    async def _aask_each(
        self, ask: Callable[[Input], Awaitable[Reply]], inputs: Sequence[Input]
    ) -> list[Reply]:
        """The replies to all inputs, in order; after an error those under way are cancelled."""
        with model_errors():
            return await agather_or_cancel(ask, inputs, self.concurrency, client=self._async_client())


def listed(inputs: Iterable[Input], what: str) -> list[Input]:
    """The inputs as a list; a text is iterable, too, but not meant so, and a set has no order.

    Raises:
        TypeError: they are no list, nor anything else with an order.
    """
    if isinstance(inputs, (str, bytes, Path)):
        raise TypeError(f"a list of {what} is needed, not one {type(inputs).__name__}: put it into a list")
    if isinstance(inputs, (set, frozenset, Mapping)) or not isinstance(inputs, Iterable):
        raise TypeError(f"a list of {what} is needed, not {type(inputs).__name__}")
    return list(inputs)


def check_text(text: object, what: str) -> None:
    """Refuse what is no text.

    Raises:
        TypeError: it is none; the message says what is.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text, not {type(text).__name__}")
