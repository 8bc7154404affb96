"""One trace from the client into vLLM: the server's span is a child of the client's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from scripts.live.servers import COLLECTOR_PORT
from tests.both import Both
from tests.spans import Told

SAY: Any = [{"role": "user", "content": "Say: hello"}]


class Span(NamedTuple):
    """A span of the server's."""

    trace_id: str
    parent_id: str
    name: str


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message, by number; numbers of fixed size are left out."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(message, at)
            yield number, value
        elif kind == 2:
            length, at = varint(message, at)
            yield number, message[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def spans_of(export: bytes) -> Iterator[Span]:
    """ExportTraceServiceRequest: resource_spans (1), scope_spans (2), spans (2)."""
    for _, resource in ((n, v) for n, v in fields(export) if n == 1):
        for _, scope in ((n, v) for n, v in fields(resource) if n == 2):
            for _, span in ((n, v) for n, v in fields(scope) if n == 2):
                found = dict(fields(span))
                yield Span(found[1].hex(), found.get(4, b"").hex(), found[5].decode())


@pytest.fixture
def exported() -> Iterator[list[Span]]:
    """The spans that the server exports, as they come."""
    spans: list[Span] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.extend(spans_of(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass  # pytest's output is no place for an access log

    server = ThreadingHTTPServer(("127.0.0.1", COLLECTOR_PORT), Collector)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield spans
    server.shutdown()
    server.server_close()
    thread.join()


def wait_for_child(exported: list[Span], parent: Any) -> Span:
    """The server's span below one of the client's; OpenTelemetry exports in its own time."""
    parent_id = f"{parent.context.span_id:016x}"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for span in list(exported):
            if span.parent_id == parent_id:
                return span
        time.sleep(0.1)
    raise AssertionError(f"no span below {parent_id} among {exported}")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_servers_span_is_below_the_clients(
    connect: Callable[..., Both],
    traced_url: str,
    told: Told,
    exported: list[Span],
    stream: bool,
) -> None:
    client = connect(traced_url)
    if stream:
        options = {"include_usage": True}
        await client.stream("chat.completions.create", messages=SAY, max_tokens=8, stream_options=options)
    else:
        await client("chat.completions.create", messages=SAY, max_tokens=8)
    span = told.span
    child = wait_for_child(exported, span)
    assert child.trace_id == f"{span.context.trace_id:032x}"
    assert child.name == "llm_request"
    assert 1 <= span.attributes["gen_ai.usage.output_tokens"] <= 8
    assert "gen_ai.usage.cache_read.input_tokens" in span.attributes
