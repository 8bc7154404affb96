"""SSESplitter, with the SDK's own decoder as oracle."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from vllm_connect._wire.sse import Event, SSESplitter

RECORDED = [
    row
    for row in json.loads((Path(__file__).parent / "data" / "replies.json").read_text("utf-8"))
    if row["content_type"].startswith("text/event-stream")
]
BOM = b"\xef\xbb\xbf"


def split(*pieces):
    """All events of a stream that arrives in pieces."""
    splitter = SSESplitter()
    return [event for piece in pieces for event in splitter.feed(piece)]


def of_the_sdk(stream):
    """The events with data that the SDK finds, in one piece: cut lines were not always its strength."""
    return [
        Event(event.data.encode(), event.event or None)
        for event in SSEDecoder().iter_bytes(iter([stream]))
        if event.data
    ]


def cut(stream, cuts):
    """The stream cut at some positions."""
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in cuts)})
    return [stream[start:end] for start, end in pairwise(places)]


# --- what may be on the wire -----------------------------------------------------------------------

ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from(["data", "event", "id", "retry", "", "data ", "Data", "dat", "x"])
colons = st.sampled_from([":", ": ", ":  ", "", ": \ufeff"])
lines = st.one_of(
    st.tuples(st.just("data"), st.just(": "), texts),
    st.tuples(names, colons, texts),
    st.tuples(st.just(""), st.just(": "), texts),  # a comment
).map("".join)
blocks = st.lists(lines, max_size=4)


@st.composite
def streams(draw):
    """Bytes of blocks of lines, each line with an end of its own, most blocks closed by blank lines."""
    out = b""
    for block in draw(st.lists(blocks, max_size=5)):
        for line in [*block, *[""] * draw(st.integers(0, 3))]:
            out += line.encode() + draw(ends)
    return out + draw(lines).encode() * draw(st.booleans())


@settings(deadline=None, max_examples=400)
@given(streams())
def test_same_events_as_the_sdk(stream):
    # The SDK cannot tell an event of empty data from one without data, so these are compared further down.
    assert [event for event in split(stream) if event.data] == of_the_sdk(stream)


@settings(deadline=None, max_examples=300)
@given(streams() | st.binary(max_size=40), st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10, 11], True)
def test_cuts_change_nothing(stream, cuts, with_bom):
    stream = BOM * with_bom + stream
    whole = SSESplitter()
    events = whole.feed(stream)
    rest = whole.finish()
    for pieces in (cut(stream, cuts), [stream[i : i + 1] for i in range(len(stream))]):
        pieced = SSESplitter()
        assert [event for piece in pieces for event in pieced.feed(piece)] == events
        assert pieced.finish() == rest


@settings(deadline=None, max_examples=100)
@given(streams(), st.lists(st.integers(0, 10_000), max_size=4))
def test_bom_is_no_content(stream, cuts):
    if not stream.startswith(BOM):
        assert split(*cut(BOM + stream, cuts)) == split(stream)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.lists(texts, min_size=1, max_size=3), texts, ends), max_size=5))
def test_what_is_sent_arrives(sent):
    """From the events to the bytes and back, empty data included."""
    stream = b""
    for datas, event, end in sent:
        for line in [f"event: {event}", *(f"data: {data}" for data in datas), ": comment", "id: 7", ""]:
            stream += line.encode() + end
    # The space after the colon is not part of the value.
    expected = [Event("\n".join(datas).encode(), event or None) for datas, event, _ in sent]
    assert split(stream) == expected


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["name"])
def test_recorded_streams(row):
    stream = row["body"].encode()
    expected = of_the_sdk(stream)
    assert len(expected) >= 2
    assert split(stream) == expected
    assert split(*(stream[i : i + 7] for i in range(0, len(stream), 7))) == expected


# --- by example ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\n\n", [Event(b"a")]),
        (b"data:a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),
        (b"data: a\ndata: b\n\n", [Event(b"a\nb")]),
        (b"data\n\n", [Event(b"")]),
        (b"data:\n\n", [Event(b"")]),
        (b"data: a\n\n\n\ndata: b\n\n", [Event(b"a"), Event(b"b")]),
        (b": keep-alive\n\ndata: a\n\n", [Event(b"a")]),
        (b": keep-alive\ndata: a\n\n", [Event(b"a")]),
        (b"event: x\ndata: a\n\n", [Event(b"a", "x")]),
        (b"data: a\nevent: x\nevent: y\n\n", [Event(b"a", "y")]),
        (b"event:\ndata: a\n\n", [Event(b"a")]),
        (b"event: x\n\ndata: a\n\n", [Event(b"a")]),
        (b"id: 1\nretry: 10\n\n", []),
        (b"id: 1\ndata: a\nretry: soon\n\n", [Event(b"a")]),
        (b"Data: a\n\n", []),
        (b" data: a\n\n", []),
        (b"data: a\r\r", [Event(b"a")]),
        (b"data: a\r\n\r\n", [Event(b"a")]),
        (b"data: a\n\r", [Event(b"a")]),
        (b"data: a\n\r\n", [Event(b"a")]),
        (b"data: a\r\n\rdata: b\r\n\n", [Event(b"a"), Event(b"b")]),
        (BOM + b"data: a\n\n", [Event(b"a")]),
        (b"\n" + BOM + b"data: a\n\n", []),
        (BOM + BOM + b"data: a\n\n", []),
        ("data: é\u2028\x85\n\n".encode(), [Event("é\u2028\x85".encode())]),
        (b"data: \xff\n\n", [Event(b"\xff")]),
        (b"data: a", []),
        (b"data: a\n", []),
    ],
)
def test_examples(stream, events):
    assert split(stream) == events
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == events


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (b"", None),
        (b"data: a\n\n", None),
        (b"data: a\n\n\n", None),
        (b"data: a", Event(b"a")),
        (b"data: a\n", Event(b"a")),
        (b"data: a\r", Event(b"a")),
        (b"data: a\ndata: b", Event(b"a\nb")),
        (b"data: a\n\ndata: b", Event(b"b")),
        (b"event: x\ndata: a", Event(b"a", "x")),
        (b"event: x", None),
        (b": comment", None),
        (b"dat", None),
        (BOM[:2], None),
        (BOM + b"data: a", Event(b"a")),
    ],
)
def test_finish_gives_what_was_not_closed(stream, event):
    for pieces in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        splitter = SSESplitter()
        for piece in pieces:
            splitter.feed(piece)
        assert splitter.finish() == event
        assert splitter.finish() is None


def test_time_is_linear_in_the_size_of_an_event():
    """Pieces are not joined again with every further piece."""

    def seconds(size):
        pieces = [b"data: ", *[b"x" * 4096] * (size // 4096), b"\n\n"]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            [event] = split(*pieces)
            times.append(time.perf_counter() - start)
        assert len(event.data) == size
        return min(times)

    assert seconds(16 << 20) < 10 * seconds(4 << 20)  # 16 times if it were quadratic
