"""The chunks of a chat stream -> the events of a Responses stream.

    response.created, response.in_progress
    for each item:  response.output_item.added
                    for each part of it:  response.content_part.added
                                          response.output_text.delta, …    (or reasoning_text, refusal)
                                          response.output_text.done
                                          response.content_part.done
                    or, of a call:        response.function_call_arguments.delta, …
                                          response.function_call_arguments.done
                    response.output_item.done
    response.completed, response.incomplete or response.failed, with the whole response

An item ends when the next one begins, as clients expect that handle one at a time. Only a call whose
arguments are no complete JSON yet stays open beside the next items: chat chunks name a call by its index,
so a server may write several at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeVar

from openai import BaseModel
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseStreamEvent,
)

from .._calls.tool_calls import Piece, ToolCalls
from .._wire.decoding import JsonObject
from .output import ItemStatus, reasoning_of
from .reply import CHOICE_EXTRA, EXTRA, Ending, echo, ending_of, extras, make_response, response_id
from .writing import CallWriter, MessageWriter, ReasoningWriter, Writer

W = TypeVar("W", bound=Writer)

_BEGINNING: tuple[tuple[type[BaseModel], str], ...] = (
    (ResponseCreatedEvent, "response.created"),
    (ResponseInProgressEvent, "response.in_progress"),
)


class ResponseEvents:
    """Feed it the chunks of one chat stream, in order, then `finish` it, or let it `fail`.

    Args:
        params: what `chat_request` was called with; the Response echoes much of it.
    """

    def __init__(self, params: Mapping[str, object]) -> None:
        self._echo = echo(params)
        self._base: JsonObject = {}  # id, created_at and model, once they are known
        self._extras: JsonObject = {}  # what vLLM tells beyond OpenAI's fields
        self._usage: CompletionUsage | None = None
        self._finish_reason: str | None = None
        self._token_ids: list[int] = []
        self._writers: list[Writer] = []  # of every item, by output_index
        self._current: Writer | None = None  # of the item that began last
        self._tool_calls = ToolCalls()
        self._call_writers: list[CallWriter] = []  # by the numbers of the calls
        self._tokens: list[Any] = []  # log probabilities of tokens whose text is still to come
        self._events: list[ResponseStreamEvent] = []
        self._sequence_number = 0

    def feed(self, chunk: ChatCompletionChunk) -> list[ResponseStreamEvent]:
        """Take the next chunk.

        Args:
            chunk: a chunk with one choice, or none.

        Returns:
            The events that it causes, possibly none.
        """
        if not self._base:
            self._extras |= extras(chunk, EXTRA)
            self._begin({"id": response_id(chunk.id), "created_at": chunk.created, "model": chunk.model})
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            self._extras |= extras(chunk, EXTRA)
        for choice in chunk.choices or ():
            self._feed_delta(choice.delta, choice.logprobs.content if choice.logprobs else None)
            if token_ids := getattr(choice, "token_ids", None):
                self._token_ids += token_ids
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason
                self._extras |= extras(chunk, EXTRA) | extras(choice, CHOICE_EXTRA)
        return self._take_events()

    def finish(self) -> list[ResponseStreamEvent]:
        """Take the end of a stream that is complete.

        Returns:
            The events that end what is open, and the terminal one, which tells the usage:
            `response.failed` if the server said that it gave up, `response.incomplete` if the answer
            was cut, else `response.completed`.
        """
        ending = ending_of(self._finish_reason)
        if ending.status == "failed":
            return self._fail(ending)
        for piece in self._tool_calls.finish():
            self._feed_call(piece)
        calls = [writer for writer in self._writers if isinstance(writer, CallWriter)]
        for writer in self._writers:
            if writer.status != "in_progress":
                continue
            if isinstance(writer, CallWriter):
                self._close(writer, writer.ending(self._finish_reason, is_last=writer is calls[-1]))
            else:
                self._close(writer, ending.last_item if writer is self._writers[-1] else "completed")
        if ending.status == "completed":
            return self._end(ending, ResponseCompletedEvent, "response.completed")
        return self._end(ending, ResponseIncompleteEvent, "response.incomplete")

    def fail(self, error: Exception) -> list[ResponseStreamEvent]:
        """Take the end of a stream that broke off.

        Args:
            error: why; whoever reads the stream raises it after these events.

        Returns:
            `response.failed`, with what had come so far; what was open is not ended but "incomplete".
        """
        status = getattr(error, "status_code", None)
        codes: dict[int | None, Any] = {
            400: "invalid_prompt",
            422: "invalid_prompt",
            429: "rate_limit_exceeded",
        }
        message = str(error) or type(error).__name__
        failure = ResponseError(code=codes.get(status, "server_error"), message=message)
        return self._fail(Ending("failed", error=failure))

    def emit(self, cls: type[BaseModel], **fields: object) -> None:
        """Add an event, with the next sequence number."""
        fields["sequence_number"] = self._sequence_number
        self._sequence_number += 1
        # The type's own validator is ten times faster than the SDK's construct(), and proves it right.
        event: Any = cls.model_validate(fields)
        self._events.append(event)

    def _feed_delta(self, delta: Any, tokens: list[Any] | None) -> None:
        if delta is None:  # some gateways' last chunk
            return
        if tokens:
            self._tokens += tokens
        if reasoning := reasoning_of(delta):
            self._continue(ReasoningWriter).write(self, reasoning)
        if text := delta.content:
            self._continue(MessageWriter).write(self, "output_text", text, self._tokens)
        if delta.refusal:
            self._continue(MessageWriter).write(self, "refusal", delta.refusal)
        for piece in self._tool_calls.feed(delta.tool_calls or ()):
            self._feed_call(piece)
        # A character may take several tokens, and comes with the last: then an empty delta is waited out.
        if self._tokens and (text or reasoning or delta.tool_calls):
            self._tokens = []

    def _feed_call(self, piece: Piece) -> None:
        if piece.begins:
            self._call_writers.append(CallWriter(piece.id))
        writer = self._call_writers[piece.number]
        writer.add_name(piece.name)
        self._open(writer)
        if piece.arguments:
            writer.status = "in_progress"  # again, if the arguments only looked complete
            writer.write(self, piece.arguments)

    def _continue(self, kind: type[W]) -> W:
        """The writer of the item in progress if it is of that kind, else of a new one."""
        if not isinstance(self._current, kind):
            writer = kind()
            self._open(writer)
            return writer
        return self._current

    def _open(self, writer: Writer) -> None:
        """Begin an item, unless that was done."""
        if writer.index >= 0:
            return
        for earlier in self._writers:
            if earlier.status == "in_progress" and earlier.may_end:
                self._close(earlier, "completed")
        self._current = writer
        writer.index = len(self._writers)
        self._writers.append(writer)
        item = writer.item("in_progress")
        place = {"output_index": writer.index}
        self.emit(ResponseOutputItemAddedEvent, item=item, **place, type="response.output_item.added")

    def _close(self, writer: Writer, status: ItemStatus) -> None:
        writer.end(self, status)
        writer.status = status
        item = writer.item(status)
        self.emit(
            ResponseOutputItemDoneEvent,
            item=item,
            output_index=writer.index,
            type="response.output_item.done",
        )

    def _begin(self, base: JsonObject) -> None:
        self._base = base
        for cls, type in _BEGINNING:
            response = make_response(self._echo, **base, output=[], ending=Ending("in_progress"))
            self.emit(cls, response=response, type=type)

    def _fail(self, ending: Ending) -> list[ResponseStreamEvent]:
        for writer in self._writers:
            if writer.status == "in_progress":
                writer.status = "incomplete"
        return self._end(ending, ResponseFailedEvent, "response.failed")

    def _end(self, ending: Ending, cls: type[BaseModel], type: str) -> list[ResponseStreamEvent]:
        if not self._base:  # the SDK's accumulator takes nothing before response.created, not even a failure
            self._begin({"id": response_id(None), "created_at": int(time.time()), "model": None})
        if self._token_ids:
            self._extras["token_ids"] = self._token_ids
        output = [writer.item(writer.status) for writer in self._writers]
        response = make_response(
            self._echo, **self._base, output=output, ending=ending, usage=self._usage, **self._extras
        )
        self.emit(cls, response=response, type=type)
        return self._take_events()

    def _take_events(self) -> list[ResponseStreamEvent]:
        events, self._events = self._events, []
        return events
