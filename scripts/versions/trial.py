"""A trial: one operation of the client, done on a real server, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Trying = Callable[["Bed"], "str | None"]


class Bed(NamedTuple):
    """A server to try operations on.

    `client` is a `VLLM`, untyped since trials use what older servers refuse; `log` is the server's log file.
    """

    client: Any
    model: str
    url: str
    log: str

    def ask(self, **params: Any) -> Any:
        """Answer a chat the same way every time."""
        return self.client.chat.completions.create(**self.chat(params))

    def chat(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a chat that is answered the same way every time."""
        hello = {"messages": [{"role": "user", "content": "Say: hello world"}]}
        return {"model": self.model, "temperature": 0, "max_tokens": 200, **hello, **params}


class Trial(NamedTuple):
    """One row of the table.

    Attributes:
        name: what its results are kept under.
        row: what the table calls it, in Markdown.
        server: the server of `scripts.live.servers` that it is tried on.
        operations: those of the client that it shows.
        run: does it; what it returns says how the server differs, None that it does not.
    """

    name: str
    row: str
    server: str
    operations: tuple[str, ...]
    run: Trying


class LackingError(Exception):
    """The server takes the request, and does not do what it asks for."""


class UnshownError(Exception):
    """The model of the tests does not do what would show whether the server can."""


def check(condition: object, otherwise: str) -> None:
    """Fail with a sentence for the table."""
    if not condition:
        raise AssertionError(otherwise)


def has(condition: object, otherwise: str) -> None:
    """Say that a server lacks what it was asked for, though it did not refuse."""
    if not condition:
        raise LackingError(otherwise)


SECTIONS: dict[str, list[Trial]] = {}
"""All trials, by the heading of their part of the table."""


def trial(section: str, row: str, server: str, *operations: str) -> Callable[[Trying], Trying]:
    """Add a function to the trials.

    Args:
        section: the heading of the part of the table.
        row: as in `Trial`.
        server: as in `Trial`.
        operations: as in `Trial`.
    """

    def add(run: Trying) -> Trying:
        name = run.__name__
        assert name not in {known.name for trials in SECTIONS.values() for known in trials}, name
        SECTIONS.setdefault(section, []).append(Trial(name, row, server, operations, run))
        return run

    return add


def all_trials() -> list[Trial]:
    """The trials in the order of the table."""
    return [one for trials in SECTIONS.values() for one in trials]
