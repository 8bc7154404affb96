"""The requests that reached the server, so that tests can count and read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Condition
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive


@dataclass(frozen=True)
class Upload:
    """A file in a form."""

    filename: str
    content: bytes


Form = dict[str, list[str | Upload]]


@dataclass(eq=False)
class Request:
    """A request that reached the server.

    Attributes:
        method: "GET", "POST" …
        path: without the query.
        query: what follows the question mark.
        headers: by their names in lower case.
        body: the bytes.
        form: the body as a form: every field with all its values.
        client: the address and port of the client: the same for requests on one connection.
        faults: the names of the faults that happened to it.
        aborted: whether the client went away before the answer was complete.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    form: Form = field(default_factory=dict)
    client: tuple[str, int] | None = None
    faults: list[str] = field(default_factory=list)
    aborted: bool = False

    @cached_property
    def json(self) -> Any:
        """The body as JSON, `None` if it is none."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None


class Recorder:
    """The requests so far; safe to read from another thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._requests: list[Request] = []
        self.running = 0

    def add(self, request: Request) -> None:
        """Remember a request that begins."""
        with self._changed:
            self._requests.append(request)
            self.running += 1
            self._changed.notify_all()

    def end(self, request: Request, aborted: bool) -> None:
        """Note how a request ended."""
        with self._changed:
            request.aborted = aborted
            self.running -= 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the requests."""
        with self._changed:
            self._requests.clear()

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first."""
        with self._changed:
            return list(self._requests)

    @property
    def aborted(self) -> int:
        """The number of clients that went away before their answer was complete."""
        return sum(request.aborted for request in self.requests)

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        """Wait until something is true of the requests; tells whether it became so in time."""
        with self._changed:
            return self._changed.wait_for(until, timeout)


async def read_form(content_type: str, body: bytes) -> Form:
    """Read a multipart or urlencoded form.

    Args:
        content_type: the header, with the boundary.
        body: the bytes.

    Returns:
        Every field with all its values; nothing if it is no form.
    """
    scope = {"type": "http", "headers": [(b"content-type", content_type.encode("latin-1"))]}
    form: Form = {}
    try:
        async with HttpRequest(scope, replay(body)).form() as fields:
            for name, value in fields.multi_items():
                values = form.setdefault(name, [])
                if isinstance(value, UploadFile):
                    values.append(Upload(value.filename or "", await value.read()))
                else:
                    values.append(value)
    except (HTTPException, MultiPartException):
        return {}
    return form


def replay(body: bytes) -> Receive:
    """Give an application a body that was read before."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # whoever reads on waits until it is cancelled
        raise AssertionError

    return receive
