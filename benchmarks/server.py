"""A server in another process, which answers with canned bodies in vLLM's shapes.

    python -m benchmarks.server

prints its port, and ends when its standard input does. What a chat is answered with is chosen by the name of
the model: "reply", "burst" (a stream in one write), "paced" (a stream whose chunks arrive one by one) or
"crowd" (a slow one, for many at once).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

BURST = 1000
"""Chunks of a stream that arrives in one burst."""
PACED = 100
"""Chunks of a stream of which each arrives alone."""
CROWDED = 30
"""Chunks of a stream of which many run at once."""
VECTORS, DIMENSIONS = 256, 1024

_PACE = 0.001  # seconds between two chunks: longer than any client takes to read one
_CROWDS_PACE = 0.2
_ABOUT: dict[str, Any] = {"id": "chatcmpl-8a2aa78f0adc0125", "created": 1795398468, "model": "llama"}
_USAGE = {
    "prompt_tokens": 22,
    "total_tokens": 25,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_WORDS = ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."]


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def reply() -> bytes:
    """A chat completion."""
    message = {"role": "assistant", "content": " ".join(_WORDS), "refusal": None, "annotations": None}
    message |= {"audio": None, "function_call": None, "reasoning": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    choice |= {"stop_reason": None, "token_ids": None, "routed_experts": None}
    absent = ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "metrics")
    about = {**_ABOUT, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return _compact({**about, "service_tier": None, "system_fingerprint": None, **dict.fromkeys(absent)})


def events(count: int) -> list[bytes]:
    """The events of a stream of `count` chunks, and `[DONE]`."""

    def event(delta: dict[str, str], **more: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        chunk = {**_ABOUT, "object": "chat.completion.chunk", "choices": [choice]}
        return b"data: " + _compact(chunk) + b"\n\n"

    words = (_WORDS[i % len(_WORDS)] for i in range(count - 2))
    first = event({"role": "assistant", "content": ""})
    middle = [event({"content": f" {word}"}, token_ids=None) for word in words]
    last = event({}, finish_reason="stop", stop_reason=None, token_ids=None)
    return [first, *middle, last, b"data: [DONE]\n\n"]


@cache
def _answer(path: bytes, model: str, encoding: str) -> list[bytes]:
    """What to write, piece by piece."""
    if path == b"/v1/embeddings":
        return [_embeddings(encoding)]
    if model == "reply":
        return [_whole(reply())]
    parts = events({"burst": BURST, "crowd": CROWDED}.get(model, PACED))
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
    head = _head("text/event-stream; charset=utf-8", "transfer-encoding: chunked")
    # As from vLLM, the end of the body comes with its last event.
    return [head + b"".join(chunks)] if model == "burst" else [head, *chunks[:-2], b"".join(chunks[-2:])]


def _embeddings(encoding: str) -> bytes:
    vectors = [
        struct.pack(
            f"<{DIMENSIONS}f", *(((row * 31 + i * 17) % 2003 - 1001) / 1009 for i in range(DIMENSIONS))
        )
        for row in range(VECTORS)
    ]
    about: dict[str, Any] = {"id": "embd-8bfca664ab176f46", "created": 1795398024, "model": "bge"}
    usage = {"prompt_tokens": VECTORS * 4, "total_tokens": VECTORS * 4}
    if encoding.startswith("bytes"):
        size = DIMENSIONS * 4
        kind = {"embed_dtype": "float32", "endianness": "native", "shape": [DIMENSIONS]}
        items = [{"index": i, **kind, "start": i * size, "end": (i + 1) * size} for i in range(VECTORS)]
        metadata = json.dumps({**about, "data": items, "usage": usage})
        headers = [f"metadata: {metadata}"] if encoding == "bytes" else []
        return _whole(b"".join(vectors), "application/octet-stream", *headers)
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": struct.unpack(f"<{DIMENSIONS}f", vector)
            if encoding == "float"
            else base64.b64encode(vector).decode(),
        }
        for i, vector in enumerate(vectors)
    ]
    return _whole(_compact({**about, "object": "list", "data": data, "usage": usage}))


def _head(content_type: str, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "date: Mon, 23 Nov 2026 04:00:00 GMT", "server: uvicorn", *headers]
    return "\r\n".join([*lines, f"content-type: {content_type}", "", ""]).encode()


def _whole(body: bytes, content_type: str = "application/json", *headers: str) -> bytes:
    return _head(content_type, f"content-length: {len(body)}", *headers) + body


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""
        self._task: asyncio.Task[None] | None = None  # only the loop's weak reference otherwise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank_line, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if not blank_line or len(body) < length:
            return
        self._received = b""
        if not body:  # a gateway asks what there is
            self._transport.write(_whole(b'{"object":"list","data":[]}'))
            return
        asked = json.loads(body)
        encoding = asked.get("encoding_format", "float")
        pieces = _answer(head.split(b" ", 2)[1], asked["model"], encoding)
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._task = asyncio.ensure_future(
                self._pace(pieces, _CROWDS_PACE if asked["model"] == "crowd" else _PACE)
            )

    async def _pace(self, pieces: list[bytes], seconds: float) -> None:
        for piece in pieces:
            self._transport.write(piece)
            await asyncio.sleep(seconds)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run the server in a process of its own; gives its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
