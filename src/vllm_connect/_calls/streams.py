"""Events in, typed chunks out; and how a stream may end.

A stream is complete when every choice it began has a `finish_reason`, or when `[DONE]` followed at
least one of them (native Responses and Messages end with a terminal event instead). Anything else, a cut
connection, a bare `[DONE]`, a last event in pieces, is an `IncompleteStreamError`, raised after
everything that did arrive was handed over. An error event is raised as the error it tells of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar, get_args

import openai
from openai import AsyncStream, Stream

from .._transport._httpx import httpx, request_exceptions, timeout_exceptions
from .._wire.objects import ErrorInReply, NotAReply
from .._wire.payloads import ErrorPayload
from .._wire.sse import Event, SSESplitter, is_heartbeat
from .attempt import ATTEMPT, attempt_of
from .call import Conversion
from .failures import incomplete_stream, invalid_response, status_error, timeout_error
from .inspection import Beginning
from .outcomes import outcome_of_exception
from .sending import BEGINNING

T = TypeVar("T")

_CHUNK_NAMES = frozenset({"message", "data", "chunk", "error", "completion", "chat.completion.chunk"})

TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "message_stop"})


class ChunkReader(Generic[T]):
    """The state of one stream.

    Args:
        read_event: makes a chunk of an event's data.
        response: what the stream is the body of.
        beginning: what was read of that body before, if anything.
    """

    def __init__(
        self, read_event: Callable[[bytes], T], response: httpx.Response, beginning: Beginning | None = None
    ) -> None:
        self._read_event = read_event
        self._response = response
        self._beginning = beginning
        self._splitter = SSESplitter() if beginning is None else beginning.splitter
        self._finished: dict[int, bool] = {}  # choice index -> whether it has a finish_reason
        self._terminated = False
        self.over = False  # `[DONE]` was read: whatever follows is no event
        self.error: Exception | None = None  # to be raised once the chunks before it are handed over

    def begin(self) -> Iterator[T]:
        """Give the chunks of the beginning."""
        return self._chunks([] if self._beginning is None else self._beginning.events)

    @property
    def rest(self) -> Any:
        """The body after that beginning; None if nothing was read before."""
        return None if self._beginning is None else self._beginning.rest

    @property
    def ended(self) -> bool:
        """Tell whether nothing more is to be read."""
        return self.over or self.error is not None

    def feed(self, data: bytes) -> Iterator[T]:
        """Take the next bytes; give the chunks that they complete, each made when it is asked for."""
        return self._chunks(self._splitter.feed(data))

    def finish(self) -> list[T]:
        """Take the end of the body; sets `error` when the stream was not complete."""
        chunks: list[T] = []
        if not self.over and self.error is None:
            last = self._splitter.finish()
            if last is not None:
                chunks = list(self._chunks([last]))
                if isinstance(self.error, openai.APIResponseValidationError):
                    self.error = self._incomplete("its last event is cut")
        if self.error is None and not self._complete():
            self.error = self._incomplete(
                "it sent [DONE] without an answer"
                if self.over
                else "it has neither a finish_reason nor [DONE]"
            )
        return chunks

    def cut(self, cause: Exception) -> None:
        """Take the break of the connection."""
        if self.error is None:
            self.error = self._incomplete(f"the connection broke: {str(cause) or type(cause).__name__}")
            self.error.__cause__ = cause
            attempt_of(self._response.request).note(outcome_of_exception(cause))

    def _chunks(self, events: list[Event]) -> Iterator[T]:
        for event in events:
            data = event.data
            if len(data) < 200 and is_heartbeat(event):
                continue
            if data.startswith(b"[DONE]"):
                self.over = True
                break
            try:
                chunk = self._read_event(data)
            except ErrorInReply as error:
                self.error = self._status_error(error.error)
                break
            except NotAReply as error:
                if event.event is not None and event.event not in _CHUNK_NAMES:
                    continue  # a gateway's own, beside the answer
                self.error = self._invalid(str(error))
                break
            self._note(chunk)
            yield chunk

    def _note(self, chunk: Any) -> None:
        try:
            for choice in chunk.choices:
                self._finished[choice.index or 0] = choice.finish_reason is not None
        except AttributeError:  # a Responses event
            self._terminated = self._terminated or chunk.type in TERMINAL_EVENTS
            if chunk.type == "response.created":
                attempt_of(self._response.request).began(chunk)

    def _complete(self) -> bool:
        if self.over:
            return bool(self._finished) or self._terminated
        return self._terminated or (bool(self._finished) and all(self._finished.values()))

    def _status_error(self, error: ErrorPayload) -> Exception:
        return status_error(error, self._response, attempt_of(self._response.request).where)

    def _invalid(self, what: str) -> Exception:
        return invalid_response(self._response, attempt_of(self._response.request).where, what)

    def _incomplete(self, why: str) -> Exception:
        request = self._response.request
        return incomplete_stream(request, attempt_of(request).where, why)


# A server that said [DONE] ends the body at once, so that the connection can be used again.
_DRAIN_SECONDS = 0.05


class VLLMStream(Stream[T]):
    """A stream of chunks; iterate it, or close it to make the server stop generating."""

    def __init__(
        self, *, cast_to: type[T], response: httpx.Response, client: object, options: object = None
    ) -> None:
        self.response = response
        # The generator does not know this object: dropping the one ends the other, and the connection.
        chunks: Iterator[T] = _chunks(_Held(response), _reader(response))
        watch = response.request.extensions[ATTEMPT].watch
        self._iterator = chunks if watch is None else watch.chunks(chunks)

    def __iter__(self) -> Iterator[T]:
        return self._iterator

    def close(self) -> None:
        """Close the connection, whether all was read or not."""
        super().close()
        _end_watch(self.response)


class _Held:
    """A response that is closed when nobody holds it any more, as a stream that was never iterated."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    def __del__(self) -> None:
        if not self.response.is_closed:
            self.response.close()


