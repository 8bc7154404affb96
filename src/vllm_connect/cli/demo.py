"""`vllm-connect demo`: every operation through both clients, and what the client does when things go wrong.

Without a URL it starts the simulator, whose streams are slowed down so that they can be watched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import openai

from .._client import VLLM, AsyncVLLM
from ..sim import SimServer
from .asking import Asking, ask, ask_async, secrets_of
from .check import FAILS, NO_SERVER, WORKS, first_served
from .facts import Facts, look
from .outcomes import Outcome, Piece
from .probes import LACKING, PROBES, Probe, Request
from .quirks import QUIRKS, QuirkResult, show_quirk

_TOKENS = 48  # of a generated answer
_PACE = 0.015  # seconds between two events of a simulated stream


@dataclass(frozen=True)
class Row:
    """One operation, plain or streamed, through both clients."""

    probe: Probe
    stream: bool
    by_sync: Outcome
    by_async: Outcome

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of asking."""
        return [self.by_sync, self.by_async]

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "operation": self.probe.operation,
            "call": self.probe.call,
            "stream": self.stream,
            "asked": self.probe.question,
            "sync": self.by_sync.as_json(),
            "async": self.by_async.as_json(),
        }


@dataclass(frozen=True)
class Demonstration:
    """All that was shown."""

    facts: Facts
    simulated: bool
    rows: tuple[Row, ...]
    quirks: tuple[QuirkResult, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
        problem = self.facts.problem
        if problem is not None:
            return FAILS if problem.kind == "locked" else NO_SERVER
        failed = any(outcome.status == "failed" for row in self.rows for outcome in row.outcomes)
        return FAILS if failed or not all(quirk.ok for quirk in self.quirks) else WORKS

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "ok": self.exit_code == WORKS,
            "exit_code": self.exit_code,
            **self.facts.as_json(),
            "simulated": self.simulated,
            "operations": [row.as_json() for row in self.rows],
            "quirks": [quirk.as_json() for quirk in self.quirks],
            "seconds": round(self.seconds, 3),
        }


class Page(Protocol):
    """The page on which it is shown, as it happens."""

    def begin(self, facts: Facts, simulated: bool) -> None:
        """Say what server this is about."""

    def grow(self, probe: Probe, by: str, pieces: Sequence[Piece]) -> None:
        """One more piece of a stream arrived."""

    def add(self, row: Row) -> None:
        """An operation is done."""

    def add_quirk(self, quirk: QuirkResult) -> None:
        """A quirk was shown."""

    def end(self, demonstration: Demonstration) -> None:
        """That was all."""


class _Nowhere:
    """A page that nobody reads."""

    def begin(self, facts: Facts, simulated: bool) -> None: ...
    def grow(self, probe: Probe, by: str, pieces: Sequence[Piece]) -> None: ...
    def add(self, row: Row) -> None: ...
    def add_quirk(self, quirk: QuirkResult) -> None: ...
    def end(self, demonstration: Demonstration) -> None: ...


def demonstrate(
    url: str | None = None,
    *,
    api_key: str | None = None,
    model: str | None = None,
    timeout: float = 60.0,
    page: Page | None = None,
) -> Demonstration:
    """Show everything.

    Args:
        url: a server to show it with; None for the simulator.
        api_key: its key, or ``"env.NAME"``.
        model: the one to ask, instead of those that the server lists.
        timeout: seconds, of each request.
        page: where it is shown.

    Raises:
        ConfigError: the URL or the key cannot be used.
    """
    began = time.perf_counter()
    page = page or _Nowhere()
    with ExitStack() as stack:
        simulated = url is None
        if simulated:
            sim = stack.enter_context(SimServer())
            sim.fail_always("pace", seconds=_PACE)
            url = sim.url
        client = stack.enter_context(VLLM(url, api_key=api_key, timeout=timeout))
        facts = look(client, insist=model is not None)
        page.begin(facts, simulated)
        rows: tuple[Row, ...] = ()
        if facts.problem is None:
            rows = asyncio.run(_rows(client, facts.candidates(model), page))
    quirks = []
    if facts.problem is None:
        with SimServer() as sim:
            for quirk in QUIRKS:
                quirks.append(show_quirk(quirk, sim))
                page.add_quirk(quirks[-1])
    demonstration = Demonstration(facts, simulated, rows, tuple(quirks), time.perf_counter() - began)
    page.end(demonstration)
    return demonstration


async def _rows(client: VLLM, models: Sequence[str | None], page: Page) -> tuple[Row, ...]:
    rows = []
    async with AsyncVLLM(keys=client.keys, timeout=client.timeout) as async_client:
        with suppress(openai.OpenAIError):
            await async_client.models.list()  # the other client has connected and imported everything, too
        clients = _Clients(client, async_client, models, page)
        for probe in (*PROBES, LACKING):
            for stream in (False, True) if probe.piece is not None else (False,):
                rows.append(await clients.row(probe, stream))
                page.add(rows[-1])
    return tuple(rows)


class _Clients:
    """Both clients of one server."""

    def __init__(
        self, client: VLLM, async_client: AsyncVLLM, models: Sequence[str | None], page: Page
    ) -> None:
        self._page, self._models = page, models
        self._clients = {
            native: (
                client.with_options(responses_api="native" if native else "chat"),
                async_client.with_options(responses_api="native" if native else "chat"),
            )
            for native in (False, True)
        }
        self._secrets = secrets_of(client)
        self._results: dict[str, Any] = {}
        self._plain = Outcome("skipped")

    async def row(self, probe: Probe, stream: bool) -> Row:
        """Ask through both; what a server does not serve is asked for once."""
        client, async_client = self._clients[probe.native]
        if not stream:
            self._plain = by_sync = first_served(client, probe, self._models, self._results, _TOKENS)
        elif self._plain.status == "absent":
            return Row(probe, stream, self._plain, self._plain)
        else:
            by_sync = ask(client, self._asking(probe, stream, "sync"))
        if by_sync.status == "absent" and probe is not LACKING:
            return Row(probe, stream, by_sync, replace(by_sync, seconds=None))
        by_async = await ask_async(async_client, self._asking(probe, stream, "async"))
        return Row(probe, stream, by_sync, by_async)

    def _asking(self, probe: Probe, stream: bool, by: str) -> Asking:
        def watch(pieces: Sequence[Piece]) -> None:
            self._page.grow(probe, by, pieces)

        request = Request(self._plain.model, _TOKENS, self._results)
        return Asking(probe, request, stream, self._secrets, watch)
