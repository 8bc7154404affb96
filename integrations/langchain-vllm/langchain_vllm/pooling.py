"""The base of embeddings, rerank and score: many inputs, sent in batches, several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import Field
from vllm_connect.adapters import agather_or_cancel, gather_or_cancel

from .errors import model_errors
from .parameters import PoolingParameters
from .server import Server

Input = TypeVar("Input")
Reply = TypeVar("Reply")


class Pooling(Server, PoolingParameters):
    """Fields of models that read texts and write none."""

    batch_size: int = Field(default=256, ge=1)
    """Inputs per request at the most."""
    concurrency: int = Field(default=4, ge=1)
    """Requests at once, at the most."""

    def _batches(self, inputs: Sequence[Input]) -> list[Sequence[Input]]:
        """The inputs, as many together as go into a request."""
        return [inputs[start : start + self.batch_size] for start in range(0, len(inputs), self.batch_size)]

    def _ask_each(self, ask: Callable[[Input], Reply], inputs: Sequence[Input]) -> list[Reply]:
        """The replies to all inputs, in order; after an error no further request is begun."""
        with model_errors():
            return gather_or_cancel(ask, inputs, self.concurrency)

    async def _aask_each(
        self, ask: Callable[[Input], Awaitable[Reply]], inputs: Sequence[Input]
    ) -> list[Reply]:
        """The replies to all inputs, in order; after an error those under way are cancelled."""
        with model_errors():
            return await agather_or_cancel(ask, inputs, self.concurrency)