class _HeldInLoop(_Held):
    """The same; only our own transport can end a request without an event loop to wait in."""

    def __del__(self) -> None:
        if not self.response.is_closed and (end := self.response.extensions.get("end")) is not None:
            end()


class AsyncVLLMStream(AsyncStream[T]):
    """A stream of chunks; iterate it, or close it to make the server stop generating."""

    def __init__(
        self, *, cast_to: type[T], response: httpx.Response, client: object, options: object = None
    ) -> None:
        self.response = response
        chunks: AsyncIterator[T] = _async_chunks(_HeldInLoop(response), _reader(response))
        watch = response.request.extensions[ATTEMPT].watch
        self._iterator = chunks if watch is None else watch.achunks(chunks)

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def close(self) -> None:
        """Close the connection, whether all was read or not."""
        await super().close()
        _end_watch(self.response)


def _chunks(held: _Held, reader: ChunkReader[T]) -> Iterator[T]:
    response = held.response
    try:
        body = reader.rest or (response.iter_bytes() if _is_decoded(response) else response.iter_raw())
        try:
            yield from reader.begin()
            if not reader.ended:
                for data in body:
                    yield from reader.feed(data)
                    if reader.ended:
                        break
        except timeout_exceptions() as cause:
            raise _timeout(response, cause) from cause
        except request_exceptions() as cause:
            reader.cut(cause)
        yield from reader.finish()
        if reader.error:
            raise reader.error
        if (drain := response.extensions.get("drain")) is not None:
            drain(_DRAIN_SECONDS)
    finally:
        response.close()
        attempt_of(response.request).end()


async def _async_chunks(held: _Held, reader: ChunkReader[T]) -> AsyncIterator[T]:
    response = held.response
    try:
        body = reader.rest or (response.aiter_bytes() if _is_decoded(response) else response.aiter_raw())
        try:
            for chunk in reader.begin():
                yield chunk
            if not reader.ended:
                async for data in body:
                    for chunk in reader.feed(data):
                        yield chunk
                    if reader.ended:
                        break
        except timeout_exceptions() as cause:
            raise _timeout(response, cause) from cause
        except request_exceptions() as cause:
            reader.cut(cause)
        for chunk in reader.finish():
            yield chunk
        if reader.error:
            raise reader.error
        if (drain := response.extensions.get("drain")) is not None:
            await drain(_DRAIN_SECONDS)
    finally:
        await response.aclose()
        attempt_of(response.request).end()


