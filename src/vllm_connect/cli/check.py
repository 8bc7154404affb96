"""`vllm-connect check`: asks a server for every operation, once and cheaply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from .._client import VLLM
from .._keys.bifrost import load_keys
from .._keys.key import Key, resolve
from .._transport.clients import default_http_client
from ..errors import ConfigError
from .asking import Asking, ask, secrets_of
from .facts import Facts, Problem, look
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
        """The outcomes of asking, once or twice."""
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
    """The findings of a check."""

    facts: Facts
    rows: tuple[Row, ...] = ()
    model: str | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
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
    arguments = {"base_url": url, "api_key": api_key, "timeout": timeout}
    return _check(arguments, model, progress)


@dataclass(frozen=True)
class SeveralReports:
    """The findings of a check of several servers, by the names of their keys."""

    reports: Mapping[str, Report]

    @property
    def exit_code(self) -> int:
        """That of the server that is worst off."""
        return max(report.exit_code for report in self.reports.values())

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        servers = [{"key_name": name, **report.as_json()} for name, report in self.reports.items()]
        return {"ok": self.exit_code == WORKS, "exit_code": self.exit_code, "servers": servers}


def check_several(
    urls: Sequence[str],
    config: str | None = None,
    *,
    api_key: str | None = None,
    model: str | None = None,
    timeout: float = 30.0,
    progress: Callable[[str], None] = lambda operation: None,
) -> SeveralReports:
    """Ask several servers for every operation, at once.

    Args:
        urls: where they are.
        config: path of a configuration file that lists them instead; keys that are disabled are left out.
        api_key: as for `check`, of all the URLs.
        model: as for `check`.
        timeout: as for `check`.
        progress: as for `check`.

    Raises:
        ConfigError: the configuration, or a URL, cannot be used.
    """
    if config is None:
        keys = [Key(name=name, url=url, api_key=api_key) for name, url in _named(urls).items()]
        make: Callable[[], dict[str, Any]] = dict
    else:
        provider = load_keys(config)
        keys = [key for key in provider.keys if key.enabled]
        make = partial(provider.arguments, default_http_client)
    if not keys:
        raise ConfigError("every key of the configuration is disabled")

    def ask(key: Key) -> Report:
        try:
            arguments = {**make(), "keys": [key], "timeout": timeout}
            arguments.pop("balance", None)  # of one
            return _check(arguments, model or key.model_name, lambda what: progress(f"{key.name}: {what}"))
        except ConfigError as error:  # an environment variable that is not set, say
            return Report(Facts(key.name, problem=Problem("none", str(error))), model=model)

    with ThreadPoolExecutor(min(len(keys), 8)) as pool:
        reports = list(pool.map(ask, keys))
    return SeveralReports({key.name: report for key, report in zip(keys, reports, strict=True)})


def _named(urls: Sequence[str]) -> dict[str, str]:
    """The URLs by what is theirs alone: the authority, and the path where that is shared."""
    places = [urlsplit(url if "://" in url else f"http://{url}") for url in urls]
    hosts = [place.netloc.rpartition("@")[2] for place in places]
    named: dict[str, str] = {}
    for url, place, host in zip(urls, places, hosts, strict=True):
        name = host if hosts.count(host) == 1 else host + place.path.rstrip("/")
        if name in named:
            raise ConfigError(f"{name} is named twice")
        named[name or url] = url
    return named


def _check(arguments: dict[str, Any], model: str | None, progress: Callable[[str], None]) -> Report:
    """Ask one server, with a client of these arguments."""
    http_client = arguments.pop("http_client", None) or default_http_client()
    wire = _Wire()
    http_client.event_hooks = {"response": [wire.note]}
    # No retries: what happens is to be shown, not overcome.
    arguments |= {"max_retries": 0, "http_client": http_client}
    with VLLM(**arguments) as client:
        progress("what it is")
        facts = look(client, insist=model is not None)
        if facts.problem is not None:
            return Report(facts, model=model)
        wire.root = resolve(client.keys[0]).root
        rows = []
        results: dict[str, Any] = {}
        for probe in PROBES:
            progress(probe.operation)
            rows.append(_row(client, probe, facts.candidates(model), results, wire))
        return Report(facts, tuple(rows), model)


def _row(
    client: VLLM, probe: Probe, models: Sequence[str | None], results: dict[str, Any], wire: _Wire
) -> Row:
    wire.last = None
    plain = wire.measured(first_served(client, probe, models, results))
    if probe.piece is None:
        return Row(probe, plain, None)
    if plain.status == "absent":
        return Row(probe, plain, Outcome("absent", reason=plain.reason, model=plain.model))
    if plain.reason == TIMED_OUT:
        return Row(probe, plain, Outcome("skipped", reason="not tried"))  # one wait is enough
    asking = Asking(probe, Request(plain.model, _TOKENS, results), stream=True, secrets=secrets_of(client))
    return Row(probe, plain, ask(_spoken_by(client, probe), asking))


def first_served(
    client: VLLM,
    probe: Probe,
    models: Sequence[str | None],
    results: dict[str, Any],
    tokens: int = _TOKENS,
) -> Outcome:
    """Ask one model after the other, until one serves the operation."""
    outcome = Outcome("skipped")
    for model in models if probe.takes_model else models[:1]:
        asking = Asking(probe, Request(model, tokens, results), secrets=secrets_of(client))
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
