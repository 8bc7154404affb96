"""Every way to misbehave, seen on the wire."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from typing import Any

import pytest

from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import Fault, SimServer
from vllm_connect.sim.faults import NAMES
from vllm_connect.sim.faults import __doc__ as table

from .conftest import CHAT, QUIET, Caller, payloads, said, tool

STREAM = {"messages": said("Say: héllo 你好"), "stream": True, **QUIET}
PLAIN = {"messages": said("Say: x"), **QUIET}
ERROR = {"message": "m", "type": "ServiceUnavailableError", "param": None, "code": 503}


def on_the_wire(sim: SimServer, fault: str, body: Any = STREAM, times: int = 1) -> list[bytes]:
    """What arrives on one connection: the segments, and at the end how it ended."""
    host, port = sim.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += f"X-Sim-Fault: {fault}\r\nContent-Length: {len(content)}\r\n\r\n"
    segments: list[bytes] = []
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(5)
        for _ in range(times):
            before = len(segments)
            connection.sendall(head.encode() + content)
            connection.settimeout(5)
            while True:
                try:
                    segment = connection.recv(65536)
                except TimeoutError:
                    break
                except ConnectionResetError:
                    return [*segments, b"<reset>"]
                if not segment:
                    return [*segments, b"<closed>"]
                segments.append(segment)
                # A busy machine may pause in the middle; only after the end is silence an answer.
                connection.settimeout(0.3 if is_complete(b"".join(segments[before:])) else 5)
    return [*segments, b"<open>"]


def is_complete(answer: bytes) -> bool:
    """Whether an answer has ended by its own account."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def test_the_table_is_complete() -> None:
    for name in NAMES:
        assert f"`{name}`" in (table or "") or name.isdigit(), name


# --- another answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("nested", {"error": ERROR}),
        ("flat", {"object": "error", **ERROR}),
        ("string", {"error": "m"}),
        ("detail", {"detail": "m"}),
        ("anthropic", {"type": "error", "error": {"type": "internal_error", "message": "m"}}),
        ("null", None),
        ("code_only", {"code": 503, "object": "error"}),
    ],
)
def test_errors_with_status_200(ask: Caller, shape: str, expected: Any) -> None:
    for stream in (False, True):
        reply = ask.post(CHAT, f"error_200; shape={shape}; code=503; message=m", **PLAIN, stream=stream)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.json() == expected


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (401, {"error": "Unauthorized"}),
        (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (403, "PermissionDeniedError"),
        (408, "RequestTimeoutError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (501, "NotImplementedError"),
        (503, "ServiceUnavailableError"),
    ],
)
def test_statuses(ask: Caller, code: int, body: Any) -> None:
    reply = ask.post(CHAT, str(code), **PLAIN)
    assert reply.status_code == code
    if isinstance(body, str):
        assert reply.json()["error"]["type"] == body
        assert reply.json()["error"]["code"] == code
    else:
        assert reply.json() == body


def test_statuses_to_order(ask: Caller) -> None:
    reply = ask.post(CHAT, "429; retry_after=2; message=wait", **PLAIN)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")
    assert reply.json()["error"]["message"] == "wait"
    reply = ask.post(CHAT, "status; code=418; shape=text; message=teapot", **PLAIN)
    assert (reply.status_code, reply.text) == (418, "teapot")
    assert ask.post(CHAT, "503; shape=empty", **PLAIN).content == b""
    assert ask.post(CHAT, "502", **PLAIN).headers["content-type"] == "text/html; charset=utf-8"
    assert ask.post(CHAT, "html; status=200", **PLAIN).text.startswith("<html>")
    assert ask.post(CHAT, "empty", **PLAIN).content == b""
    assert ask.post(CHAT, "text; status=500; text=oops", **PLAIN).text == "oops"


def test_redirect(ask: Caller) -> None:
    reply = ask.post(CHAT, "redirect", **PLAIN)
    assert reply.status_code == 307
    again = ask.http.post(reply.headers["location"], json=PLAIN, headers={"X-Sim-Fault": "redirect"})
    assert again.status_code == 200
    assert ask.post(CHAT, "redirect; status=308; location=/x", **PLAIN).headers["location"] == "/x"


def test_vllm_router(vllm_sim: SimServer, ask: Caller) -> None:
    vllm_sim.fail_always("vllm_router", path="*")
    body = {"query": "a", "documents": ["a"]}
    assert ask.error("/v1/rerank", 404, **body)["message"] == "The model `default` does not exist."
    reply = ask.post("/rerank", **body)
    assert (reply.status_code, reply.text) == (500, "Failed to build rerank response")
    assert ask.post("/v2/rerank", **body).status_code == 200
    assert ask.http.get("/version").status_code == 405
    assert ask.http.get("/health").text == "All servers healthy"
    assert ask.post("/v1/embeddings", input="x").status_code == 200