def _is_decoded(response: httpx.Response) -> bool:
    """Tell whether httpx has to decompress the body, or holds all of it: an event hook may have read it."""
    return "content-encoding" in response.headers or response.is_stream_consumed


class ConvertedStream(Stream[T]):
    """A stream made of another one.

    Args:
        source: the stream to read.
        conversion: what becomes of its items.
    """

    def __init__(self, source: Stream[Any], conversion: Conversion[T]) -> None:
        self.response = source.response
        self._iterator = _converted(source, conversion)

    def __iter__(self) -> Iterator[T]:
        return self._iterator

    def close(self) -> None:
        """Close the connection, whether all was read or not."""
        super().close()
        _end_watch(self.response)


class AsyncConvertedStream(AsyncStream[T]):
    """A stream made of another one; see `ConvertedStream`."""

    def __init__(self, source: AsyncStream[Any], conversion: Conversion[T]) -> None:
        self.response = source.response
        self._iterator = _async_converted(source, conversion)

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def close(self) -> None:
        """Close the connection, whether all was read or not."""
        await super().close()
        _end_watch(self.response)


def shown_stream(stream_cls: object, plain: type, converted: Callable[..., object]) -> type:
    """Make the class of a stream that a tracer sees: what it put in the place of the SDK's is part of it.

    Args:
        stream_cls: the SDK's ``Stream[type]``, or a tracer's subclass of it, which overrides `__stream__`.
        plain: our class of streams of chunks.
        converted: makes a stream of another one and a conversion.
    """
    is_async = issubclass(plain, AsyncStream)
    base: Any = AsyncStream if is_async else Stream

    def __init__(
        self: Any, *, cast_to: object, response: httpx.Response, client: object, options: object = None
    ) -> None:
        source = plain(cast_to=cast_to, response=response, client=client)
        conversion = attempt_of(response.request).call.conversion
        self.response = response
        self._source = source if conversion is None else converted(source, conversion())
        self._iterator = self.__stream__()

    def __stream__(self: Any) -> object:
        return aiter(self._source) if is_async else iter(self._source)

    item = (*get_args(stream_cls), object)[0]
    methods = {"__init__": __init__, "__stream__": __stream__, "__orig_bases__": (base[item],)}
    shown = type(plain.__name__, (plain,), methods)
    if not isinstance(stream_cls, type) or not issubclass(stream_cls, base):
        return shown
    item_of = {"__orig_bases__": getattr(stream_cls, "__orig_bases__", (base[object],))}
    return type(stream_cls.__name__, (stream_cls, shown), item_of)


def _converted(source: Stream[Any], conversion: Conversion[T]) -> Iterator[T]:
    try:
        for item in source:
            yield from conversion.feed(item)
        yield from conversion.finish()
    except openai.OpenAIError as error:
        yield from conversion.fail(error)
        raise
    finally:
        source.close()


async def _async_converted(source: AsyncStream[Any], conversion: Conversion[T]) -> AsyncIterator[T]:
    try:
        async for chunk in source:
            for item in conversion.feed(chunk):
                yield item
        for item in conversion.finish():
            yield item
    except openai.OpenAIError as error:
        for item in conversion.fail(error):
            yield item
        raise
    finally:
        await source.close()


def _end_watch(response: httpx.Response) -> None:
    if (watch := attempt_of(response.request).watch) is not None:
        watch.end()


def _timeout(response: httpx.Response, cause: Exception) -> Exception:
    return timeout_error(response.request, attempt_of(response.request).where, cause)


def _reader(response: httpx.Response) -> ChunkReader[Any]:
    read_event = attempt_of(response.request).call.read_event
    assert read_event is not None, "the call is not one whose answer is a stream"
    return ChunkReader(read_event, response, response.extensions.pop(BEGINNING, None))
