"""`vllm-connect check`: asks a server for every operation, once and cheaply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from .._client import VLLM
from .._keys.key import resolve
from .._transport.clients import default_http_client
from .asking import Asking, ask, secrets_of
from .facts import Facts, look
from .outcomes import TIMED_OUT, Outcome
from .probes import PROBES, Probe, Request

_TOKENS = 8  # of a generated answer

#: Exit codes, besides 2 for wrong usage.
WORKS, FAILS, NO_SERVER = 0, 1, 3


@dataclass(frozen=True)
class Row:
    """One operation of a server; `stream` is None where there is nothing to stream."""

    probe: Probe
    plain: Outcome
    stream: Outcome | None

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of asking: once or twice."""
        return [self.plain] if self.stream is None else [self.plain, self.stream]

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "operation": self.probe.operation,
            "call": self.probe.call,
            "endpoint": self.probe.endpoint,
            "plain": self.plain.as_json(),
            "stream": self.stream and self.stream.as_json(),
        }


@dataclass(frozen=True)
class Report:
    """What a check found out."""

    facts: Facts
    rows: tuple[Row, ...] = ()
    model: str | None = None

    @property
    def exit_code(self) -> int:
        """What the process says to its parent."""
        problem = self.facts.problem
        if problem is not None:
            return FAILS if problem.kind == "locked" else NO_SERVER
        failed = any(outcome.status == "failed" for row in self.rows for outcome in row.outcomes)
        return FAILS if failed else WORKS

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        facts = self.facts.as_json()
        return {
            "ok": self.exit_code == WORKS,
            "exit_code": self.exit_code,
            **facts,
            "model": self.model,
            "operations": [row.as_json() for row in self.rows],
        }


def check(
    url: str | None,
    *,
    api_key: str | None = None,
    model: str | None = None,
    timeout: float = 30.0,
    progress: Callable[[str], None] = lambda operation: None,
) -> Report:
    """Ask a server for every operation.

    Args:
        url: where it is; None for the one that the environment names.
        api_key: its key, or ``"env.NAME"``.
        model: the one to ask, instead of those that the server lists.
        timeout: seconds, of each request.
        progress: told what is asked for next.

    Raises:
        ConfigError: there is no URL, or it or the key cannot be used.
    """
    http_client = default_http_client()
    wire = _Wire()
    http_client.event_hooks = {"response": [wire.note]}
    # No retries: what happens is to be shown, not overcome.
    with VLLM(url, api_key=api_key, timeout=timeout, max_retries=0, http_client=http_client) as client:
        progress("what it is")
        facts = look(client, insist=model is not None)
        if facts.problem is not None:
            return Report(facts, model=model)
        wire.root = resolve(client.keys[0]).root
        rows = []
        seen: dict[str, Any] = {}
        for probe in PROBES:
            progress(probe.operation)
            rows.append(_row(client, probe, facts.candidates(model), seen, wire))
        return Report(facts, tuple(rows), model)


def _row(client: VLLM, probe: Probe, models: Sequence[str | None], seen: dict[str, Any], wire: _Wire) -> Row:
    wire.last = None
    plain = wire.measured(first_served(client, probe, models, seen))
    if probe.piece is None:
        return Row(probe, plain, None)
    if plain.status == "absent":
        return Row(probe, plain, Outcome("absent", reason=plain.reason, model=plain.model))
    if plain.reason == TIMED_OUT:
        return Row(probe, plain, Outcome("skipped", reason="not tried"))  # one wait is enough
    asking = Asking(probe, Request(plain.model, _TOKENS, seen), stream=True, secrets=secrets_of(client))
    return Row(probe, plain, ask(_spoken_by(client, probe), asking))


def first_served(
    client: VLLM,
    probe: Probe,
    models: Sequence[str | None],
    seen: dict[str, Any],
    tokens: int = _TOKENS,
) -> Outcome:
    """Ask one model after the other, until one serves the operation."""
    outcome = Outcome("skipped")
    for model in models if probe.takes_model else models[:1]:
        asking = Asking(probe, Request(model, tokens, seen), secrets=secrets_of(client))
        outcome = ask(_spoken_by(client, probe), asking)
        if outcome.status != "absent":
            break
    return outcome


def _spoken_by(client: VLLM, probe: Probe) -> VLLM:
    return client.with_options(responses_api="native") if probe.native else client


class _Wire:
    """Looks at the replies under the client: which route answered, and when.

    A server may have an operation elsewhere than where it was looked for. And the first result of a type
    costs the client much more than the next ones, which is none of the server's business.
    """

    def __init__(self) -> None:
        self.root = ""
        self.last: Any = None

    def note(self, response: Any) -> None:
        self.last = response

    def measured(self, outcome: Outcome) -> Outcome:
        if self.last is None:
            return outcome
        path = str(self.last.request.url).removeprefix(self.root)
        with suppress(RuntimeError):  # it was not read to its end
            return replace(outcome, path=path, seconds=self.last.elapsed.total_seconds())
        return replace(outcome, path=path)
