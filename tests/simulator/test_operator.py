"""What an operator does with the simulator: it sleeps, pauses, aborts and loads adapters as vLLM does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.both import Both

from vllm_connect import (
    BadRequestError,
    IncompleteStreamError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
)
from vllm_connect._transport._httpx import httpx
from vllm_connect.sim import SimServer

from .conftest import CHAT, payloads, said

HELLO = said("Say: hello")
SLOW = 0.05
MODEL = "sim-chat"


@pytest.fixture(scope="module")
def server() -> Iterator[SimServer]:
    with SimServer(dev=True, lora=True, scale_out=True) as server:
        yield server


@pytest.fixture
def client(server: SimServer, make_client: Callable[..., Both]) -> Iterator[Both]:
    server.reset()
    yield make_client(server.url, max_retries=0)
    server.reset()


@pytest.fixture
def slow() -> Iterator[SimServer]:
    with SimServer(dev=True, scale_out=True, delay=SLOW) as server:
        yield server


class Asked(threading.Thread):
    """A request on its way, asked over plain HTTP in a thread of its own."""

    def __init__(self, server: SimServer, path: str = CHAT, **body: Any) -> None:
        super().__init__(daemon=True)
        self.url, self.body, self.answer = server.url + path, body, None
        server.wait_for_requests(0)
        self.before = len(server.requests)
        self.start()
        assert server.wait_for_requests(self.before + 1)

    def run(self) -> None:
        self.answer = httpx.post(self.url, json=self.body, timeout=20)

    def done(self) -> Any:
        self.join(20)
        assert self.answer is not None
        return self.answer


def post(server: SimServer, path: str, **body: Any) -> Any:
    return httpx.post(server.url + path, json=body, timeout=20)


async def test_who_asks_while_it_sleeps_waits(client: Both, server: SimServer) -> None:
    assert await client("server.is_sleeping") is False
    assert await client("server.sleep", level=1) is None
    assert await client("server.is_sleeping") is True
    waiting = [
        Asked(server, messages=HELLO),
        Asked(server, messages=HELLO, stream=True),
        Asked(server, "/v1/completions", prompt="Say: hello"),
        Asked(server, "/v1/messages", model=MODEL, max_tokens=9, messages=HELLO),
        Asked(server, "/v1/responses", input="Say: hello"),
        Asked(server, "/inference/v1/generate", token_ids=[40], sampling_params={}),
        Asked(server, "/generative_scoring", query="a", items=["b"], label_token_ids=[40]),
        Asked(server, f"{CHAT}/batch", messages=[HELLO]),
        Asked(server, "/v1/embeddings", input="a"),
        Asked(server, "/v1/rerank", query="a", documents=["b"]),
    ]
    refused = post(server, CHAT, messages=HELLO, temperature=5)
    assert refused.status_code == 400  # what is wrong is told at once
    await asyncio.sleep(0.1)
    assert all(each.answer is None for each in waiting)
    assert await client("server.wake_up") is True
    assert [each.done().status_code for each in waiting] == [200] * len(waiting)
    assert await client("server.is_sleeping") is False


async def test_it_wakes_a_part_at_a_time(client: Both) -> None:
    await client("server.sleep", level=2)
    assert await client("server.wake_up", tags=["weights"]) is False
    assert await client("server.is_sleeping") is True
    assert await client("server.wake_up", tags=["kv_cache"]) is True
    assert await client("server.is_sleeping") is False
    await client("server.sleep", level=0)
    assert await client("server.is_sleeping") is True
    assert await client("server.wake_up", tags=["scheduling"]) is True


async def test_a_client_that_does_not_wait(client: Both, server: SimServer) -> None:
    await client("server.sleep")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.url + CHAT, json={"messages": HELLO}, timeout=0.2)
    assert server.wait_for_abort()
    await client("server.wake_up")
    assert post(server, CHAT, messages=HELLO).status_code == 200


def test_a_pause_aborts_what_runs(slow: SimServer) -> None:
    whole, stream = Asked(slow, messages=said("Count to 999")), None
    stream = Asked(slow, messages=said("Count to 999"), stream=True)
    text = Asked(slow, "/v1/completions", prompt="Count to 999", max_tokens=900)
    message = Asked(
        slow, "/v1/messages", model=MODEL, max_tokens=900, messages=said("Count to 999"), stream=True
    )
    tokens = Asked(slow, "/inference/v1/generate", token_ids=[40, 41], sampling_params={"min_tokens": 900})
    threading.Event().wait(6 * SLOW)
    assert post(slow, "/pause").json() == {"status": "paused"}
    choice = whole.done().json()["choices"][0]
    assert choice["finish_reason"] == "abort"
    assert whole.done().json()["usage"]["completion_tokens"] < 100
    events = payloads(stream.done().text)
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"][0]["finish_reason"] == "abort"
    assert text.done().json()["choices"][0]["finish_reason"] == "abort"
    ended = payloads(message.done().text)
    assert ended[-2]["delta"] == {"stop_reason": None, "stop_sequence": None}
    generated = tokens.done().json()["choices"][0]
    assert generated["finish_reason"] == "abort"
    assert len(generated["token_ids"]) < 900
    assert httpx.get(slow.url + "/is_paused").json() == {"is_paused": True}
    assert post(slow, "/resume").json() == {"status": "resumed"}
    assert post(slow, CHAT, messages=HELLO).json()["choices"][0]["finish_reason"] == "stop"


def test_a_pause_waits_for_what_runs(slow: SimServer) -> None:
    running = Asked(slow, messages=said("Count to 5"))
    threading.Event().wait(2 * SLOW)
    assert post(slow, "/pause?mode=wait").status_code == 200
    assert running.done().json()["choices"][0]["finish_reason"] == "stop"
    waiting = Asked(slow, messages=HELLO)
    waiting.join(3 * SLOW)
    assert waiting.answer is None
    post(slow, "/resume")
    assert waiting.done().status_code == 200


def test_a_pause_keeps_what_runs(slow: SimServer) -> None:
    body = {"messages": said("Count to 9"), "stream": True}
    with httpx.stream("POST", slow.url + CHAT, json=body, timeout=20) as reply:
        chunks = reply.iter_text()
        text = next(chunks)
        assert post(slow, "/pause?mode=keep").status_code == 200
        assert post(slow, "/reset_prefix_cache").json() == {"success": False}
        assert post(slow, "/reset_prefix_cache?reset_running_requests=true").json() == {"success": True}
        post(slow, "/resume")
        text += "".join(chunks)
    told = payloads(text)
    content = "".join(each["choices"][0]["delta"].get("content") or "" for each in told[:-1])
    assert content == "1 2 3 4 5 6 7 8 9"
    assert told[-2]["choices"][0]["finish_reason"] == "stop"


async def test_requests_are_aborted_by_their_ids(slow: SimServer, make_client: Callable[..., Both]) -> None:
    client = make_client(slow.url)
    one = Asked(slow, messages=said("Count to 999"), request_id="one")
    other = Asked(slow, messages=HELLO, request_id="other")
    threading.Event().wait(2 * SLOW)
    assert await client("generate.abort", request_ids=["chatcmpl-one", "chatcmpl-nobody"]) is None
    assert one.done().json()["choices"][0]["finish_reason"] == "abort"
    assert other.done().json()["choices"][0]["finish_reason"] == "stop"
    last = Asked(slow, messages=said("Count to 999"))
    threading.Event().wait(2 * SLOW)
    assert post(slow, "/abort_requests").json() == {"status": "aborted", "aborted": 1}
    assert last.done().json()["choices"][0]["finish_reason"] == "abort"


async def test_a_server_tells_of_itself(client: Both) -> None:
    info = await client("server.server_info", config_format="json")
    assert info["vllm_config"]["model_config"]["served_model_name"] == [MODEL]
    assert isinstance((await client("server.server_info"))["vllm_config"], str)
    assert await client("server.reset_prefix_cache") is True


async def test_routes_of_a_server_that_was_not_told_to(
    vllm_sim: SimServer, make_client: Callable[..., Both]
) -> None:
    client = make_client(vllm_sim.url)
    for operation in ("sleep", "wake_up", "is_sleeping", "pause", "resume", "is_paused", "server_info"):
        with pytest.raises(NotFoundError, match="VLLM_SERVER_DEV_MODE=1"):
            await client(f"server.{operation}")
    with pytest.raises(NotFoundError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        await client("lora.load", lora_name="a", lora_path="b/c")
    with pytest.raises(NotFoundError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        await client("lora.unload", lora_name="a")


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
    return str(tmp_path)


async def test_an_adapter_is_a_model_while_it_is_loaded(client: Both, adapter: str) -> None:
    assert "louder" in await client("lora.load", lora_name="louder", lora_path=adapter)
    models = {model.id: model for model in (await client("models.list")).data}
    assert (models["louder"].parent, models["louder"].root) == (MODEL, adapter)
    assert models[MODEL].parent is None
    asked = {"model": "louder", "messages": HELLO}
    assert (await client("chat.completions.create", **asked)).model == "louder"
    assert {chunk.model for chunk in await client.stream("chat.completions.create", **asked)} == {"louder"}
    assert (await client("completions.create", model="louder", prompt="a")).model == "louder"
    assert (await client("messages.create", max_tokens=9, **asked)).model == "louder"
    assert (await client("tokenize", **asked)).count > 0
    rendered = await client("chat.completions.render", **asked)
    assert (rendered.model, (await client("generate.create", request=rendered)).model) == ("louder",) * 2
    assert (await client("chat.completions.create", model=MODEL, messages=HELLO)).model == MODEL
    with pytest.raises(BadRequestError, match="has already been loaded"):
        await client("lora.load", lora_name="louder", lora_path=adapter)
    assert "added" in await client("lora.load", lora_name="louder", lora_path=adapter, load_inplace=True)
    assert "removed" in await client("lora.unload", lora_name="louder")
    with pytest.raises(NotFoundError):
        await client("chat.completions.create", **asked)
    with pytest.raises(NotFoundError, match="cannot be found"):
        await client("lora.unload", lora_name="louder")


async def test_adapters_that_there_are_not(client: Both, tmp_path: Path) -> None:
    for path in (str(tmp_path), "/nowhere/at/all", "nowhere", "./nowhere/adapter"):
        with pytest.raises(NotFoundError, match=f"No adapter found for {path}"):
            await client("lora.load", lora_name="nobody", lora_path=path)
    assert await client("lora.load", lora_name="hub", lora_path="somebody/adapter")
    with pytest.raises(BadRequestError, match="conflicts with a served base model"):
        await client("lora.load", lora_name=MODEL, lora_path=str(tmp_path))


async def test_reset_wakes_it_and_unloads(client: Both, server: SimServer) -> None:
    await client("lora.load", lora_name="hub", lora_path="somebody/adapter")
    await client("server.sleep")
    server.reset()
    assert await client("server.is_sleeping") is False
    assert [model.id for model in (await client("models.list")).data] == [MODEL]


async def test_several_conversations(client: Both, server: SimServer) -> None:
    conversations = [said(f"Say: {word}") for word in ("hello", "goodbye", "hello")]
    batch = {"messages": conversations, "max_tokens": 60}
    answer = await client("chat.completions.batch", **batch)
    assert [choice.message.content for choice in answer.choices] == ["hello", "goodbye", "hello"]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    alone = [await client("chat.completions.create", messages=each) for each in conversations]
    assert answer.usage.total_tokens == sum(each.usage.total_tokens for each in alone)
    server.fail_next("503")
    with pytest.raises(InternalServerError):
        await client("chat.completions.batch", **batch)
    server.fail_next("empty")
    with pytest.raises(InvalidResponseError):
        await client("chat.completions.batch", **batch)


async def test_labels_are_scored(client: Both, server: SimServer) -> None:
    labels = [(await client("tokenize", prompt=word)).tokens[0] for word in ("yes", "no")]
    params = {"query": "Is it red? ", "items": ["yes", "b", "no"], "label_token_ids": labels}
    scored = await client("generative_scoring.create", **params)
    assert [score.index for score in scored.data] == [0, 1, 2]
    assert scored.data[0].score > scored.data[2].score
    other = await client("generative_scoring.create", **{**params, "label_token_ids": labels[::-1]})
    for one, reverse in zip(scored.data, other.data, strict=True):
        assert one.score + reverse.score == pytest.approx(1)
    whole = await client("generative_scoring.create", **params, apply_softmax=False)
    assert all(few.score > all_.score for few, all_ in zip(scored.data, whole.data, strict=True))
    first = await client("generative_scoring.create", **params, item_first=True)
    assert first.usage == scored.usage
    server.fail_next("data_one_missing")
    with pytest.raises(InvalidResponseError):
        await client("generative_scoring.create", **params)
    server.fail_next("error_200", code=400)
    with pytest.raises(BadRequestError):
        await client("generative_scoring.create", **params)


async def test_faults_of_messages(client: Both, server: SimServer) -> None:
    asked = {"model": MODEL, "messages": HELLO, "max_tokens": 60}
    server.fail_next("503", shape="anthropic")
    with pytest.raises(InternalServerError):
        await client("messages.create", **asked)
    server.fail_next("cut", after=3)
    with pytest.raises(IncompleteStreamError):
        await client.stream("messages.create", **asked)
    server.fail_next("text")
    with pytest.raises(InvalidResponseError):
        await client("messages.count_tokens", model=MODEL, messages=HELLO)
    server.fail_next("bytewise")
    assert (await client.stream("messages.create", **asked))[-1].type == "message_stop"


async def test_an_operator_hears_of_errors(client: Both, server: SimServer) -> None:
    server.fail_next("500", path="/sleep")
    with pytest.raises(InternalServerError):
        await client("server.sleep")
    server.fail_next("text", path="/is_sleeping")
    with pytest.raises(InvalidResponseError):
        await client("server.is_sleeping")
    assert await client("server.is_sleeping") is False
    server.fail_next("400", path="/v1/load_lora_adapter", message="No room.")
    with pytest.raises(BadRequestError, match="No room"):
        await client("lora.load", lora_name="a", lora_path="b/c")
