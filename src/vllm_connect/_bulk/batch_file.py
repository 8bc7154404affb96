"""OpenAI's batch files: a request a line in, an answer or an error a line out.

In:  ``{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {…}}``
Out: ``{"id": "batch_req_0", "custom_id": "a", "response": {"status_code": 200, "body": {…}}, "error": null}``

The number in `id` is that of the line in the input, so that the output is a journal, too: what is in it was
answered, and a run that goes on leaves it out.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

import openai
import orjson

_ID = re.compile(r"batch_req_(\d+)")
_NOT_DONE = -1


class BatchRequest(NamedTuple):
    """One line of the input.

    Attributes:
        number: of the line, from 0.
        custom_id: the caller's name for it.
        url: the path, such as ``/v1/chat/completions``.
        body: the request's body.
    """

    number: int
    custom_id: str
    url: str
    body: dict[str, object]


def read_request(number: int, line: bytes) -> BatchRequest:
    """Read a line of the input.

    Raises:
        ValueError: it is no request; the message says why.
    """
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"line {number + 1} is no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ValueError(f"line {number + 1} is no object")
    custom_id, method, url, body = (entry.get(name) for name in ("custom_id", "method", "url", "body"))
    if not isinstance(custom_id, str):
        raise ValueError(f"line {number + 1} has no custom_id")
    if method not in (None, "POST"):
        raise ValueError(f"line {number + 1}: method is POST, not {method!r}")
    if not isinstance(url, str):
        raise ValueError(f"line {number + 1} has no url")
    if not isinstance(body, dict):
        raise ValueError(f"line {number + 1} has no body")
    return BatchRequest(number, custom_id, url, body)


def custom_id_of(line: bytes) -> str | None:
    """The name of a line that may be no request."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    custom_id = entry.get("custom_id") if isinstance(entry, dict) else None
    return custom_id if isinstance(custom_id, str) else None


def answer_line(request: BatchRequest, status: int, request_id: str | None, body: bytes) -> bytes:
    """The line of the output for an answer, whose body is put in as the server wrote it."""
    response = {"status_code": status, "request_id": request_id or "", "body": orjson.Fragment(body)}
    return _line(request.number, request.custom_id, response, None)


def error_line(number: int, custom_id: str | None, error: Exception) -> bytes:
    """The line of the output for an error.

    What a server refused has a response with its status; anything else has an error.
    """
    if isinstance(error, openai.APIStatusError):
        body = {"error": {"message": error.message, "type": error.type, "code": error.code}}
        response = {"status_code": error.status_code, "request_id": error.request_id or "", "body": body}
        return _line(number, custom_id, response, None)
    return _line(number, custom_id, None, {"code": type(error).__name__, "message": str(error)})


def _line(number: int, custom_id: str | None, response: object, error: object) -> bytes:
    entry = {"id": f"batch_req_{number}", "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


class Journal:
    """The lines of the input that an output has answers for: eight bytes a line, whatever the answers are."""

    def __init__(self) -> None:
        self._checksums = array("q")
        self.end = 0
        """Where the last whole line of the output ends, in bytes."""
        self.failed = 0
        """How many of the lines are errors."""

    def __len__(self) -> int:
        return sum(checksum != _NOT_DONE for checksum in self._checksums)

    def read(self, lines: Iterable[bytes]) -> None:
        """Read an output; a last line that was cut off does not count.

        Raises:
            ValueError: it is not the output of a batch.
        """
        for place, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                entry = orjson.loads(line)
                match = _ID.fullmatch(entry["id"])
                custom_id, response = entry["custom_id"], entry["response"]
            except (orjson.JSONDecodeError, TypeError, KeyError):
                match = None
            if match is None:
                raise ValueError(f"line {place} of the output is not of a batch")
            self._note(int(match[1]), custom_id)
            self.failed += response is None or response["status_code"] != 200
            self.end += len(line)

    def _note(self, number: int, custom_id: str | None) -> None:
        if number >= len(self._checksums):
            self._checksums.extend([_NOT_DONE] * (number + 1 - len(self._checksums)))
        self._checksums[number] = _checksum(custom_id)

    def has(self, number: int, line: bytes) -> bool:
        """Return whether a line of the input was answered.

        Raises:
            ValueError: the output has an answer to another request in its place.
        """
        if number >= len(self._checksums) or self._checksums[number] == _NOT_DONE:
            return False
        custom_id = custom_id_of(line)
        if self._checksums[number] != _checksum(custom_id):
            raise ValueError(f"the output is of another input: its line {number + 1} is not {custom_id!r}")
        return True


def _checksum(custom_id: str | None) -> int:
    return crc32((custom_id or "").encode("utf-8", "surrogatepass"))
