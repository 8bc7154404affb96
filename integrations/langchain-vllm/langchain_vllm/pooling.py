"""What embeddings, rerank and score have in common: many inputs, sent in batches, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import Field

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
        workers = min(self.concurrency, len(inputs))
        with model_errors():
            if workers <= 1:
                return [ask(each) for each in inputs]
            with ContextThreadPoolExecutor(workers) as pool:
                futures = [pool.submit(ask, each) for each in inputs]
                try:
                    return [future.result() for future in futures]
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)

    async def _aask_each(
        self, ask: Callable[[Input], Awaitable[Reply]], inputs: Sequence[Input]
    ) -> list[Reply]:
        """The replies to all inputs, in order; after an error those under way are cancelled."""
        permits = asyncio.Semaphore(self.concurrency)

        async def wait_and_ask(each: Input) -> Reply:
            async with permits:
                return await ask(each)

        tasks = [asyncio.ensure_future(wait_and_ask(each)) for each in inputs]
        with model_errors():
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
