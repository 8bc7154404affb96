"""Puts a probe to a server, through either client, and tells what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from .._client import VLLM, AsyncVLLM
from .._keys import key as routing
from ..errors import APIStatusError
from .outcomes import Outcome, Piece, Status, explain, why_absent
from .probes import Probe, Request


def secrets_of(client: VLLM) -> tuple[str, ...]:
    """Return the texts that must not be shown: the API key, and the credentials of the URL."""
    server = routing.resolve(client.keys[0])
    password = (server.userinfo or "").partition(":")[2]
    return tuple(secret for secret in (server.api_key, server.userinfo, password) if secret)


def masked(text: str, secrets: Sequence[str]) -> str:
    """A text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


@dataclass
class Asking:
    """One probe, put to one model once.

    Attributes:
        probe: what to ask.
        request: what the probe makes its request of.
        stream: whether the answer is to be streamed.
        secrets: what must not show up in the outcome.
        watch: told of the pieces of a stream, whenever there is one more.
    """

    probe: Probe
    request: Request
    stream: bool = False
    secrets: Sequence[str] = ()
    watch: Callable[[Sequence[Piece]], None] | None = None
    pieces: list[Piece] = field(default_factory=list)
    first: float | None = None
    began: float = 0.0

    def begin(self, client: Any) -> Any:
        """Make the call; returns what the client's method returns."""
        parameters = self.probe.parameters(self.request)
        if self.stream:
            parameters["stream"] = True
        if self.probe.takes_model and self.request.model is not None:
            parameters["model"] = self.request.model
        self.began = time.perf_counter()
        return attrgetter(self.probe.call)(client)(**parameters)

    def hear(self, event: Any) -> None:
        """Take an event of the stream."""
        assert self.probe.piece is not None
        piece = self.probe.piece(event)
        if piece is None:
            return
        if self.first is None:
            self.first = self._seconds()
        self.pieces.append(piece._replace(text=masked(piece.text, self.secrets)))
        if self.watch is not None:
            self.watch(self.pieces)

    def end(self, result: Any) -> Outcome:
        """Take the result, or the end of the stream."""
        seconds = self._seconds()
        if not self.stream:
            self.request.results[self.probe.call] = result
            pieces = self.probe.pieces(result)
            self.pieces = [piece._replace(text=masked(piece.text, self.secrets)) for piece in pieces]
        return self._outcome("ok", pieces=tuple(self.pieces), seconds=seconds, first=self.first)

    def fail(self, error: Exception) -> Outcome:
        """Take what was raised instead."""
        absent = why_absent(error, self.request.model)
        code = error.status_code if isinstance(error, APIStatusError) else None
        return self._outcome(
            "absent" if absent else "failed",
            reason=masked(absent or explain(error), self.secrets),
            code=code,
            seconds=self._seconds(),
        )

    def _outcome(self, status: Status, **facts: Any) -> Outcome:
        return Outcome(status, model=self.request.model if self.probe.takes_model else None, **facts)

    def _seconds(self) -> float:
        return time.perf_counter() - self.began


# Whatever a server makes the client raise, be it a bug of the client's, is what its row has to show.


def ask(client: VLLM, asking: Asking) -> Outcome:
    """Ask through the blocking client."""
    try:
        result = asking.begin(client)
        if asking.stream:
            for event in result:
                asking.hear(event)
        return asking.end(result)
    except Exception as error:  # noqa: BLE001
        return asking.fail(error)


async def ask_async(client: AsyncVLLM, asking: Asking) -> Outcome:
    """Ask through the asynchronous client."""
    try:
        result = await asking.begin(client)
        if asking.stream:
            async for event in result:
                asking.hear(event)
        return asking.end(result)
    except Exception as error:  # noqa: BLE001
        return asking.fail(error)
