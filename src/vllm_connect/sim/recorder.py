"""What reached the server: every request, so that tests can count and read them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Condition
from typing import Any

import orjson
from python_multipart import parse_form


@dataclass(frozen=True)
class Upload:
    """A file in a form."""

    filename: str
    content: bytes


@dataclass(eq=False)
class Request:
    """A request that reached the server.

    Attributes:
        method: "GET", "POST" …
        path: Without the query.
        query: What follows the question mark.
        headers: By their names in lower case.
        body: The bytes.
        client: The address and port of the client: the same for requests on one connection.
        faults: The names of the faults that happened to it.
        aborted: Whether the client went away before the answer was complete.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
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

    @cached_property
    def form(self) -> dict[str, list[str | Upload]]:
        """The body as a form: every field with all its values."""
        return read_form(self.headers.get("content-type", ""), self.body)


class Recorder:
    """The requests so far; safe to read from another thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._requests: list[Request] = []
        self.running = 0

    def add(self, request: Request) -> None:
        """Remembers a request that begins."""
        with self._changed:
            self._requests.append(request)
            self.running += 1
            self._changed.notify_all()

    def end(self, request: Request, aborted: bool) -> None:
        """Notes how a request ended."""
        with self._changed:
            request.aborted = aborted
            self.running -= 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Forgets the requests."""
        with self._changed:
            self._requests.clear()

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first."""
        with self._changed:
            return list(self._requests)

    @property
    def aborted(self) -> int:
        """How many clients went away before their answer was complete."""
        return sum(request.aborted for request in self.requests)

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        """Waits until something is true of the requests; tells whether it became so in time."""
        with self._changed:
            return self._changed.wait_for(until, timeout)


def read_form(content_type: str, body: bytes) -> dict[str, list[str | Upload]]:
    """Reads a multipart or urlencoded form.

    Args:
        content_type: The header, with the boundary.
        body: The bytes.

    Returns:
        Every field with all its values; nothing if it is no form.
    """
    form: dict[str, list[str | Upload]] = {}
    if not content_type.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        return form

    def on_field(each: Any) -> None:
        form.setdefault(_text(each.field_name), []).append(_text(each.value))

    def on_file(each: Any) -> None:
        each.file_object.seek(0)
        upload = Upload(_text(each.file_name), each.file_object.read())
        form.setdefault(_text(each.field_name), []).append(upload)
        each.close()

    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    try:
        parse_form(headers, io.BytesIO(body), on_field, on_file)
    except ValueError:
        return {}
    return form


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
