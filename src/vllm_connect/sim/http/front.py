"""The first to see a request: it records it, lets faults happen to it and notices a client that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..faults import Fault, FaultPlan, Misbehaving
from .recorder import Recorder, Request, read_form, replay
from .wire import connection_of


class Front:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, recorder: Recorder, plan: FaultPlan) -> None:
        self.app, self.recorder, self.plan = app, recorder, plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = await _whole_body(receive)
        if body is None:
            return None
        request = await _request(scope, body)
        connection = connection_of(scope)
        reused = connection is not None and connection.carries()
        try:
            asked = Fault.all_of(request.headers.get("x-sim-fault", ""))
        except ValueError as error:
            return await Response(str(error), 400)(scope, receive, send)
        faults = [fault for fault in asked if fault.possible(reused)] + self.plan.take(request.path, reused)
        request.faults = [fault.name for fault in faults]
        self.recorder.add(request)
        aborted = False
        try:
            app = Misbehaving(self.app, faults, connection) if faults else self.app
            left = await _unless_left(app(scope, replay(body), send), receive)
            aborted = left and not (connection and connection.ended)
        finally:
            self.recorder.end(request, aborted)


async def _unless_left(answer: Awaitable[None], receive: Receive) -> bool:
    """Answers, unless the client leaves first; tells whether it did. vLLM drops its work then."""
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(_until_left(receive))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            await answering
            return False
        return True
    finally:
        answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _request(scope: Scope, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    form = await read_form(headers.get("content-type", ""), body)
    client = tuple(scope["client"]) if scope.get("client") else None
    return Request(scope["method"], scope["path"], query, headers, body, form, client)


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