# --- another body ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("ok", [(1, 0.99), (0, 0.01)]),
        ("rerank_missing_index", [(None, 0.99), (0, 0.01)]),
        ("rerank_duplicate_index", [(0, 0.99), (0, 0.01)]),
        ("rerank_index_out_of_range", [(1001, 0.99), (0, 0.01)]),
        ("rerank_missing_score", [(1, None), (0, 0.01)]),
        ("rerank_score_key", [(1, None), (0, None)]),
        ("rerank_zero_score", [(1, 0.0), (0, 0.0)]),
        ("rerank_unsorted", [(0, 0.01), (1, 0.99)]),
    ],
)
def test_rerank_results(ask: Caller, fault: str, expected: Any) -> None:
    reply = ask.post("/rerank", fault, query="a", documents=["b", "a"]).json()
    told = [(result.get("index"), result.get("relevance_score")) for result in reply["results"]]
    assert told == [(index, pytest.approx(score) if score else score) for index, score in expected]
    if fault == "rerank_score_key":
        assert reply["results"][0]["score"] == pytest.approx(0.99)


def test_other_bodies(ask: Caller) -> None:
    reply = ask.post("/rerank", "rerank_not_list", query="a", documents=["b", "a"]).json()
    assert set(reply["results"]) == {"0", "1"}
    assert ask.post("/rerank", "no_usage", query="a", documents=["b"]).json()["usage"] is None
    items = ask.post("/v1/embeddings", "data_shuffled", input=["a", "b"]).json()["data"]
    assert [item["index"] for item in items] == [1, 0]
    assert len(ask.post("/v1/embeddings", "data_one_missing", input=["a", "b"]).json()["data"]) == 1
    packed = ask.post("/v1/embeddings", "data_one_missing", input=["a", "b"], encoding_format="bytes")
    assert len(json.loads(packed.headers["metadata"])["data"]) == 1
    choice = ask.post(CHAT, "abort, reasoning_content", messages=said("Say: x")).json()["choices"][0]
    assert choice["finish_reason"] == "abort"
    assert choice["message"]["reasoning_content"] == "I say it."
    assert "reasoning" not in choice["message"]


# --- other events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["nested", "flat"])
@pytest.mark.parametrize("after", [0, 1, 2, 99])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_an_error_among_the_events(ask: Caller, path: str, after: int, shape: str) -> None:
    fault = f"error_chunk; after={after}; shape={shape}; code=503; message=m"
    events = ask.events(path, fault, prompt="Say: a b c", **PLAIN)
    *before, error, done = events
    assert done == "[DONE]"
    assert len(before) == after or after == 99
    assert (error if shape == "flat" else error["error"])["code"] == 503
    assert ("object" in error) == (shape == "flat")


def test_an_error_without_done(ask: Caller) -> None:
    assert "[DONE]" not in ask.events(CHAT, "error_chunk; done=false", **PLAIN)


def finished(events: list[Any]) -> bool:
    choices = [choice for event in events if event != "[DONE]" for choice in event["choices"]]
    return any(choice["finish_reason"] for choice in choices)


@pytest.mark.parametrize(
    ("fault", "is_finished", "done"),
    [
        ("ok", True, True),
        ("no_done", True, False),
        ("unfinished", False, False),
        ("unfinished; done=true", False, True),
        ("unfinished; after=1", False, False),
        ("done_only", False, True),
    ],
)
def test_how_a_stream_ends(ask: Caller, fault: str, is_finished: bool, done: bool) -> None:
    events = ask.events(CHAT, fault, **PLAIN, stream_options={"include_usage": True})
    assert finished(events) == is_finished
    assert ("[DONE]" in events) == done
    if fault == "done_only":
        assert events == ["[DONE]"]
    if fault == "unfinished; after=1":
        assert len(events) == 1


def test_aborted_streams(ask: Caller) -> None:
    events = ask.events(CHAT, "abort", **PLAIN)
    assert events[-2]["choices"][0]["finish_reason"] == "abort"


def test_null_deltas(ask: Caller) -> None:
    events = ask.events(CHAT, "null_delta", **PLAIN)
    assert [event["choices"][0]["delta"] for event in events[:-1]] == [
        {"role": "assistant", "content": ""},
        None,
        {"content": "x"},
        None,
    ]


