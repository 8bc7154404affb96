"""HTTP/1.1 as a client speaks it, without a socket: a request becomes bytes, bytes become a response.

RFC 9112, plus the leniency of h11, the parser under httpx: bare LF in a head and folded header lines are
understood. Whatever else is not HTTP is an error, and so is a length on which two parties could disagree:
what follows it on the connection might be taken for the answer to another request.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ._httpx import httpx

MAX_HEAD = 1 << 20
"""The longest response head. vLLM and its routers echo metadata in headers of hundreds of kilobytes."""

MAX_LINE = 1 << 14
"""The longest line that announces a chunk, and the longest trailer section."""

Headers = list[tuple[bytes, bytes]]

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t -~\x80-\xff]*"
_REQUEST_FIELD = re.compile(rb"%b: %b" % (_TOKEN, _TEXT))
_REQUEST_HEAD = re.compile(rb"%b [!-~]+ HTTP/1\.1\r\n(?:%b: %b\r\n)*\r\n" % (_TOKEN, _TOKEN, _TEXT))
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: ([^\0\r\n]*))?\r?\n")
_FIELD = re.compile(rb"^(%b):[ \t]*([^\0\r\n\v\f]*)\r?\n" % _TOKEN, re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,20}")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}(?=\r\n)")
_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")

_TLS = b"\x15\x03"  # an alert: what a TLS server may answer to plain HTTP
_CUT_SHORT = "peer closed connection without sending complete message body"


def encode_head(method: str, target: bytes, headers: Headers) -> tuple[bytes, int | None]:
    """Return the head of a request, and the length it declares for the body: None if that is chunked.

    Raises:
        httpx.LocalProtocolError: A part of the head would break out of its place, or the headers do not
            agree on where the body ends. The message names headers and never shows a value: it may be a key.
    """
    length: int | None = 0
    framed = False
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    for name, value in headers:
        lines.append(b"%b: %b" % (name, value))
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            length = int(value) if _LENGTH.fullmatch(value) and lower == b"content-length" else None
            if framed or (length is None and (lower, value.lower()) != (b"transfer-encoding", b"chunked")):
                raise httpx.LocalProtocolError(f"unusable {lower.decode()} header in a request")
            framed = True
    lines += b"", b""
    head = b"\r\n".join(lines)
    # Counted as well as matched: a line break inside of a value may look like another proper header.
    if head.count(b"\n") != len(headers) + 2 or not _REQUEST_HEAD.fullmatch(head):
        bad = [name for name, value in headers if not _REQUEST_FIELD.fullmatch(b"%b: %b" % (name, value))]
        where = f"header {bad[0]!r}" if bad else "method or request target"
        raise httpx.LocalProtocolError(f"illegal {where}")
    return head, length


class ResponseReader:
    """Reads one response.

    `feed` takes what a socket's `recv` returned, with `b""` for the end of the connection, and returns the
    part of the body that was in it. `status` is 0 until the whole head has been seen.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.version = self.reason = b""
        self.headers: Headers = []
        self.is_ascii = False
        """Whether the head holds nothing else."""
        self.started = False
        """Whether any byte of the response has been seen."""
        self.complete = False
        """Whether the last byte of the response has been seen."""
        self.reusable = True
        """Whether the connection may carry another request after this response."""
        self._method = method
        self._pending = bytearray()
        self._left = 0  # bytes to come of the body, or of the current chunk
        self._read: Callable[[ResponseReader, bytes], bytes] = ResponseReader._read_head

    def feed(self, data: bytes) -> bytes:
        """Take what the socket brought; return what of it belongs to the body.

        Raises:
            httpx.RemoteProtocolError: This is not HTTP, or the connection ended too early.
        """
        return self._read(self, data)

    def _read_head(self, data: bytes) -> bytes:
        if not data:
            if self.started:
                raise httpx.RemoteProtocolError("Server disconnected in the middle of a response head.")
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        self.started = True
        offset = len(self._pending)
        self._pending += data
        if not self._pending.startswith(b"HTTP/1."[: len(self._pending)]):
            if self._pending.startswith(_TLS):
                raise httpx.RemoteProtocolError(
                    "the server speaks TLS here: its URL must begin with https://"
                )
            raise httpx.RemoteProtocolError(f"not an HTTP/1.1 response: {bytes(self._pending[:40])!r}")
        while blank := _BLANK_LINE.search(self._pending, max(offset - 2, 0)):
            head = bytes(self._pending[: blank.end()])
            del self._pending[: blank.end()]
            self._parse_head(head)
            if self.status >= 200:
                rest = bytes(self._pending)
                self._pending.clear()
                return self._begin_body(rest)
            offset = self.status = 0
        if len(self._pending) > MAX_HEAD:
            raise httpx.RemoteProtocolError(f"response head of more than {MAX_HEAD} bytes")
        return b""

    def _parse_head(self, head: bytes) -> None:
        if len(head) > MAX_HEAD:
            raise httpx.RemoteProtocolError(f"response head of more than {MAX_HEAD} bytes")
        self.is_ascii = head.isascii()
        line = _STATUS_LINE.match(head)
        if not line:
            raise httpx.RemoteProtocolError(f"illegal status line: {head[:100]!r}")
        self.version, self.status, self.reason = line[1], int(line[2]), line[3] or b""
        if self.status == 101:
            raise httpx.RemoteProtocolError("the server switched to another protocol, unasked")
        self.headers = _parse_fields(head[line.end() : head.rindex(b"\n", 0, -1) + 1])

    def _begin_body(self, data: bytes) -> bytes:
        lengths: set[bytes] = set()
        codings: list[bytes] = []
        self.reusable = self.version == b"HTTP/1.1"
        for name, value in self.headers:
            name = name.lower()
            if name == b"content-length":
                lengths.update(length.strip() for length in value.split(b","))
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            elif name == b"connection" and b"close" in value.lower():
                self.reusable = False
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise httpx.RemoteProtocolError(f"unusable Content-Length: {b', '.join(sorted(lengths))!r}")
        if codings and codings != [b"chunked"]:
            raise httpx.RemoteProtocolError(f"unusable Transfer-Encoding: {b', '.join(codings)!r}")

        if self._method == "HEAD" or self.status in (204, 304):
            return self._finish(data)
        if codings:
            # Chunked wins over a length, but whoever sent both is not to be trusted with another request.
            self.reusable = self.reusable and not lengths
            self._read = ResponseReader._read_chunks
            self._pending += b"\r\n"  # as if the head ended a chunk: now every chunk starts the same way
        elif lengths:
            self._left = int(lengths.pop())
            self._read = ResponseReader._read_length
            if not self._left:
                return self._finish(data)
        else:
            self.reusable = False
            self._read = ResponseReader._read_to_end
        return self.feed(data) if data else b""

    def _read_length(self, data: bytes) -> bytes:
        if not data:
            raise httpx.RemoteProtocolError(f"{_CUT_SHORT} ({self._left} bytes are missing)")
        body, rest = data[: self._left], data[self._left :]
        self._left -= len(body)
        if not self._left:
            self._finish(rest)
        return body

    def _read_chunks(self, data: bytes) -> bytes:
        if not data:
            raise httpx.RemoteProtocolError(f"{_CUT_SHORT} (incomplete chunked read)")
        if self._pending:
            # Of a stream that is read as fast as it is written, nearly every read is one whole chunk.
            if self._pending == b"\r\n" and (size := _SIZE.match(data)) is not None:
                at = size.end() + 2
                if at + int(size[0], 16) + 2 == len(data) > at + 2 and data.endswith(b"\r\n"):
                    return data[at:-2]
            data = bytes(self._pending) + data
            self._pending.clear()
        left, at, pieces = self._left, 0, []
        while True:
            if left:
                piece = data[at : at + left]
                pieces.append(piece)
                at += len(piece)
                left -= len(piece)
                if left:
                    break
            line = _CHUNK.match(data, at)
            if line is None:
                self._keep(data[at:])
                break
            left = int(line[1], 16)
            if not left:
                blank = _BLANK_LINE.search(data, line.end() - 1)
                if blank is None:
                    self._keep(data[at:], trailers=True)
                else:
                    _parse_fields(data[line.end() : data.rindex(b"\n", at, blank.end() - 1) + 1])
                    self._finish(data[blank.end() :])
                break
            at = line.end()
        self._left = left
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, start: bytes, trailers: bool = False) -> None:
        """Keep the start of a chunk, or of the trailers, until more of it arrives."""
        whole_line = not trailers and b"\r\n" in start[2:]
        if whole_line or len(start) > MAX_LINE or not b"\r\n".startswith(start[:2]):
            raise httpx.RemoteProtocolError(f"illegal chunk: {start[:40]!r}")
        self._pending += start

    def _read_to_end(self, data: bytes) -> bytes:
        return data or self._finish(b"")

    def _finish(self, rest: bytes) -> bytes:
        self.complete = True
        self._left = 0
        if rest:  # nobody asked for it, so it must not become the answer to the next request
            self.reusable = False
        return b""


def _parse_fields(block: bytes) -> Headers:
    if b"\n " in block or b"\n\t" in block:
        block = _FOLD.sub(b" ", block)
    fields: Headers = [(name, value.rstrip(b" \t")) for name, value in _FIELD.findall(block)]
    if len(fields) != block.count(b"\n"):
        raise httpx.RemoteProtocolError("illegal header line in a response")
    return fields
