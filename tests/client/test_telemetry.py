"""Spans, metrics and the trace in requests, as OpenTelemetry's own exporters see them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context, metrics, trace
from opentelemetry.trace import StatusCode
from tests.both import Both
from tests.spans import Told

import vllm_connect
from vllm_connect import Key
from vllm_connect._client import _has_telemetry
from vllm_connect.sim import SimServer

SAY: Any = [{"role": "user", "content": "Say: hello there"}]
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def traceparent(span: Any) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


async def test_a_chat(connect: Callable[..., Both], vllm_sim: SimServer, told: Told) -> None:
    client = connect(vllm_sim.url)
    await client(
        "chat.completions.create",
        model="sim-chat",
        messages=SAY,
        temperature=0.5,
        stop="x",
        session_id="conversation-1",
        response_format={"type": "json_object"},
    )
    span = told.span
    assert span.name == "chat sim-chat"
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "sim-chat",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.conversation.id": "conversation-1",
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "sim-chat",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.cache_read.input_tokens": 0,
        "server.address": "127.0.0.1",
        "vllm_connect.key.name": "default",
        "vllm_connect.attempts": 1,
    }
    attributes = dict(span.attributes)
    assert {name: attributes.get(name) for name in expected} == expected
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert span.status.status_code is StatusCode.UNSET
    assert vllm_sim.requests[-1].headers["traceparent"] == traceparent(span)


async def test_nothing_is_told_where_instrumentation_is_suppressed(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told
) -> None:
    """By the value that `opentelemetry.instrumentation.utils.suppress_instrumentation` sets."""
    client = connect(vllm_sim.url)
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        await client("chat.completions.create", model="sim-chat", messages=SAY)
        await client.stream("chat.completions.create", model="sim-chat", messages=SAY)
    finally:
        context.detach(token)
    assert told.spans == []
    assert "traceparent" not in vllm_sim.requests[-1].headers
    await client("chat.completions.create", model="sim-chat", messages=SAY)
    assert told.span.name == "chat sim-chat"
    (duration,) = told.points("gen_ai.client.operation.duration")
    assert duration.count == 1


async def test_metrics(connect: Callable[..., Both], vllm_sim: SimServer, told: Told) -> None:
    client = connect(vllm_sim.url)
    reply = await client("chat.completions.create", model="sim-chat", messages=SAY)
    options = {"include_usage": True}
    await client.stream("chat.completions.create", model="sim-chat", messages=SAY, stream_options=options)
    (duration,) = told.points("gen_ai.client.operation.duration")
    assert duration.count == 2
    assert duration.attributes["gen_ai.operation.name"] == "chat"
    assert duration.attributes["server.address"] == "127.0.0.1"
    (first,) = told.points("gen_ai.client.operation.time_to_first_chunk")
    assert first.count == 1
    tokens = {
        point.attributes["gen_ai.token.type"]: point for point in told.points("gen_ai.client.token.usage")
    }
    assert tokens["input"].sum == 2 * reply.usage.prompt_tokens
    assert tokens["output"].sum == 2 * reply.usage.completion_tokens


@pytest.mark.parametrize(
    ("operation", "params", "name"),
    [
        ("completions.create", {"prompt": "Say: a"}, "text_completion"),
        ("embeddings.create", {"input": ["a"]}, "embeddings"),
        ("responses.create", {"input": "Say: a"}, "chat"),
        ("rerank.create", {"query": "a", "documents": ["a"]}, "rerank"),
        ("tokenize", {"prompt": "a"}, "tokenize"),
    ],
)
async def test_other_operations(
    connect: Callable[..., Both],
    vllm_sim: SimServer,
    told: Told,
    operation: str,
    params: dict[str, Any],
    name: str,
) -> None:
    await connect(vllm_sim.url)(operation, model="sim-chat", **params)
    assert told.span.name == f"{name} sim-chat"
    assert "traceparent" in vllm_sim.requests[-1].headers


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("chat.completions.create", {"messages": SAY}),
        ("completions.create", {"prompt": "Say: hello"}),
        ("responses.create", {"input": "Say: hello"}),
    ],
)
async def test_a_stream_ends_its_span_at_its_end(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, operation: str, params: dict[str, Any]
) -> None:
    await connect(vllm_sim.url).stream(operation, model="sim-chat", **params)
    attributes = told.span.attributes
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("operation", ["chat.completions.create", "responses.create"])
async def test_a_stream_ends_its_span_when_it_is_closed(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, operation: str
) -> None:
    params: dict[str, Any] = {"input": "a"} if operation.startswith("responses") else {"messages": SAY}
    stream = await connect(vllm_sim.url)(operation, model="sim-chat", stream=True, **params)
    assert told.spans == []
    closed = stream.close()
    if closed is not None:
        await closed
    assert told.span.status.status_code is StatusCode.UNSET


async def test_a_break_of_a_stream(connect: Callable[..., Both], vllm_sim: SimServer, told: Told) -> None:
    vllm_sim.fail_next("unfinished")
    with pytest.raises(vllm_connect.IncompleteStreamError):
        await connect(vllm_sim.url).stream("chat.completions.create", messages=SAY)
    assert told.span.status.status_code is StatusCode.ERROR
    assert told.span.attributes["error.type"] == "IncompleteStreamError"


@pytest.mark.parametrize(
    ("fault", "error_type"), [("400", "400"), ("error_200", "503"), ("drop", "APIConnectionError")]
)
async def test_an_error(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, fault: str, error_type: str
) -> None:
    vllm_sim.fail_always(fault)
    with pytest.raises(vllm_connect.VLLMError):
        await connect(vllm_sim.url)("chat.completions.create", messages=SAY)
    span = told.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == error_type
    assert span.events == ()
    (duration,) = told.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == error_type


async def test_attempts_are_counted_in_one_span(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told
) -> None:
    with SimServer() as broken:
        broken.fail_always("503")
        keys = [Key(name="a", url=broken.url), Key(name="b", url=vllm_sim.url, weight=0)]
        await connect(keys=keys)("chat.completions.create", messages=SAY)
        assert told.span.attributes["vllm_connect.attempts"] == 2
        assert told.span.attributes["vllm_connect.key.name"] == "b"
        sent = [server.requests[-1].headers["traceparent"] for server in (broken, vllm_sim)]
    assert sent == [traceparent(told.span)] * 2


async def test_it_is_part_of_the_callers_trace(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told
) -> None:
    with trace.get_tracer("caller").start_as_current_span("outer") as outer:
        await connect(vllm_sim.url)("chat.completions.create", messages=SAY)
        assert trace.get_current_span() is outer
    assert told.span.parent.span_id == outer.get_span_context().span_id


@pytest.mark.parametrize(("operation", "spans"), [("chat", 0), ("invoke_agent", 1)])
async def test_a_call_that_another_tracer_tells_of_is_told_once(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, operation: str, spans: int
) -> None:
    attributes = {"gen_ai.request.model": "sim-chat", "gen_ai.operation.name": operation}
    with trace.get_tracer("other").start_as_current_span("theirs", attributes=attributes) as theirs:
        await connect(vllm_sim.url)("chat.completions.create", messages=SAY)
    assert len(told.spans) == spans
    parent = told.span if spans else theirs
    assert vllm_sim.requests[-1].headers["traceparent"] == traceparent(parent)
    assert told.points("gen_ai.client.operation.duration")[0].count == 1


@pytest.mark.parametrize("where", ["create", "request"])
async def test_a_call_that_somebody_is_shown_has_their_span_alone(
    connect: Callable[..., Both],
    vllm_sim: SimServer,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    client = connect(vllm_sim.url)
    prefix = "Async" if client.kind == "async" else ""
    module, name = {
        "create": ("openai.resources.chat.completions", f"{prefix}Completions"),
        "request": ("openai._base_client", f"{prefix or 'Sync'}APIClient"),
    }[where]
    cls = getattr(importlib.import_module(module), name)
    original = getattr(cls, where)
    seen: list[object] = []

    def tracing(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(cls, where, tracing)
    with trace.get_tracer("theirs").start_as_current_span("theirs") as theirs:
        assert (await client("chat.completions.create", model="sim-chat", messages=SAY)).choices
    assert len(seen) == 1
    assert told.spans == []
    assert vllm_sim.requests[-1].headers["traceparent"] == traceparent(theirs)
    assert told.points("gen_ai.client.operation.duration")
    await client("rerank.create", query="a", documents=["b"])
    assert [span.name for span in told.spans] == ([] if where == "request" else ["rerank"])


async def test_a_callers_own_traceparent_stays(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told
) -> None:
    own = "00-11111111111111111111111111111111-2222222222222222-01"
    await connect(vllm_sim.url)("chat.completions.create", messages=SAY, extra_headers={"traceparent": own})
    sent = [value for name, value in vllm_sim.requests[-1].headers.items() if name == "traceparent"]
    assert sent == [own]


async def test_nothing_that_was_said_is_told(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CAPTURE, raising=False)
    client = connect(vllm_sim.url)
    await client("chat.completions.create", messages=SAY)
    await client.stream("chat.completions.create", messages=SAY)
    vllm_sim.fail_next("400", message="You said: hello there")
    with pytest.raises(vllm_connect.BadRequestError):
        await client("chat.completions.create", messages=SAY)
    for span in told.spans:
        assert "hello" not in span.to_json()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_said_is_told_on_request(
    connect: Callable[..., Both],
    vllm_sim: SimServer,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    client = connect(vllm_sim.url)
    if stream:
        await client.stream("chat.completions.create", messages=SAY)
    else:
        await client("chat.completions.create", messages=SAY)
    attributes = told.span.attributes
    (asked,) = json.loads(attributes["gen_ai.input.messages"])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "Say: hello there"}]}
    (answer,) = json.loads(attributes["gen_ai.output.messages"])
    assert answer["parts"] == [
        {"type": "reasoning", "content": "I say it."},
        {"type": "text", "content": "hello there"},
    ]
    assert answer["finish_reason"] == "stop"


async def test_server_information_is_no_span(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told
) -> None:
    client = connect(vllm_sim.url)
    await client("models.list")
    await client("server.health")
    assert told.spans == []


async def test_metrics_alone(
    connect: Callable[..., Both], vllm_sim: SimServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)
    await connect(vllm_sim.url)("chat.completions.create", messages=SAY)
    (duration,) = told.points("gen_ai.client.operation.duration")
    assert duration.count == 1
    assert "traceparent" not in vllm_sim.requests[-1].headers


async def test_without_a_provider_nothing_is_done(connect: Callable[..., Both], vllm_sim: SimServer) -> None:
    assert trace.get_tracer_provider() is not None
    assert metrics.get_meter_provider() is not None
    assert not _has_telemetry()
    await connect(vllm_sim.url)("chat.completions.create", messages=SAY)
    assert "traceparent" not in vllm_sim.requests[-1].headers


def test_the_api_is_not_imported_by_the_client() -> None:
    code = """
import sys
from vllm_connect import VLLM
from vllm_connect.sim import SimServer
with SimServer() as server, VLLM(server.url) as client:
    client.chat.completions.create(messages=[{"role": "user", "content": "a"}])
assert not any(name.startswith("opentelemetry") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
