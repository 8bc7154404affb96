"""The first to see a request: it records it, lets faults happen to it and notices a client that leaves."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .faults import Fault, FaultPlan
from .recorder import Recorder, Request
from .wire import connection_of


class Front:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, recorder: Recorder, plan: FaultPlan) -> None:
        self.app, self.recorder, self.plan = app, recorder, plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = await _whole_body(receive)
        if body is None:
            return None
        request = _request(scope, body)
        faults = Fault.all_of(request.headers.get("x-sim-fault", "")) + self.plan.take(request.path)
        request.faults = [fault.name for fault in faults]
        self.recorder.add(request)
        aborted = False
        try:
            aborted = await self._answer(scope, body, receive, send)
        finally:
            self.recorder.end(request, aborted)
            if connection := connection_of(scope):
                connection.answered += 1

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> bool:
        """Answers, unless the client leaves first; tells whether it did, as vLLM drops its work then."""
        answer = asyncio.ensure_future(self.app(scope, _replay(body), send))
        left = asyncio.ensure_future(_until_left(receive))
        try:
            await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
                return False
            return True
        finally:
            for task in (answer, left):
                task.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)


def _request(scope: Scope, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    client = scope.get("client")
    return Request(scope["method"], scope["path"], query, headers, body, tuple(client) if client else None)


async def _whole_body(receive: Receive) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _replay(body: bytes) -> Receive:
    """Gives the application the body that was read before it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the front notices a client that leaves, and cancels
        raise AssertionError

    return receive
