"""Faults of how an answer is delivered: late, in pieces, all at once, compressed, or not to its end."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..http.wire import Connection
from .bodies import change_body
from .events import Editor, editor_for, finishes
from .fault import Fault, declare
from .replies import reply_instead

_HOW = ("fin", "rst")

declare("ok")
declare("stall", where=("headers", "first", "middle"), after=1, seconds=1.0)
declare("cut", where=("event", "between", "character", "finish"), after=1, how=_HOW)
declare("drop", how=_HOW)
declare("drop_reused", how=_HOW)
declare("close_after", seconds=0.0, how=_HOW)
declare("bytewise", seconds=0.0)
declare("burst")
declare("pace", seconds=0.02)
declare("gzip")


class AnswerOver(Exception):
    """Nothing more of the answer is to be sent."""


class Misbehaving:
    """An application that answers a request with faults.

    Args:
        app: what would answer it rightly.
        faults: what goes wrong.
        connection: the connection it came on; without one, nothing can be cut.
    """

    def __init__(self, app: ASGIApp, faults: Sequence[Fault], connection: Connection | None) -> None:
        self.app, self.faults, self.connection = app, faults, connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self.app
        for fault in self.faults:
            if fault.name in ("drop", "drop_reused"):
                return _hang_up(self.connection, fault)
            if fault.name == "stall" and fault["where"] == "headers":
                await asyncio.sleep(fault["seconds"])
            app = reply_instead(fault, Request(scope)) or app
        with contextlib.suppress(AnswerOver):
            await app(scope, receive, Delivery(self.faults, self.connection, send).take)
        for fault in self.faults:
            if fault.name == "close_after":
                await asyncio.sleep(fault["seconds"])
                _hang_up(self.connection, fault)


def _hang_up(connection: Connection | None, fault: Fault) -> None:
    if connection is None:
        return
    if fault["how"] == "rst":
        connection.reset()
    else:
        connection.close()


class Delivery:
    """Take the right answer and sends it wrongly."""

    def __init__(self, faults: Sequence[Fault], connection: Connection | None, send: Send) -> None:
        self.faults, self.connection, self.send = faults, connection, send
        self.by_name = {fault.name: fault for fault in faults}
        editors = [editor for fault in faults if (editor := editor_for(fault))]
        self.editors: list[Editor] = sorted(editors, key=lambda editor: editor.rank)
        self.start: Message = {}
        self.streams = False
        self.whole = b""
        self.event_count = 0
        self.compressor = zlib.compressobj(wbits=31) if "gzip" in self.by_name else None

    async def take(self, message: Message) -> None:
        """Take one message of the right answer.

        Raises:
            AnswerOver: the rest is not wanted.
        """
        if message["type"] == "http.response.start":
            self.start = message
            self.streams = b"text/event-stream" in dict(message["headers"]).get(b"content-type", b"")
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self.streams:
            self.whole += body
            if not more:
                await self._send_whole()
            return
        if body:
            await self._send_events(self._edited(body))
        if any(editor.over for editor in self.editors):
            await self._end()
            raise AnswerOver
        if not more:
            await self._send_events([event for editor in self.editors for event in editor.end()])
            await self._end()

    def _edited(self, event: bytes) -> list[bytes]:
        events = [event]
        for editor in self.editors:
            events = [changed for each in events for changed in editor.feed(each)]
        return events

    async def _send_whole(self) -> None:
        """Send an answer that is no stream."""
        headers, body = dict(self.start["headers"]), self.whole
        if b"application/json" in headers.get(b"content-type", b""):
            body = self._changed(body)
        if b"metadata" in headers:  # of vectors that come as bytes: what is JSON in the other formats
            headers[b"metadata"] = self._changed(headers[b"metadata"])
            self.start["headers"] = list(headers.items())
        if self.compressor:
            body = self.compressor.compress(body) + self.compressor.flush()
        others = [(k, v) for k, v in self.start["headers"] if k != b"content-length"]
        self.start["headers"] = [*others, (b"content-length", str(len(body)).encode())]
        await self._begin()
        stall, cut, middle = self.by_name.get("stall"), self.by_name.get("cut"), (len(body) + 1) // 2
        if cut:
            await self._write(body[:middle])
            self._cut(cut)
        elif stall and stall["where"] == "middle":
            await self._write(body[:middle])
            await asyncio.sleep(stall["seconds"])
            await self._write(body[middle:])
        elif "bytewise" in self.by_name:
            await self._bytewise(body)
        else:
            await self._write(body)
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _changed(self, text: bytes) -> bytes:
        """Return JSON as the faults change it; the same bytes where they change nothing."""
        payload: Any = orjson.loads(text)
        for fault in self.faults:
            payload = change_body(fault, payload)
        return text if payload == orjson.loads(text) else orjson.dumps(payload)

    async def _send_events(self, events: Sequence[bytes]) -> None:
        for event in events:
            if "burst" in self.by_name:
                self.whole += event
                continue
            if self.start:
                await self._begin()
            stall, cut, pace = (self.by_name.get(name) for name in ("stall", "cut", "pace"))
            if stall and stall["where"] == "middle" and self.event_count == stall["after"]:
                await asyncio.sleep(stall["seconds"])
            if pace:
                await asyncio.sleep(pace["seconds"])
            if cut:
                await self._until_cut(cut, event)
            elif "bytewise" in self.by_name:
                await self._bytewise(self._compressed(event))
            else:
                await self._write(self._compressed(event))
            self.event_count += 1

    async def _until_cut(self, cut: Fault, event: bytes) -> None:
        """Send an event, or the part of it that comes before the cut."""
        where, due = cut["where"], self.event_count >= cut["after"]
        if where == "between" and due:
            self._cut(cut)
        if where == "event" and due:
            await self._write(event[: len(event) // 2])
            self._cut(cut)
        if where == "character" and due:
            split = next((i for i, byte in enumerate(event) if byte >= 0xC0), None)
            if split is not None:
                await self._write(event[: split + 1])
                self._cut(cut)
        await self._write(self._compressed(event))
        if where == "finish" and finishes(event):
            self._cut(cut)

    def _cut(self, cut: Fault) -> None:
        _hang_up(self.connection, cut)
        raise AnswerOver

    async def _begin(self) -> None:
        """Send the headers."""
        start, self.start = self.start, {}
        if self.compressor:
            start["headers"] = [*start["headers"], (b"content-encoding", b"gzip")]
        await self.send(start)
        stall = self.by_name.get("stall")
        if stall and stall["where"] == "first":
            await asyncio.sleep(stall["seconds"])

    async def _end(self) -> None:
        """End a stream properly."""
        if self.start:
            await self._begin()
        rest = self._compressed(self.whole) if self.whole else b""
        if self.compressor:
            rest += self.compressor.flush()
        await self.send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _write(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _bytewise(self, data: bytes) -> None:
        seconds = self.by_name["bytewise"]["seconds"]
        for i in range(len(data)):
            await self._write(data[i : i + 1])
            await asyncio.sleep(seconds)

    def _compressed(self, data: bytes) -> bytes:
        if self.compressor is None:
            return data
        return self.compressor.compress(data) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
