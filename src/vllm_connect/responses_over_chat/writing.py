"""One item of a response while its stream writes it: what was written, and the events that tell so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from openai import BaseModel
from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.responses import (
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    response_content_part_added_event,
    response_content_part_done_event,
)
from openai.types.responses.response_output_text import Logprob

from .._calls.tool_calls import readable
from .._wire.decoding import JsonObject
from . import logprobs
from .output import (
    Item,
    ItemStatus,
    Part,
    call_item,
    message_item,
    new_id,
    reasoning_item,
    refusal_part,
    text_part,
)


class Emitter(Protocol):
    """Whoever collects the events and numbers them."""

    def emit(self, cls: type[BaseModel], **fields: object) -> None:
        """Add an event."""


class Writer:
    """The base of the writers of all items.

    Attributes:
        id: of the item.
        index: its place in the output, -1 before it has one.
        status: "in_progress" until it ended.
    """

    prefix = ""

    def __init__(self) -> None:
        self.id = new_id(self.prefix)
        self.index = -1
        self.status: ItemStatus = "in_progress"

    @property
    def may_end(self) -> bool:
        """Tell whether it is complete if another item begins now."""
        return True

    def end(self, out: Emitter, status: ItemStatus) -> None:
        """Tell that its content is complete."""
        raise NotImplementedError

    def item(self, status: ItemStatus) -> Item:
        """The item as written so far."""
        raise NotImplementedError

    @property
    def place(self) -> JsonObject:
        """The fields by which events name it."""
        return {"item_id": self.id, "output_index": self.index}


class ReasoningWriter(Writer):
    """Writes reasoning: one part."""

    prefix = "rs"

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []

    def write(self, out: Emitter, text: str) -> None:
        """Add text."""
        if not self._pieces:
            part = response_content_part_added_event.PartReasoningText(type="reasoning_text", text="")
            out.emit(
                ResponseContentPartAddedEvent,
                part=part,
                content_index=0,
                **self.place,
                type="response.content_part.added",
            )
        self._pieces.append(text)
        out.emit(
            ResponseReasoningTextDeltaEvent,
            delta=text,
            content_index=0,
            item_id=self.id,
            output_index=self.index,
            type="response.reasoning_text.delta",
        )

    def end(self, out: Emitter, status: ItemStatus) -> None:
        """Tell that the part is complete."""
        place = {"content_index": 0, **self.place}
        text = "".join(self._pieces)
        out.emit(ResponseReasoningTextDoneEvent, text=text, **place, type="response.reasoning_text.done")
        part = response_content_part_done_event.PartReasoningText(type="reasoning_text", text=text)
        out.emit(ResponseContentPartDoneEvent, part=part, **place, type="response.content_part.done")

    def item(self, status: ItemStatus) -> Item:
        """The reasoning so far."""
        return reasoning_item(self.id, "".join(self._pieces), status)


class _Part:
    """One part of a message: text or a refusal."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.logprobs: list[Logprob] = []

    def content(self) -> Part:
        text = "".join(self.pieces)
        return text_part(text, self.logprobs) if self.kind == "output_text" else refusal_part(text)


class MessageWriter(Writer):
    """Writes a message: parts of text and refusals, in turn."""

    prefix = "msg"

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[_Part] = []

    def write(
        self, out: Emitter, kind: str, text: str, tokens: Sequence[ChatCompletionTokenLogprob] = ()
    ) -> None:
        """Add text.

        Args:
            out: takes the events.
            kind: "output_text" or "refusal".
            text: the text.
            tokens: log probabilities of what was generated with it.
        """
        if not self._parts or self._parts[-1].kind != kind:
            self._begin_part(out, kind)
        part = self._parts[-1]
        part.pieces.append(text)
        if kind == "refusal":
            place = {"content_index": len(self._parts) - 1, **self.place}
            out.emit(ResponseRefusalDeltaEvent, delta=text, **place, type="response.refusal.delta")
            return
        if tokens:
            tokens = logprobs.logprobs_of(text, tokens)
            part.logprobs += logprobs.of_part(tokens)
        out.emit(
            ResponseTextDeltaEvent,
            delta=text,
            content_index=len(self._parts) - 1,
            item_id=self.id,
            output_index=self.index,
            logprobs=logprobs.of_delta(tokens) if tokens else [],
            type="response.output_text.delta",
        )

    def end(self, out: Emitter, status: ItemStatus) -> None:
        """Tell that the last part is complete."""
        if not self._parts:
            return
        part = self._parts[-1]
        content = part.content()
        place = {"content_index": len(self._parts) - 1, **self.place}
        if content.type == "refusal":
            out.emit(ResponseRefusalDoneEvent, refusal=content.refusal, **place, type="response.refusal.done")
        else:
            done = logprobs.of_done(part.logprobs)
            out.emit(
                ResponseTextDoneEvent,
                text=content.text,
                logprobs=done,
                **place,
                type="response.output_text.done",
            )
        out.emit(ResponseContentPartDoneEvent, part=content, **place, type="response.content_part.done")

    def item(self, status: ItemStatus) -> Item:
        """The message so far."""
        return message_item(self.id, [part.content() for part in self._parts], status)

    def _begin_part(self, out: Emitter, kind: str) -> None:
        self.end(out, "completed")
        self._parts.append(_Part(kind))
        out.emit(
            ResponseContentPartAddedEvent,
            part=self._parts[-1].content(),
            content_index=len(self._parts) - 1,
            **self.place,
            type="response.content_part.added",
        )


class CallWriter(Writer):
    """Writes a function call.

    Args:
        call_id: what the call's output will name it by.
    """

    prefix = "fc"

    def __init__(self, call_id: str) -> None:
        super().__init__()
        self._call_id = call_id
        self._name = ""
        self._pieces: list[str] = []

    @property
    def may_end(self) -> bool:
        """Tell whether the arguments are complete."""
        return readable("".join(self._pieces), None)

    def ending(self, finish_reason: str | None, *, is_last: bool) -> ItemStatus:
        """The status of the call at the end of the answer."""
        text = "".join(self._pieces)
        return "completed" if readable(text, finish_reason, is_last=is_last) else "incomplete"

    def add_name(self, name: str) -> None:
        """Add to the name."""
        self._name += name

    def write(self, out: Emitter, arguments: str) -> None:
        """Add to the arguments."""
        self._pieces.append(arguments)
        out.emit(
            ResponseFunctionCallArgumentsDeltaEvent,
            delta=arguments,
            item_id=self.id,
            output_index=self.index,
            type="response.function_call_arguments.delta",
        )

    def end(self, out: Emitter, status: ItemStatus) -> None:
        """Tell that the arguments are complete."""
        if not self._pieces and status == "completed":
            self.write(out, "{}")  # no arguments: clients read them as JSON
        out.emit(
            ResponseFunctionCallArgumentsDoneEvent,
            arguments="".join(self._pieces),
            name=self._name,
            **self.place,
            type="response.function_call_arguments.done",
        )

    def item(self, status: ItemStatus) -> Item:
        """The call so far."""
        return call_item(self.id, self._call_id, self._name, "".join(self._pieces), status)