CALLS = {
    "messages": said('Say: ok\nCall a {"x": 1}\nCall b {"y": 2}'),
    "tools": [tool("a"), tool("b")],
    **QUIET,
}


@pytest.mark.parametrize(("fault", "sizes"), [("whole_call", [1, 1]), ("calls_together", [2])])
def test_whole_calls(ask: Caller, fault: str, sizes: list[int]) -> None:
    events = ask.events(CHAT, fault, **CALLS)
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    made = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert [len(calls) for calls in made] == sizes
    functions = [call["function"] for calls in made for call in calls]
    assert functions == [{"name": "a", "arguments": '{"x": 1}'}, {"name": "b", "arguments": '{"y": 2}'}]
    assert [call["index"] for calls in made for call in calls] == [0, 1]
    assert deltas[1] == {"content": "ok"}
    assert finished(events)


def test_how_events_are_spelled(ask: Caller) -> None:
    text = ask.post(CHAT, "comments; every=2; text=still here", **STREAM).text
    assert text.count(": still here\n\n") == len(payloads(text)) // 2
    crlf = ask.post(CHAT, "crlf", **STREAM).content
    assert crlf.count(b"\r\n\r\n") == crlf.count(b"data: ")
    assert b"\n" not in crlf.replace(b"\r\n", b"")
    assert "data: " not in ask.post(CHAT, "no_space", **STREAM).text
    reasoning = ask.events(CHAT, "reasoning_content", messages=said("Say: x"))
    assert reasoning[1]["choices"][0]["delta"] == {"reasoning_content": "I"}


# --- another delivery --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "ending"),
    [
        ("event", b"\r\n"),
        ("between", b"\n\n\r\n"),
        ("character", b"\xc3\r\n"),
        ("finish", b'"system_fingerprint":"vllm-sim-00000000"}\n\n\r\n'),
    ],
)
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_cut_streams(vllm_sim: SimServer, where: str, ending: bytes, how: str) -> None:
    *segments, end = on_the_wire(vllm_sim, f"cut; where={where}; after=1; how={how}")
    received = b"".join(segments)
    assert end == (b"<closed>" if how == "fin" else b"<reset>")
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")
    if how == "fin":
        assert received.endswith(ending)


def test_a_cut_answer(vllm_sim: SimServer) -> None:
    *segments, end = on_the_wire(vllm_sim, "cut", PLAIN)
    head, _, body = b"".join(segments).partition(b"\r\n\r\n")
    assert end == b"<closed>"
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    assert len(body) == (int(length) + 1) // 2


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_dropped_requests(vllm_sim: SimServer, how: str) -> None:
    assert on_the_wire(vllm_sim, f"drop; how={how}") == [b"<closed>" if how == "fin" else b"<reset>"]
    assert len(vllm_sim.requests) == 1
    assert vllm_sim.aborted == 0


def test_a_connection_that_dies_when_it_is_used_again(vllm_sim: SimServer, ask: Caller) -> None:
    *segments, end = on_the_wire(vllm_sim, "drop_reused", PLAIN, times=2)
    assert b"".join(segments).count(b"HTTP/1.1 200 OK") == 1
    assert end == b"<closed>"
    vllm_sim.fail_next("drop_reused")
    assert ask.post(CHAT, **PLAIN).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        ask.post(CHAT, **PLAIN)
    assert ask.post(CHAT, **PLAIN).status_code == 200


def test_a_connection_that_is_closed_while_idle(vllm_sim: SimServer) -> None:
    *segments, end = on_the_wire(vllm_sim, "close_after", PLAIN)
    received = b"".join(segments)
    assert end == b"<closed>"
    assert received.endswith(b"}")
    assert b"connection: close" not in received.lower()


def test_sizes_of_segments(vllm_sim: SimServer) -> None:
    *segments, end = on_the_wire(vllm_sim, "burst")
    size, _, body = b"".join(segments).partition(b"\r\n\r\n")[2].partition(b"\r\n")
    assert body[: int(size, 16)].endswith(b"data: [DONE]\n\n")
    assert end == b"<open>"
    body = b"".join(on_the_wire(vllm_sim, "bytewise")[:-1]).partition(b"\r\n\r\n")[2]
    assert body.startswith(b"1\r\nd\r\n1\r\na\r\n")


