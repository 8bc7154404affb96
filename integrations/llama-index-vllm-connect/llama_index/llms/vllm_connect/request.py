"""A request, before anyone has decided whether it is sent synchronously."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

from llama_index_vllm_connect.content import Json

R = TypeVar("R")
S = TypeVar("S")

CHAT, TEXT = attrgetter("chat.completions.create"), attrgetter("completions.create")
RESPONSE = attrgetter("responses.create")


def _nothing() -> None:
    """Nothing is left to say."""


@dataclass(frozen=True)
class Request(Generic[R]):
    """A request: what to send, and how to read what comes back.

    Attributes:
        method: Finds the client's method, sync or async.
        params: Its arguments.
        read: Turns its reply, or a chunk of it, into a response; None for a chunk that adds nothing.
        finish: Gives what is left to say at the end of a stream.
    """

    method: Callable[[Any], Any]
    params: Json
    read: Callable[[Any], R | None]
    finish: Callable[[], R | None] = _nothing

    def turned(self, turn: Callable[[R], S]) -> Request[S]:
        """The same request with other responses."""
        read, finish = self.read, self.finish

        def turned(response: R | None) -> S | None:
            return None if response is None else turn(response)

        return replace(
            cast("Request[S]", self), read=lambda reply: turned(read(reply)), finish=lambda: turned(finish())
        )
