"""A stream of batches: what one read of the socket brought is one write to the gateway's client.

How a stream may end, and what its errors are, is `ChunkReader`'s to know, as for every other stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

from openai import AsyncStream

from ..._calls.attempt import attempt_of
from ..._calls.failures import timeout_error
from ..._calls.sending import BEGINNING
from ..._calls.streams import ChunkReader
from ..._transport._httpx import httpx, request_exceptions, timeout_exceptions
from ..http.exchange import Writer
from .reading import Noted

T = TypeVar("T")

HEARTBEAT = b": keep-alive\n\n"
_DRAIN_SECONDS = 0.05


class PassedStream(AsyncStream[T]):
    """The events of a response, encoded, in batches.

    Attributes:
        response: what it is the body of.
        usage: tokens, when an event has counted them.
    """

    def __init__(
        self, *, cast_to: type[T], response: httpx.Response, client: object, options: object = None
    ) -> None:
        self.response = response
        self.usage: object = None
        read_event = attempt_of(response.request).call.read_event
        assert read_event is not None, "the call is not one whose answer is a stream"
        beginning = response.extensions.pop(BEGINNING, None)
        self._reader: ChunkReader[Any] = ChunkReader(read_event, response, beginning)

    @property
    def key_name(self) -> str | None:
        """The key whose server answers."""
        return attempt_of(self.response.request).where.key_name

    async def batches(self, writer: Writer | None = None) -> AsyncIterator[bytes]:
        """Give events as they come, a heartbeat where the server sends one.

        Args:
            writer: what comes after the first batch is written to it where that is possible, in the turn of
                the event loop that reads it, and not given.

        Raises:
            VLLMError: the stream holds an error, or ends before its end; what came before was given.
        """
        reader, response = self._reader, self.response
        pipe = None if writer is None else response.extensions.get("pipe")
        try:
            try:
                if batch := self._encoded(reader.begin()):
                    yield batch
                if not reader.ended and writer is not None and pipe is not None and reader.rest is not None:

                    def write(data: bytes) -> bool:
                        batch = self._encoded(reader.feed(data))
                        if batch or data[:1] == b":":
                            return writer.write(batch or HEARTBEAT) and not reader.ended
                        return not reader.ended

                    while await pipe(write) and not reader.ended:
                        await writer.drain()  # the gateway's client has fallen behind
                elif not reader.ended:
                    body = reader.rest or (
                        response.aiter_bytes()
                        if "content-encoding" in response.headers
                        else response.aiter_raw()
                    )
                    async for data in body:
                        batch = self._encoded(reader.feed(data))
                        if batch or data[:1] == b":":
                            yield batch or HEARTBEAT
                        if reader.ended:
                            break
            except timeout_exceptions() as cause:
                raise timeout_error(response.request, attempt_of(response.request).where, cause) from cause
            except request_exceptions() as cause:
                reader.cut(cause)
            if batch := self._encoded(reader.finish()):
                yield batch
            if reader.error:
                raise reader.error
            if (drain := response.extensions.get("drain")) is not None:
                await drain(_DRAIN_SECONDS)
        finally:
            await response.aclose()
            attempt_of(response.request).end()

    def _encoded(self, events: Iterable[Noted]) -> bytes:
        parts = []
        for event in events:
            if event.usage:
                self.usage = event.usage
            if event.name:
                parts.append(b"event: %b\ndata: %b\n\n" % (event.name, event.data))
            elif b"\n" in event.data:
                parts.append(b"data: %b\n\n" % event.data.replace(b"\n", b"\ndata: "))
            else:
                parts.append(b"data: %b\n\n" % event.data)
        return b"".join(parts)
