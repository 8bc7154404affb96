"""Outcomes of asking a server for one operation: an answer, a failure, or that it has no such thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import openai

from ..errors import APIStatusError, APITimeoutError, UnsupportedOperationError

#: "absent": the server does not serve the operation; "failed": it does, and could not do it.
Status = Literal["ok", "absent", "failed", "skipped"]


TIMED_OUT = "no answer in time"


class Piece(NamedTuple):
    """A piece of an answer; `thought` tells reasoning from what is said."""

    text: str
    thought: bool = False


class NotAsExpected(Exception):
    """An answer came, and it is not what it should be."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one operation.

    Attributes:
        status: how it went.
        pieces: the answer, in the pieces in which it came.
        reason: without an answer: why.
        code: the HTTP status of a failure, or the one that an error inside an HTTP 200 stands for.
        seconds: how long it took.
        first: how long until the first piece of a stream came.
        model: the model that was asked, if any.
        path: the route that answered, below the server's URL.
    """

    status: Status
    pieces: tuple[Piece, ...] = ()
    reason: str | None = None
    code: int | None = None
    seconds: float | None = None
    first: float | None = None
    model: str | None = None
    path: str | None = None

    @property
    def text(self) -> str:
        """The answer on one line, its reasoning in parentheses, or the reason why there is none."""
        return self.reason if self.reason is not None else spoken(self.pieces)

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        facts = {
            "status": self.status,
            "answer": _joined(self.pieces, thought=False) if self.status == "ok" else None,
            "reasoning": _joined(self.pieces, thought=True) or None,
            "reason": self.reason,
            "code": self.code,
            "ms": milliseconds(self.seconds),
            "model": self.model,
            "path": self.path,
        }
        if self.first is not None:
            facts |= {"first_ms": milliseconds(self.first), "chunks": len(self.pieces)}
        return facts


def spoken(pieces: Iterable[Piece]) -> str:
    """Pieces on one line, their reasoning in parentheses."""
    thoughts, words = _joined(pieces, thought=True).strip(), _joined(pieces, thought=False).strip()
    return " ".join(f"{f'({thoughts}) ' if thoughts else ''}{words}".split())


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to the microsecond."""
    return None if seconds is None else round(seconds * 1000, 3)


# vLLM before 0.18 has the routes of every kind of model, and says so when it is asked. A base model has a
# route for chat, and no template.
_OTHER_KIND = re.compile(
    r"does not support .{0,40}\bAPI|\bAPI is (?:not supported|only enabled)|[Uu]nsupported task|"
    r"must provide a chat template"
)


_WHAT_IT_TAKES = re.compile(r"needs vLLM >= [\d.]+, the server is [^\s)]+|vLLM has it with \w+=1")

# What errors say of themselves, and the page says anyway.
_AROUND = re.compile(r"^Error code: \d+ - |^The reply is no answer to [\w. ]+: |, from https?://\S+(?=\)$)")


def why_absent(error: Exception, model: str | None) -> str | None:
    """Say why an error means that the server does not serve the operation; None if it does not mean that.

    Args:
        error: what the client raised.
        model: the model that was asked; a server that does not know it may well have the operation.
    """
    if isinstance(error, UnsupportedOperationError):
        return f"refused without a request: {error}"
    if not isinstance(error, APIStatusError):
        return None
    code, message = error.status_code, explain(error)
    if code == 400:
        return f"not served: {message}" if _OTHER_KIND.search(message) else None
    if code not in (404, 405, 501) or (code == 404 and model and model in message):
        return None
    if code == 501:
        return f"not served: {message}"
    found = _WHAT_IT_TAKES.search(message)
    return f"not served: {found[0] if found else 'no such route'}"


def explain(error: Exception) -> str:
    """An error in one line, without what the page around it tells."""
    if isinstance(error, APITimeoutError):
        return TIMED_OUT
    if isinstance(error, NotAsExpected):
        return str(error)
    if not isinstance(error, openai.OpenAIError):
        return f"{type(error).__name__}: {error}"
    text = _AROUND.sub("", str(error))
    if operation := getattr(error, "operation", None):
        text = text.rpartition(f" [{operation}")[0] or text
    return " ".join(text.split())


def _joined(pieces: Iterable[Piece], *, thought: bool) -> str:
    return "".join(piece.text for piece in pieces if piece.thought is thought)