@pytest.mark.parametrize("where", ["headers", "first", "middle"])
@pytest.mark.parametrize("stream", [False, True])
def test_stalls(ask: Caller, where: str, stream: bool) -> None:
    start, times = time.monotonic(), []
    headers = {"X-Sim-Fault": f"stall; where={where}; seconds=0.3"}
    with ask.http.stream("POST", CHAT, json={**PLAIN, "stream": stream}, headers=headers) as reply:
        times.append(time.monotonic() - start)
        for _ in reply.iter_bytes():
            times.append(time.monotonic() - start)
    waited = {"headers": times[0], "first": times[1] - times[0], "middle": times[-1] - times[1]}
    assert waited[where] >= 0.2


def test_paces(ask: Caller) -> None:
    start = time.monotonic()
    ask.post(CHAT, "pace; seconds=0.05", **STREAM)
    assert time.monotonic() - start > 0.3


def test_compression(ask: Caller) -> None:
    for body in (PLAIN, STREAM):
        reply = ask.http.post(CHAT, json=body, headers={"X-Sim-Fault": "gzip", "Accept-Encoding": "identity"})
        assert reply.headers["content-encoding"] == "gzip"
        assert b"chatcmpl-" in reply.content
    *segments, _ = on_the_wire(ask.sim, "gzip", PLAIN)
    assert b"chatcmpl-" in gzip.decompress(b"".join(segments).partition(b"\r\n\r\n")[2])


# --- which request gets which ------------------------------------------------------------------------------


def test_a_queue(vllm_sim: SimServer, ask: Caller) -> None:
    vllm_sim.fail_next("503", times=2)
    vllm_sim.fail_next("ok")
    vllm_sim.fail_next("429")
    assert [ask.post(CHAT, **PLAIN).status_code for _ in range(5)] == [503, 503, 200, 429, 200]
    assert [request.faults for request in vllm_sim.requests] == [["503"], ["503"], ["ok"], ["429"], []]


def test_paths(vllm_sim: SimServer, ask: Caller) -> None:
    vllm_sim.fail_next("500", path="/v1/embeddings")
    vllm_sim.fail_next("503")
    vllm_sim.fail_always("404", path="*/rerank")
    assert ask.http.get("/version").status_code == 200
    assert ask.post("/v1/rerank", query="a", documents=["b"]).status_code == 503
    assert ask.post("/v1/rerank", query="a", documents=["b"]).status_code == 404
    assert ask.post(CHAT, **PLAIN).status_code == 200
    assert ask.post("/v1/embeddings", input="x").status_code == 500
    assert ask.post("/v1/embeddings", input="x").status_code == 200
    vllm_sim.fail_next("503", path="/version")
    assert ask.http.get("/version").status_code == 503


def test_always(vllm_sim: SimServer, ask: Caller) -> None:
    vllm_sim.fail_always("503")
    assert [ask.post(CHAT, **PLAIN).status_code for _ in range(3)] == [503] * 3
    vllm_sim.clear_faults()
    assert ask.post(CHAT, **PLAIN).status_code == 200


def test_faults_from_the_start(serve: Any) -> None:
    caller = serve(faults=["503; times=2", Fault("429"), "500; path=/v1/models; times=always"])
    assert [caller.post(CHAT, **PLAIN).status_code for _ in range(4)] == [503, 503, 429, 200]
    assert [caller.http.get("/v1/models").status_code for _ in range(2)] == [500, 500]
    caller.sim.reset()
    assert caller.post(CHAT, **PLAIN).status_code == 503


def test_several_faults_at_once(ask: Caller) -> None:
    reply = ask.post(CHAT, "crlf, comments, unfinished; after=1", **STREAM)
    assert reply.text.startswith(": keep-alive\r\n\r\ndata: ")
    assert len(payloads(reply.text)) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nonsense", "no such fault: 'nonsense'; there are 400, "),
        ("cut; what=x", "fault 'cut' has no value 'what'; it has: where, after, how"),
        ("cut; where=nowhere", "where of fault 'cut' is one of event, between, character, finish"),
        ("error_200; shape=html", "shape of fault 'error_200' is one of nested, flat, string, "),
    ],
)
def test_faults_that_do_not_exist(ask: Caller, fault: str, message: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        Fault.of(fault)
    reply = ask.post(CHAT, fault, **PLAIN)
    assert reply.status_code == 400
    assert reply.text.startswith(message)


def test_values_are_read_from_text() -> None:
    fault = Fault.of("stall; where=first; seconds=2; path=/v1/*; times=3")
    assert (fault["where"], fault["seconds"], fault.path, fault.times) == ("first", 2.0, "/v1/*", 3)
    assert Fault("503", retry_after=7)["retry_after"] == "7"
    assert repr(Fault("pace")) == "Fault('pace', path=None, times=1, seconds=0.02)"
