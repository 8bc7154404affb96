"""Faults that change the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from .bodies import change_body
from .fault import Fault, declare
from .replies import SHAPES, payload_of

declare("error_chunk", after=0, shape=SHAPES, code=500, message="", done=True)
declare("done_only")
declare("no_done")
declare("unfinished", after=-1, done=False)
declare("null_delta", after=1)
declare("whole_call")
declare("calls_together")
declare("comments", every=1, text="keep-alive")
declare("crlf")
declare("no_space")

_DONE = b"data: [DONE]\n\n"


class Editor:
    """Change events one by one; this one leaves them as they are.

    Attributes:
        rank: editors of a higher rank come after the others.
        over: whether the stream ends here, whatever else would come.
    """

    rank = 0
    over = False

    def feed(self, event: bytes) -> Iterable[bytes]:
        """The events in place of this one."""
        return (event,)

    def end(self) -> Iterable[bytes]:
        """The events that still come when no more are fed."""
        return ()


def editor_for(fault: Fault) -> Editor | None:
    """The editor of a fault; `None` if it does not change events."""
    if fault.name in ("abort", "reasoning_content", "no_usage"):
        return _Payloads(fault)
    make = _EDITORS.get(fault.name)
    return make(fault) if make else None


def payload_in(event: bytes) -> dict[str, Any] | None:
    """The JSON of an event; `None` for `[DONE]` and comments."""
    for line in event.split(b"\n"):
        if line.startswith(b"data: {"):
            found: dict[str, Any] = orjson.loads(line[6:])
            return found
    return None


def finishes(event: bytes) -> bool:
    """Return whether an event says why a choice, or a response, ended."""
    payload = payload_in(event) or {}
    ended = any(choice.get("finish_reason") for choice in payload.get("choices") or ())
    return ended or payload.get("type") == "response.completed"


def with_payload(event: bytes, payload: Any) -> bytes:
    """The same event with another payload."""
    lines = [
        b"data: " + orjson.dumps(payload) if line.startswith(b"data: ") else line
        for line in event.split(b"\n")
    ]
    return b"\n".join(lines)


class _Payloads(Editor):
    """Change the payload of every event as a plain answer would be changed."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def feed(self, event: bytes) -> Iterable[bytes]:
        payload = payload_in(event)
        if payload is None:
            return (event,)
        return (with_payload(event, change_body(self.fault, payload)),)


class _ErrorChunk(Editor):
    def __init__(self, fault: Fault) -> None:
        self.fault, self.count = fault, 0

    def feed(self, event: bytes) -> Iterable[bytes]:
        if self.count < self.fault["after"]:
            self.count += 1
            return (event,)
        return self._error()

    def end(self) -> Iterable[bytes]:
        return () if self.over else self._error()

    def _error(self) -> Iterable[bytes]:
        self.over = True
        payload = payload_of(self.fault["shape"], self.fault["code"], self.fault["message"])
        event = b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"
        return (event, _DONE) if self.fault["done"] else (event,)


class _DoneOnly(Editor):
    def __init__(self, fault: Fault) -> None:
        self.over = True

    def feed(self, event: bytes) -> Iterable[bytes]:
        return (_DONE,)


class _NoDone(Editor):
    def __init__(self, fault: Fault) -> None:
        pass

    def feed(self, event: bytes) -> Iterable[bytes]:
        return () if event == _DONE else (event,)


class _Unfinished(Editor):
    """Take the finish away, and what comes after it, or everything after some events."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.count = fault, 0

    def feed(self, event: bytes) -> Iterable[bytes]:
        if finishes(event) or event == _DONE or self.count == self.fault["after"]:
            self.over = True
            return (_DONE,) if self.fault["done"] else ()
        self.count += 1
        return (event,)


class _NullDelta(Editor):
    """Add a chunk with `"delta": null`, and makes every empty delta null."""

    def __init__(self, fault: Fault) -> None:
        self.after, self.count = fault["after"], 0

    def feed(self, event: bytes) -> Iterable[bytes]:
        payload = payload_in(event)
        if not payload or not payload.get("choices"):
            return (event,)
        added = []
        if self.count == self.after:
            null = [{**choice, "delta": None, "finish_reason": None} for choice in payload["choices"]]
            added = [with_payload(event, {**payload, "choices": null})]
        self.count += 1
        for choice in payload["choices"]:
            choice["delta"] = choice.get("delta") or None
        return (*added, with_payload(event, payload))


class _WholeCalls(Editor):
    """Collect the pieces of tool calls and send each call whole, or all of them together."""

    def __init__(self, fault: Fault) -> None:
        self.together = fault.name == "calls_together"
        self.calls: list[dict[str, Any]] = []
        self.last = b""

    def feed(self, event: bytes) -> Iterable[bytes]:
        payload = payload_in(event) or {}
        choices = payload.get("choices") or [{}]
        pieces = (choices[0].get("delta") or {}).get("tool_calls")
        if not pieces:
            return (*self._joined_calls(), event)
        ready: list[bytes] = []
        for piece in pieces:
            if "id" in piece:
                if not self.together:
                    ready += self._joined_calls()
                function = {"name": piece["function"]["name"], "arguments": ""}
                self.calls.append({**piece, "function": function})
            else:
                self.calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
        self.last = event
        return ready

    def _joined_calls(self) -> list[bytes]:
        if not self.calls:
            return []
        payload = payload_in(self.last) or {}
        payload["choices"][0]["delta"] = {"content": None, "tool_calls": self.calls}
        self.calls = []
        return [with_payload(self.last, payload)]


class _Comments(Editor):
    rank = 1

    def __init__(self, fault: Fault) -> None:
        self.comment, self.every, self.count = f": {fault['text']}\n\n".encode(), max(fault["every"], 1), 0

    def feed(self, event: bytes) -> Iterable[bytes]:
        self.count += 1
        return (self.comment, event) if self.count % self.every == 0 else (event,)


class _Replaced(Editor):
    rank = 2

    def __init__(self, old: bytes, new: bytes) -> None:
        self.old, self.new = old, new

    def feed(self, event: bytes) -> Iterable[bytes]:
        return (event.replace(self.old, self.new),)


_EDITORS: dict[str, Callable[[Fault], Editor]] = {
    "error_chunk": _ErrorChunk,
    "done_only": _DoneOnly,
    "no_done": _NoDone,
    "unfinished": _Unfinished,
    "null_delta": _NullDelta,
    "whole_call": _WholeCalls,
    "calls_together": _WholeCalls,
    "comments": _Comments,
    "crlf": lambda fault: _Replaced(b"\n", b"\r\n"),
    "no_space": lambda fault: _Replaced(b"data: ", b"data:"),
}
