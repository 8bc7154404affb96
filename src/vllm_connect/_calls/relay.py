"""A stream of events on its way to a client that checks nothing: passed on, and watched.

Every event leaves whole, so that what follows an error in it stays behind. An error event of any shape
leaves as the nested one, which the SDK raises.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import openai

from .._wire.body import encode
from .._wire.decoding import loads
from .._wire.objects import ErrorInReply, NotAReply
from .._wire.payloads import find_error
from .streams import ChunkReader

if TYPE_CHECKING:
    from .._transport._httpx import httpx


class Relay:
    """One stream.

    Args:
        response: what it is the body of.

    Attributes:
        problem: why it is not complete, once it is known; to be raised after what `feed` and `finish` return.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._reader: ChunkReader[Any] = ChunkReader(_read_event, response)
        self.problem: str | None = None

    @property
    def ended(self) -> bool:
        """Tell whether nothing more is to be read."""
        return self._reader.ended

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return those of the events that they complete."""
        return b"".join(chunk.passed for chunk in self._reader.feed(data))

    def finish(self) -> bytes:
        """Take the end; return what is left."""
        passed = b"".join(chunk.passed for chunk in self._reader.finish())
        error = self._reader.error
        if error is None and self._reader.over:  # held back until now: the SDK reads no further
            passed += b"data: [DONE]\n\n"
        if error is not None:
            self.problem = str(error)
            if isinstance(error, openai.APIStatusError):
                passed += (
                    b"data: "
                    + encode({"error": {"message": str(error), "code": error.status_code}})
                    + b"\n\n"
                )
        return passed

    def cut(self, cause: Exception) -> None:
        """Take the break of the connection."""
        self._reader.cut(cause)


def _read_event(data: bytes) -> Any:
    passed = b"data: " + b"\ndata: ".join(data.splitlines()) + b"\n\n"
    try:
        payload = loads(data)
    except ValueError as problem:
        raise NotAReply(str(problem)) from None
    if (error := find_error(payload)) is not None:
        raise ErrorInReply(error)
    fields = payload if isinstance(payload, dict) else {}
    chunk = SimpleNamespace(passed=passed)
    choices = fields.get("choices")
    if isinstance(choices, list):
        chunk.choices = [
            SimpleNamespace(index=choice.get("index"), finish_reason=choice.get("finish_reason"))
            for choice in choices
            if isinstance(choice, dict)
        ]
    else:
        chunk.type = fields.get("type")
    return chunk
