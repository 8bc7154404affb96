"""A server that says what a test wants, plain or streamed, where the simulator is too sensible."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Body = dict[str, Any]


class Said(NamedTuple):
    """What the model says, and why it stops; several reasons come in as many chunks of a stream."""

    message: Body
    reasons: Sequence[str | None] = ("stop",)
    stop_reason: str | None = None


class Answering:
    """A running server.

    Attributes:
        url: Its address.
        requests: The paths and bodies that it got.
        connections: The addresses from which they came.
    """

    def __init__(self, answer: Callable[[str, Body], Any]) -> None:
        self.requests: list[tuple[str, Body]] = []
        self.connections: set[Any] = set()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                script.requests.append((self.path, body))
                script.connections.add(self.client_address)
                status, kind, data = _reply(answer(self.path, body), body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def chats(self) -> list[Body]:
        """The bodies of the chat completions that were asked for."""
        return [body for path, body in self.requests if path.endswith("/chat/completions")]


@contextmanager
def answering(answer: Callable[[str, Body], Any]) -> Iterator[Answering]:
    """A server for the time of a test.

    Args:
        answer: Of a path and a body makes what is `Said`, a JSON value, or a status and a JSON value.
    """
    script = Answering(answer)
    thread = threading.Thread(target=script.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.server.shutdown()
        script.server.server_close()
        thread.join()


def called(name: str, arguments: str, call_id: str = "c1") -> Body:
    """A message that is one tool call."""
    function = {"name": name, "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _reply(answer: Any, body: Mapping[str, Any]) -> tuple[int, str, bytes]:
    status, value = answer if isinstance(answer, tuple) and isinstance(answer[0], int) else (200, answer)
    if not isinstance(value, Said):
        return status, "application/json", json.dumps(value).encode()
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    head = {"id": "c", "created": 1, "model": "m"}
    if not body.get("stream"):
        message = {"role": "assistant", **value.message}
        choice = {"index": 0, "message": message, "finish_reason": value.reasons[0]}
        choice["stop_reason"] = value.stop_reason
        completion = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return status, "application/json", json.dumps(completion).encode()
    deltas: list[Body] = [{"delta": delta, "finish_reason": None} for delta in _deltas(value.message)]
    deltas += [{"delta": {}, "finish_reason": reason} for reason in value.reasons]
    deltas[-1]["stop_reason"] = value.stop_reason
    chunks: list[Body] = [{"choices": [{"index": 0, **delta}]} for delta in deltas]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({"choices": [], "usage": usage})
    events = [{**head, "object": "chat.completion.chunk", **chunk} for chunk in chunks]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return status, "text/event-stream", f"{lines}data: [DONE]\n\n".encode()


def _deltas(message: Body) -> Iterator[Body]:
    for name in ("reasoning", "content", "refusal"):
        text = message.get(name) or ""
        for start in range(0, len(text), 7):
            yield {name: text[start : start + 7]}
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        yield {
            "tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]
        }
        for start in range(0, len(function["arguments"]), 7):
            piece = {"arguments": function["arguments"][start : start + 7]}
            yield {"tool_calls": [{"index": index, "function": piece}]}
