"""The engine behind the routes at the moment: whom it works for, who has to wait, what is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, Protocol

from starlette.requests import Request

from .errors import unknown_model
from .options import Options

PauseMode = Literal["abort", "wait", "keep"]
MEMORY = ("weights", "kv_cache")
"""What a sleeping engine gives back, by the names under which it is taken again."""
_BREATHE = 16


class Aborting(Protocol):
    """Something that is being generated."""

    @property
    def tokens(self) -> Sequence[object]:
        """The tokens that it will have if nobody aborts it."""

    def abort(self) -> None:
        """Let a stream of it end at its next token."""

    def cut(self, length: int) -> None:
        """Forget the tokens from there on, and end as aborted."""


class _Work:
    """A request that the engine has; it may be one that it has not begun."""

    def __init__(self, id: str, generations: Collection[Aborting]) -> None:
        self.id, self.generations = id, generations
        self.begun = self.aborted = False

    def abort(self) -> None:
        self.aborted = True
        for generation in self.generations:
            generation.abort()


class Engine:
    """The state of one server beside its options; asked and changed in the loop that serves.

    Attributes:
        adapters: where each LoRA adapter comes from, by its name.
        asleep: what of `MEMORY` it has given back.
    """

    def __init__(self) -> None:
        self.adapters: dict[str, str] = {}
        self.asleep: set[str] = set()
        self._paused: Literal["new", "all"] | None = None
        self._work: list[_Work] = []
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def paused(self) -> bool:
        """True if new requests have to wait."""
        return self._paused is not None

    @property
    def busy(self) -> bool:
        """True if there is a request that it has begun."""
        return any(work.begun for work in self._work)

    @property
    def ids(self) -> list[str]:
        """The ids of the answers that it works on."""
        return [work.id for work in self._work]

    async def pause(self, mode: PauseMode) -> None:
        """Let new requests wait; return when those that run have ended, or are left as they are."""
        if mode == "abort":
            self.abort(self.ids)
        self._paused = "all" if mode == "keep" else "new"
        self._tell()
        while mode != "keep" and self.busy:
            await self._change()

    def resume(self) -> None:
        """Go on with whoever waits."""
        self._paused = None
        self._tell()

    async def sleep(self, level: int, mode: PauseMode) -> None:
        """Pause and, from level 1 on, give the memory back."""
        await self.pause(mode)
        if level:
            self.asleep.update(MEMORY)

    def wake_up(self, tags: Sequence[str] | None) -> bool:
        """Take memory again, by default all; go on if that was the last of it, and tell whether it was."""
        wanted = MEMORY if tags is None else [tag for tag in tags if tag != "scheduling"]
        if set(wanted) <= self.asleep or tags is None:  # a tag too many, and vLLM takes none
            self.asleep.difference_update(wanted)
        if not self.asleep:
            self.resume()
        return not self.asleep

    def reset(self) -> None:
        """Be as at the beginning: awake, without adapters."""
        self.adapters.clear()
        self.asleep.clear()
        self.resume()

    def abort(self, ids: Collection[str]) -> int:
        """Abort requests by the ids of their answers; tells how many there were."""
        found = [work for work in self._work if work.id in ids]
        for work in found:
            work.abort()
        self._tell()
        return len(found)

    async def admit(self) -> None:
        """Wait as long as the engine lets new requests wait."""
        with self._has("", ()) as work:
            await self._turn(work)

    async def spend(self, id: str, generations: Sequence[Aborting], delay: float) -> None:
        """Wait as long as it takes to generate something; if it is aborted, it is cut where it was.

        Args:
            id: that of the answer.
            generations: the choices, generated one after the other.
            delay: seconds for each token.
        """
        with self._has(id, generations) as work:
            await self._turn(work)
            tokens = sum(len(generation.tokens) for generation in generations)
            left = delay * tokens
            while left > 0 and not work.aborted:
                left = await self._pass(left)
                await self._turn(work)
            if work.aborted:
                done = tokens - round(left / delay) if delay else 0
                for generation in generations:
                    generation.cut(min(done, len(generation.tokens)))
                    done = max(0, done - len(generation.tokens))

    async def stream(
        self, id: str, generations: Sequence[Aborting], parts: Iterator[bytes], delay: float = 0
    ) -> AsyncIterator[bytes]:
        """Hand parts over one by one, waiting before each; those of an aborted answer see to its end.

        Args:
            id: that of the answer.
            generations: what the parts tell of.
            parts: made only when their turn comes.
            delay: seconds before each.
        """
        with self._has(id, generations) as work:
            await self._turn(work)
            for count, each in enumerate(parts):
                left = delay
                while left > 0 and not work.aborted:
                    left = await self._pass(left)
                if not delay and count % _BREATHE == 0:
                    await asyncio.sleep(0)
                await self._turn(work)
                yield each

    @contextmanager
    def _has(self, id: str, generations: Collection[Aborting]) -> Iterator[_Work]:
        work = _Work(id, generations)
        self._work.append(work)
        try:
            yield work
        finally:
            self._work.remove(work)
            if self._paused:
                self._tell()

    async def _turn(self, work: _Work) -> None:
        """Wait until it is a request's turn to run; an aborted one runs to its end at once."""
        while not work.aborted and (self._paused == "all" or (self._paused and not work.begun)):
            await self._change()
        work.begun = True

    async def _pass(self, seconds: float) -> float:
        """Let time pass, or less if something changes; tells what is left of it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._change(seconds)
        return seconds - (loop.time() - began)

    async def _change(self, timeout: float | None = None) -> None:
        """Wait until something changes."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=timeout)
        finally:
            self._waiting.discard(future)

    def _tell(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def engine_of(request: Request) -> Engine:
    """The engine that a request is for."""
    engine: Engine = request.app.state.engine
    return engine


def served(request: Request, name: str | None) -> Options:
    """The options of the server, seen from a model: answers bear the first of the served names.

    Args:
        request: that of the model.
        name: the model: one of the served names, a LoRA adapter, or nothing.

    Raises:
        SimError: a 404.
    """
    options: Options = request.app.state.options
    if not name or name in options.models:
        return options
    if name in engine_of(request).adapters:
        return replace(options, models=(name, *options.models))
    raise unknown_model(name, options.models)
