"""What is known of servers: kept as they are seen, forgotten when they were down and after a time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vllm_connect import InternalServerError, UnsupportedOperationError
from vllm_connect._calls.capabilities import (
    PARAMETERS_SINCE,
    REFUSAL_KEPT_FOR,
    ROUTES_SINCE,
    CapabilityTable,
    ServerAnswers,
    read_version,
)

ROOT, EMBED = "http://gpu:8000", "embeddings.create"
BYTES, FLOAT = ("/v1/embeddings", "bytes"), ("/v1/embeddings", "float")
SURFACES = {
    read_version(path.stem.removeprefix("vllm-")): json.loads(path.read_text("utf-8"))["routes"]
    for path in (Path(__file__).parent / "data" / "surface").glob("vllm-*.json")
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.32.0", (0, 32)),
        ("0.33.1rc1.dev7+g0a1b2c.cpu", (0, 33)),
        ("v1.2", (1, 2)),
        ("0.1.dev1+g0a1b2c", None),  # of a checkout without tags
        ("sim", None),
        ("", None),
        (None, None),
    ],
)
def test_versions(text, version):
    assert read_version(text) == version


def test_the_tables_agree_with_vllm_itself():
    older, newer = SURFACES[0, 32], SURFACES[0, 33]
    for path, since in ROUTES_SINCE.items():
        present = [{route.split()[1] for route in routes} for routes in (older, newer)]
        assert [path in paths for paths in present] == [since <= (0, 32), since <= (0, 33)], path

    def parameters(routes):
        return {name for route in routes.values() for part in ("body", "query") for name in route[part]}

    for name, since in PARAMETERS_SINCE.items():
        assert name in parameters(newer), name
        # `joint` and the like came to routes that were there.
        assert (name in parameters(older)) is (since <= (0, 32)), name


def test_a_refusal_is_believed_for_a_time():
    clock = Clock()
    table = CapabilityTable(clock)
    table.keep(ROOT, EMBED, [BYTES], FLOAT)
    assert table.refuses(ROOT, EMBED, BYTES)
    assert not table.refuses(ROOT, EMBED, FLOAT)
    assert not table.refuses("http://other", EMBED, BYTES)
    clock.now = REFUSAL_KEPT_FOR + 1
    assert not table.refuses(ROOT, EMBED, BYTES)
    table.keep(ROOT, EMBED, [], BYTES)
    table.keep(ROOT, EMBED, [FLOAT], None)
    assert not table.refuses(ROOT, EMBED, BYTES)
    assert table.refuses(ROOT, EMBED, FLOAT)
    assert table.servers[ROOT].understood[EMBED] == {BYTES}


def test_what_a_server_says_is_believed_for_a_time():
    clock = Clock()
    table = CapabilityTable(clock)
    table.keep_answers(ROOT, ServerAnswers("0.31.0"))
    table.keep_lack(ROOT, EMBED, "m")
    assert table.answers(ROOT).version == "0.31.0"
    assert table.lacks(ROOT, EMBED, "m")
    assert not table.lacks(ROOT, EMBED, "n")
    clock.now = 61
    assert table.answers(ROOT).version is None
    clock.now = REFUSAL_KEPT_FOR + 1
    assert not table.lacks(ROOT, EMBED, "m")


REFUSED = (400, {"error": {"message": "encoding_format: Input should be 'float'", "code": 400}})
MISSING = (404, {"detail": "Not Found"})


def embedding(*formats):
    """Embeddings as a server makes them that knows some formats."""

    def answer(request):
        if json.loads(request.content).get("encoding_format") not in formats:
            return REFUSED
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        data = [{"index": 0, "object": "embedding", "embedding": [1.0]}]
        return (200, {"object": "list", "model": "m", "data": data, "usage": usage})

    return answer


def formats_of(requests):
    return [json.loads(request.content)["encoding_format"] for request in requests]


@pytest.mark.parametrize(
    "down", [(503, b""), (502, b""), (500, {"error": "EngineCore encountered an issue"})]
)
async def test_a_server_that_was_down_is_seen_anew(canned, down):
    state = {"reply": embedding("float")}
    client = canned(lambda request: state["reply"](request))
    await client(EMBED, model="m", input="a")
    await client(EMBED, model="m", input="a")
    assert formats_of(client.requests) == ["bytes", "base64", "float", "float"]
    state["reply"] = lambda request: down
    with pytest.raises(InternalServerError):
        await client(EMBED, model="m", input="a")
    state["reply"] = embedding("base64", "float")
    del client.requests[:]
    await client(EMBED, model="m", input="a")
    await client(EMBED, model="m", input="a")
    assert formats_of(client.requests) == ["bytes", "base64", "base64"]


async def test_a_server_that_restarts_as_another_version(canned):
    about = {"/version": (200, {"version": "0.31.0"})}
    state = {"reply": MISSING}
    client = canned(lambda request: state["reply"], about=about)
    batch = {"model": "m", "messages": [[{"role": "user", "content": "Hi"}]]}
    about["/version"] = (200, {"version": "0.18.0"})
    with pytest.raises(Exception, match=re.escape("the server is 0.18.0")):
        await client("chat.completions.batch", **batch)
    about["/version"] = (200, {"version": "0.18.1"})
    with pytest.raises(Exception, match=re.escape("the server is 0.18.0")):
        await client("chat.completions.batch", **batch)
    state["reply"] = (503, b"")
    with pytest.raises(InternalServerError):
        await client("chat.completions.batch", **batch)
    state["reply"] = MISSING
    with pytest.raises(Exception, match=re.escape("the server is 0.18.1")):
        await client("chat.completions.batch", **batch)


async def test_a_route_that_only_vllm_itself_has_is_looked_for_once(canned):
    """Where chat completions cannot do it, nor does the server, its next refusal takes no request."""
    client = canned(MISSING)
    for _ in range(2):
        with pytest.raises(UnsupportedOperationError, match="store"):
            await client("responses.create", model="m", input="a", store=True)
    with pytest.raises(UnsupportedOperationError, match="store"):
        await client.stream("responses.create", model="m", input="a", store=True)
    assert len(client.requests) == 1
    assert [status.in_flight for status in client.client.servers()] == [0]
