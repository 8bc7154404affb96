"""What takes long the first time is done before the gateway listens: told by what is imported and built."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.spans import Told, told  # noqa: F401 a fixture

from vllm_connect.serve.requests.warming import warm_up
from vllm_connect.sim import SimServer

MESSAGES = [{"role": "user", "content": "hi"}]
ASKED: list[tuple[str, Any]] = [
    ("/v1/models", None),
    ("/v1/responses", {"input": "hi"}),
    ("/v1/responses", {"input": "hi", "stream": True}),
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    ("/v1/completions", {"prompt": "hi"}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5, "stream": True}),
    ("/v1/messages/count_tokens", {"messages": MESSAGES}),
    ("/v1/embeddings", {"input": ["hi"]}),
    ("/v1/rerank", {"query": "a", "documents": ["b"]}),
    ("/v1/score", {"text_1": "a", "text_2": ["b"]}),
    ("/v1/classify", {"input": ["a"]}),
    ("/v1/pooling", {"input": ["a"]}),
    ("/v1/tokenize", {"prompt": "a"}),
    ("/v1/detokenize", {"tokens": [1]}),
]

STORED: list[tuple[str, Any]] = [
    ("/v1/responses", {"input": "hi", "store": True}),
    ("/v1/responses", {"input": "hi", "store": True, "stream": True}),
]

#: Starts an App as uvicorn does, and says what each request imports and builds then.
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from pydantic import BaseModel
from vllm_connect.serve.config.file import ConfigFile
from vllm_connect.serve.gateway import Gateway
from vllm_connect.serve.http.app import App
from vllm_connect.serve.http.settings import Settings

asked, responses_api = json.loads(sys.stdin.read()), sys.argv[2]
file = ConfigFile(Path(sys.argv[1]))
app = App(Gateway(file, watch=False, responses_api=responses_api), Settings(access_log=False))

def built():
    found, left = set(), [BaseModel]
    while left:
        for each in left.pop().__subclasses__():
            if each not in found:
                found.add(each)
                left.append(each)
    return {each.__qualname__ for each in found if each.__pydantic_complete__}

async def ask(path, body):
    body = None if body is None else json.dumps({**body, "model": "llama"}).encode()
    parts, statuses = [body or b""], []
    async def receive():
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        await asyncio.Event().wait()
    async def send(message):
        statuses.append(message.get("status"))
    scope = {"type": "http", "method": "GET" if body is None else "POST", "path": path,
             "headers": [(b"host", b"localhost")], "query_string": b"", "client": None}
    modules, models = set(sys.modules), built()
    await app(scope, receive, send)
    print(json.dumps([path, statuses[0], sorted(set(sys.modules) - modules), sorted(built() - models)]))

async def main():
    stop = asyncio.Event()
    messages = [{"type": "lifespan.startup"}]
    done = asyncio.Event()
    async def receive():
        if messages:
            return messages.pop()
        await stop.wait()
        return {"type": "lifespan.shutdown"}
    async def send(message):
        if message["type"] == "lifespan.startup.complete":
            done.set()
    living = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await done.wait()
    for each in asked:
        await ask(*each)
    stop.set()
    await living

asyncio.run(main())
"""


@pytest.mark.parametrize("responses_api", ["auto", "chat", "native"])
def test_no_request_imports_or_builds(tmp_path: Path, sim: SimServer, responses_api: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"keys": [{"name": "a", "vllm_key_config": {"url": sim.url}}]}))
    asked = [*ASKED, *(STORED if responses_api == "auto" else ())]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), responses_api],
        input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each[:2] for each in lines] == [[path, 200] for path, _ in asked]
    for path, _, modules, built in lines:
        # The sockets' own, of which the server that is none has none.
        sockets = ("vllm_connect._transport", "encodings", "stringprep")
        foreign = [name for name in modules if not name.startswith(sockets)]
        assert (path, foreign, built) == (path, [], [])


@pytest.mark.parametrize("responses_api", ["auto", "chat", "native"])
async def test_each_operation_is_performed(responses_api: Any, caplog: pytest.LogCaptureFixture) -> None:
    await warm_up(responses_api)
    assert not caplog.records


async def test_no_trace_tells_of_it(told: Told) -> None:  # noqa: F811 the fixture
    await warm_up("chat")
    assert told.spans == []
