"""Our HTTP/1.1 against h11, the parser under httpx: h11 writes the responses, and h11 reads them, too."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_connect._transport._httpx import httpx
from vllm_connect._transport.http11 import MAX_HEAD, MAX_LINE, ResponseReader, encode_head

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Read(NamedTuple):
    status: int
    version: bytes
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def read(pieces: list[bytes], method: str = "GET") -> tuple[Read, ResponseReader]:
    """Feed pieces, then the end of the connection, as far as the reader wants them."""
    reader = ResponseReader(method)
    body = b""
    for piece in [*filter(None, pieces), b""]:
        body += reader.feed(piece)
        if reader.complete:
            break
    assert reader.complete
    return Read(reader.status, reader.version, reader.reason, reader.headers, body), reader


def read_with_h11(wire: bytes, method: str = "GET") -> Read:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 24)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    client.receive_data(b"")
    head, body = None, b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("incomplete")
    assert head is not None
    version = b"HTTP/" + head.http_version
    return Read(head.status_code, version, head.reason, head.headers.raw_items(), body)


def cut(wire: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted({place % (len(wire) + 1) for place in at}), len(wire)]
    return [wire[a:b] for a, b in pairwise(places)]


token = st.text("abcXYZ09-_!~", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding", "connection", "trailer")
)
value = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0")).map(
    lambda text: text.encode("latin-1")
)
values = st.lists(value, max_size=3).map(lambda words: b" \t".join(words).strip())
fields = st.lists(st.tuples(token.map(str.encode), values), max_size=6)
cuts = st.lists(st.integers(0, 10_000), max_size=30)


@st.composite
def responses(draw: st.DrawFn) -> tuple[str, bytes]:
    """A request's method, and a response to it as h11 writes it."""
    method = draw(st.sampled_from(["GET", "POST", "HEAD"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    server = h11.Connection(h11.SERVER)
    server.receive_data(f"{method} / HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    while server.next_event() is not h11.PAUSED and server.their_state not in (h11.DONE, h11.MUST_CLOSE):
        pass
    wire = b""
    for status in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)) if version == "1.1" else []:
        wire += server.send(h11.InformationalResponse(status_code=status, headers=draw(fields))) or b""
    parts = draw(st.lists(st.binary(max_size=300), max_size=6))
    headers = draw(fields)
    sized = draw(st.booleans())
    if sized:
        headers.insert(draw(st.integers(0, len(headers))), (b"Content-Length", b"%d" % sum(map(len, parts))))
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 404, 500, 503]))
    reason = draw(st.sampled_from(["", "OK", "Service Unavailable", "über"])).encode("latin-1")
    wire += server.send(h11.Response(status_code=status, headers=headers, reason=reason)) or b""
    if method != "HEAD" and status not in (204, 304):
        for part in parts:
            wire += server.send(h11.Data(part)) or b""
        trailers = [] if sized or version == "1.0" else draw(fields)
        wire += server.send(h11.EndOfMessage(headers=trailers)) or b""
    return method, wire


@settings(deadline=None)
@given(responses(), cuts)
def test_reads_what_h11_reads_wherever_it_is_cut(response: tuple[str, bytes], at: list[int]) -> None:
    method, wire = response
    assert read(cut(wire, at), method)[0] == read_with_h11(wire, method)


@settings(deadline=None)
@given(responses())
def test_reads_byte_by_byte(response: tuple[str, bytes]) -> None:
    method, wire = response
    assert read([bytes([byte]) for byte in wire], method)[0] == read([wire], method)[0]


@settings(max_examples=500, deadline=None)
@given(responses(), cuts, st.data())
def test_damaged_response_is_an_error_or_what_h11_reads(
    response: tuple[str, bytes], at: list[int], data: st.DataObject
) -> None:
    method, wire = response
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(wire)))
        junk = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"0", b"f", b";", b"\xff"])
        )
        wire = wire[:place] + junk + wire[place + data.draw(st.integers(0, 2)) :]
    try:
        ours = read([wire], method)[0]
    except httpx.RemoteProtocolError:
        with pytest.raises(httpx.RemoteProtocolError):
            read(cut(wire, at), method)
    else:
        assert read(cut(wire, at), method)[0] == ours
        assert read_with_h11(wire, method) == ours


@settings(deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 ", OK, CHUNKED, CHUNKED + b"5\r\nhello\r\n"])
)
def test_noise_is_an_error_or_what_h11_reads(noise: bytes, start: bytes) -> None:
    try:
        ours = read([start + noise])[0]
    except httpx.RemoteProtocolError:
        return
    assert read_with_h11(start + noise) == ours


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x03\x00\x02",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 2000 X\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        OK + b" folded: first\r\n\r\n",
        OK + b"No Colon\r\n\r\n",
        OK + b"bad name: x\r\n\r\n",
        OK + b": x\r\n\r\n",
        OK + b"a : x\r\n\r\n",
        OK + b"a: b\rc\r\n\r\n",
        OK + b"a: b\0c\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK + b"Content-Length: 5, 6\r\n\r\nhello!",
        OK + b"Content-Length: -5\r\n\r\nhello",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: 0x5\r\n\r\nhello",
        OK + b"Content-Length: 5_0\r\n\r\nhello",
        OK + b"Content-Length: \r\n\r\nhello",
        OK + b"Content-Length: 111111111111111111111\r\n\r\nhello",
        OK + b"Content-Length: 6\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello0\r\n\r\n",
        CHUNKED + b"5\r\nhello\n0\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5_0\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"g\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"11111111111111111\r\nhello",
        CHUNKED + b"5;" + b"x" * MAX_LINE,
        CHUNKED + b"0\r\nbad trailer\r\n\r\n",
        CHUNKED + b"0\r\na: " + b"x" * MAX_LINE,
        OK + b"a: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    ],
)
def test_refuses(wire: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read([wire])
    with pytest.raises(httpx.RemoteProtocolError):
        read([wire[:60], wire[60:]])


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"005;a=b;c\r\nhello\r\nA \r\n0123456789\r\n00\r\nTrailer: 1\r\n\r\n", b"hello0123456789"),
        (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (OK + b"\r\nhello", b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + CHUNKED + b"0\r\n\r\n", b""),
        (OK + b"a: 1\r\n  \t 2\r\nContent-Length:\r\n\t5\r\n\r\nhello", b"hello"),
    ],
)
def test_accepts(wire: bytes, body: bytes) -> None:
    assert read([wire])[0] == read_with_h11(wire)
    assert read([wire])[0].body == body


def test_accepts_a_length_said_twice() -> None:
    wire = OK + b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello"
    assert read([wire])[0].body == read_with_h11(wire).body == b"hello"


@pytest.mark.parametrize(
    ("wire", "reusable"),
    [
        (CHUNKED + b"0\r\n\r\n", True),
        (CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (OK + b"Content-Length: 5\r\n\r\nhello", True),
        (OK + b"Content-Length: 5\r\n\r\nhello!", False),
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: keep-alive, close\r\n\r\n", False),
        (OK + b"\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    ],
)
def test_says_whether_the_connection_can_be_reused(wire: bytes, reusable: bool) -> None:
    assert read([wire])[1].reusable is reusable


def test_one_feed_gives_one_piece_of_body() -> None:
    events = [b"data: %d\n\n" % i for i in range(300)]
    reader = ResponseReader("POST")
    assert reader.feed(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events)) == b"".join(events)
    assert not reader.complete
    assert reader.feed(b"0\r\n\r\n") == b""
    assert reader.complete


def test_large_header_arriving_in_small_pieces() -> None:
    wire = OK + b"metadata: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n"
    response, _ = read([wire[i : i + 100] for i in range(0, len(wire), 100)])
    assert len(response.headers[0][1]) == 200_000


@pytest.mark.parametrize(
    ("wire", "reason"), [(b"", "without sending a response"), (b"H", "middle"), (OK + b"a: b\r\n", "middle")]
)
def test_says_how_a_connection_ended(wire: bytes, reason: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=f"Server disconnected .*{reason}"):
        read([wire])


# Requests


@settings(deadline=None)
@given(st.sampled_from(["GET", "POST", "PATCH"]), st.from_regex(rb"/[!-~]{0,30}", fullmatch=True), fields)
def test_writes_what_h11_reads(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"Host", b"example"), *[field for field in headers if field[0].lower() != b"host"]]
    head, length = encode_head(method, target, headers)
    server = h11.Connection(h11.SERVER)
    server.receive_data(head)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (method.encode(), target)
    assert request.headers.raw_items() == headers
    assert length == 0


@pytest.mark.parametrize(
    ("header", "length"),
    [((b"Content-Length", b"17"), 17), ((b"transfer-encoding", b"Chunked"), None), ((b"a", b""), 0)],
)
def test_knows_the_length_of_the_body(header: tuple[bytes, bytes], length: int | None) -> None:
    assert encode_head("POST", b"/", [header])[1] == length


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("GET", b"/", (b"a", b"x\r\nb: y")),
        ("GET", b"/", (b"a", b"x\nb: y")),
        ("GET", b"/", (b"a", b"x\r\n\r\nGET / HTTP/1.1")),
        ("GET", b"/", (b"a", b"x\r")),
        ("GET", b"/", (b"a", b"x\0")),
        ("GET", b"/", (b"a: b\r\nc", b"x")),
        ("GET", b"/", (b"a b", b"x")),
        ("GET", b"/", (b"", b"x")),
        ("GET", b"/ HTTP/1.1\r\na: b\r\n", (b"a", b"b")),
        ("GET", b"/a b", (b"a", b"b")),
        ("GET", b"", (b"a", b"b")),
        ("GET /", b"/", (b"a", b"b")),
        ("", b"/", (b"a", b"b")),
        ("GÉT", b"/", (b"a", b"b")),
        ("GET", b"/", (b"Content-Length", b"1_0")),
        ("GET", b"/", (b"Content-Length", b"chunked")),
        ("GET", b"/", (b"Transfer-Encoding", b"gzip")),
        ("GET", b"/", (b"Transfer-Encoding", b"5")),
    ],
)
def test_refuses_to_write(method: str, target: bytes, header: tuple[bytes, bytes]) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        encode_head(method, target, [(b"Host", b"x"), header])


def test_refuses_two_framings() -> None:
    with pytest.raises(httpx.LocalProtocolError):
        encode_head("POST", b"/", [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")])


def test_error_names_the_header_and_hides_its_value() -> None:
    with pytest.raises(httpx.LocalProtocolError, match="authorization") as caught:
        encode_head("GET", b"/", [(b"authorization", b"Bearer s3cret\n")])
    assert "s3cret" not in str(caught.value)
