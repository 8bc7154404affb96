"""Every route that vLLM serves is a call of the client, or stands in a list with the reason why not; and so
does every parameter of a request, and every field of a reply, that has no type here.

`scripts/surface.py` reads from vLLM what it serves; a new version that has more fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from vllm_connect import VLLM, types
from vllm_connect._transport._httpx import httpx
from vllm_connect.resources import audio as speech
from vllm_connect.resources import (
    chat,
    chat_batch,
    completions,
    decisions,
    embeddings,
    generate,
    generative_scoring,
    lora,
    messages,
    rerank,
    responses,
    scoring,
    server,
    tokens,
)
from vllm_connect.types._extras import Extra

SURFACES = {
    file.stem: json.loads(file.read_text())["routes"]
    for file in sorted((Path(__file__).parent / "data" / "surface").glob("*.json"))
}
STREAM = {"stream"}  # an argument of `create`, beside its parameters


class Served(NamedTuple):
    """How the client asks a route.

    Attributes:
        call: the method of the client.
        arguments: enough to make it ask.
        params: what it takes.
        replies: what it returns, whole and in pieces.
        untyped: parameters, and fields of the reply, that have no type here, and why not.
    """

    call: str
    arguments: Mapping[str, object] = {}
    params: object = None
    replies: tuple[type[BaseModel], ...] = ()
    untyped: Mapping[str, str] = {}


M = {"model": "m"}
ASKED = {**M, "messages": [{"role": "user", "content": "Hello"}]}
GENERATED = types.GenerateResponse.construct(choices=[])

RENDERED = dict.fromkeys(
    ("mm_payload", "return_token_offsets"), "does something in `render` alone, which takes it"
)
OLD = {"return_mm_kwargs": "deprecated: the same as mm_payload"}
USAGE = {"usage": "the SDK's type of it; such models generate nothing, so what it lacks is zero"}
CHUNKS = dict.fromkeys(
    ("generate_chunk", "stream_state"), "arguments of `derender_chunk`, which asks the same route"
)
BATCH = {
    "tool_choice": 'may be "none" alone',
    "n": "may be 1 alone",
    "use_beam_search": "may be false alone",
    **dict.fromkeys(
        ("best_of", "early_stopping", "guided_decoding_backend"), "there for vLLM's own code, ignored"
    ),
}
PERMISSION = {"data.permission": "OpenAI's of 2022, the same for every model"}
BLOCKS = {
    f"{place}.{field}": "of what goes in: vLLM has one class for the blocks of requests and of answers"
    for place in ("content", "content_block", "message.content")
    for field in ("content", "data", "is_error", "source", "tool", "tool_name", "tool_use_id")
}
ERROR = {"error": "an event that is an error is raised"}
ENGINE = dict.fromkeys(
    (
        "ec_transfer_params",
        "frequency_penalty",
        "input_messages",
        "kv_transfer_params",
        "metrics",
        "output.async",
        "output.tools.async",
        "output_messages",
        "presence_penalty",
        "text.format.schema",
        "tools.async",
        "tools.tools.async",
        "top_logprobs",
        "usage.input_tokens_details.cached_tokens_per_turn",
        "usage.input_tokens_details.input_tokens_per_turn",
        "usage.output_tokens_details.output_tokens_per_turn",
        "usage.output_tokens_details.tool_output_tokens",
        "usage.output_tokens_details.tool_output_tokens_per_turn",
    ),
    "vLLM's own, kept among the extras of the SDK's type",
)

DECISION = {**M, "input": "x", "questions": [{"type": "predicate", "instructions": "y"}]}

SERVED = {
    "GET /health": Served("server.health"),
    "GET /load": Served("server.load"),
    "GET /metrics": Served("server.metrics"),
    "GET /version": Served("server.version"),
    "GET /v1/models": Served("models.list", replies=(types.ModelPage, types.Model), untyped=PERMISSION),
    "POST /tokenize": Served(
        "tokenize", {**M, "prompt": "x"}, tokens.TokenizeParams, (types.TokenizeResponse,)
    ),
    "POST /detokenize": Served(
        "detokenize", {**M, "tokens": [1]}, tokens.DetokenizeParams, (types.DetokenizeResponse,)
    ),
    "POST /v1/chat/completions": Served(
        "chat.completions.create",
        ASKED,
        chat.ChatCompletionParams,
        (types.ChatCompletion, types.ChatCompletionChunk),
        untyped={**RENDERED, **OLD},
    ),
    "POST /v1/chat/completions/batch": Served(
        "chat.completions.batch",
        {**M, "messages": [ASKED["messages"]]},
        chat_batch.ChatBatchParams,
        (types.ChatCompletion,),
        untyped=BATCH,
    ),
    "POST /v1/chat/completions/render": Served(
        "chat.completions.render", ASKED, chat.ChatRenderParams, (types.GenerateRequest,), untyped=OLD
    ),
    "POST /v1/chat/completions/derender": Served(
        "chat.completions.derender",
        {**M, "generate_response": GENERATED},
        generate.DerenderChatParams,
        (types.ChatCompletion,),
        untyped=CHUNKS,
    ),
    "POST /v1/completions": Served(
        "completions.create",
        {**M, "prompt": "x"},
        completions.CompletionParams,
        (types.Completion,),
        untyped={**RENDERED, **OLD},
    ),
    "POST /v1/completions/render": Served(
        "completions.render",
        {**M, "prompt": "x"},
        completions.CompletionRenderParams,
        (types.GenerateRequest,),
        untyped=OLD,
    ),
    "POST /v1/completions/derender": Served(
        "completions.derender",
        {**M, "generate_responses": [GENERATED]},
        generate.DerenderTextParams,
        (types.Completion,),
        untyped=CHUNKS,
    ),
    "POST /inference/v1/generate": Served(
        "generate.create",
        {**M, "token_ids": [1]},
        generate.GenerateParams,
        (types.GenerateResponse, types.GenerateChunk),
    ),
    "POST /inference/v1/abort_requests": Served("generate.abort", {"request_ids": ["x"]}),
    "POST /v1/messages": Served(
        "messages.create",
        {**ASKED, "max_tokens": 1},
        messages.MessageCreateParams,
        (types.Message, *get_args(get_args(types.MessageStreamEvent)[0])),
        untyped={**OLD, **BLOCKS, **ERROR},
    ),
    "POST /v1/messages/count_tokens": Served(
        "messages.count_tokens", ASKED, messages.MessageCountParams, (types.MessageTokens,)
    ),
    "POST /v1/messages/render": Served(
        "messages.render",
        {**ASKED, "max_tokens": 1},
        messages.MessageCreateParams,
        (types.GenerateRequest,),
        untyped=OLD,
    ),
    "POST /v1/responses": Served(
        "responses.create",
        {**M, "input": "x"},
        responses.ResponseParams,
        (Response,),
        untyped={"mm_payload": RENDERED["mm_payload"], **OLD, **ENGINE},
    ),
    "POST /v1/responses/render": Served(
        "responses.render", {**M, "input": "x"}, responses.ResponseRenderParams, (types.GenerateRequest,), OLD
    ),
    "GET /v1/responses/{response_id}": Served("responses.retrieve", {"response_id": "{response_id}"}),
    "POST /v1/responses/{response_id}/cancel": Served("responses.cancel", {"response_id": "{response_id}"}),
    "POST /v1/embeddings": Served(
        "embeddings.create",
        {**M, "input": "x"},
        embeddings.EmbeddingParams,
        (types.EmbeddingResponse,),
        untyped=USAGE,
    ),
    "POST /pooling": Served(
        "pooling.create",
        {**M, "input": "x"},
        scoring.PoolingParams,
        (types.PoolingResponse,),
        untyped={"dimensions": "vLLM answers 400 to any"},
    ),
    "POST /classify": Served(
        "classify.create", {**M, "input": "x"}, scoring.InputParams, (types.ClassificationResponse,)
    ),
    "POST /score": Served(
        "score.create",
        {**M, "queries": "x", "documents": "y"},
        scoring.ScoreParams,
        (types.ScoreResponse,),
    ),
    "POST /v1/rerank": Served(
        "rerank.create",
        {**M, "query": "x", "documents": ["y"]},
        rerank.RerankParams,
        (types.RerankResponse,),
    ),
    "POST /generative_scoring": Served(
        "generative_scoring.create",
        {**M, "query": "x", "items": ["y"], "label_token_ids": [1]},
        generative_scoring.GenerativeScoringParams,
        (types.ScoreResponse,),
    ),
    "POST /v1/audio/transcriptions": Served(
        "audio.transcriptions.create",
        {**M, "file": b"x"},
        speech.TranscriptionParams,
        untyped={"timestamp_granularities[]": "the form's name for timestamp_granularities"},
    ),
    "POST /v1/audio/translations": Served(
        "audio.translations.create", {**M, "file": b"x"}, speech.TranslationParams
    ),
    "POST /v1/decisions": Served("decisions.create", DECISION, decisions.DecisionParams, (types.Decision,)),
    "POST /v1/systemone": Served("decisions.create", DECISION),
    "POST /v1/load_lora_adapter": Served(
        "lora.load", {"lora_name": "x", "lora_path": "/x"}, lora.LoraLoadParams
    ),
    "POST /v1/unload_lora_adapter": Served("lora.unload", {"lora_name": "x"}, lora.LoraUnloadParams),
    "POST /sleep": Served("server.sleep", params=server.SleepParams),
    "POST /wake_up": Served("server.wake_up"),
    "GET /is_sleeping": Served("server.is_sleeping"),
    "POST /reset_prefix_cache": Served("server.reset_prefix_cache", params=server.ResetParams),
    "POST /pause": Served("server.pause", params=server.PauseParams),
    "POST /resume": Served("server.resume"),
    "GET /is_paused": Served("server.is_paused"),
    "GET /server_info": Served("server.server_info", params=server.ServerInfoParams),
}

SAME = "another path of a call that has one"
SAGEMAKER = "Amazon SageMaker's contract; the call that it stands for has a route of its own"
PAGES = "FastAPI's own pages, for people"
TRAINER = "between a trainer and its workers, with tensors on a channel of their own: not a client's"
OPERATOR = "an operator's, seldom asked and without a form worth a type: `client.post` reaches it"

UNSERVED = {
    **dict.fromkeys(
        ("GET /docs", "HEAD /docs", "GET /docs/oauth2-redirect", "HEAD /docs/oauth2-redirect"), PAGES
    ),
    **dict.fromkeys(("GET /redoc", "HEAD /redoc", "GET /openapi.json", "HEAD /openapi.json"), PAGES),
    **dict.fromkeys(
        ("POST /invocations", "GET /ping", "POST /ping", "POST /adapters", "DELETE /adapters/{adapter_name}"),
        SAGEMAKER,
    ),
    **dict.fromkeys(("POST /rerank", "POST /v2/rerank", "POST /v1/score"), SAME),
    "POST /abort_requests": "`generate.abort` by the path of older versions; in dev mode, of all",
    "POST /v2/embed": "Cohere's words for `embeddings.create`; for whoever has Cohere's client",
    "WEBSOCKET /v1/realtime": "speech over a websocket, by a protocol of vLLM's own; no model here proves it",
    "WEBSOCKET /metrics": "a mount of Prometheus' own application, which answers GET",
    "GET /tokenizer_info": OPERATOR,
    "GET /kv_event_sources": "for routers that follow the events of the KV cache over ZeroMQ",
    "POST /reset_mm_cache": OPERATOR,
    "POST /reset_encoder_cache": OPERATOR,
    "POST /release_kv_cache_memory": OPERATOR,
    "POST /collective_rpc": "calls any method of vLLM's workers: a debugger's",
    **dict.fromkeys(
        (
            "POST /scale_elastic_ep",
            "POST /is_scaling_elastic_ep",
            "POST /fault_tolerance/apply",
            "GET /fault_tolerance/status",
        ),
        OPERATOR,
    ),
    **dict.fromkeys(
        (
            "POST /init_weight_transfer_engine",
            "POST /shutdown_weight_transfer_engine",
            "POST /start_weight_update",
            "POST /start_draft_weight_update",
            "POST /update_weights",
            "POST /finish_weight_update",
            "POST /update_weight_version",
            "POST /weight_checker",
            "GET /weight_info",
            "GET /get_world_size",
        ),
        TRAINER,
    ),
}


def names_of(params: Any) -> set[str]:
    """The names in a TypedDict."""
    return set(params.__annotations__)


def fields_of(model: type[BaseModel], above: str = "", depth: int = 0) -> Iterator[str]:
    """The fields of a type, dotted; `*` below a field whose parts have no types of their own."""
    hints = {name: field.annotation for name, field in model.model_fields.items()}
    extras = {name: extra for name in dir(model) if isinstance(extra := getattr(model, name, None), Extra)}
    for name in {*model.model_fields, *extras}:
        yield above + name
        if name in extras or depth > 2:
            yield f"{above}{name}.*"
            continue
        inner = list(models_in(hints[name]))
        for one in inner:
            yield from fields_of(one, f"{above}{name}.", depth + 1)
        if not inner:
            yield f"{above}{name}.*"


def models_in(hint: Any) -> Iterator[type[BaseModel]]:
    """The types of objects in a type."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    elif get_origin(hint) is not None:
        for part in get_args(hint):
            yield from models_in(part)


def is_typed(field: str, typed: set[str]) -> bool:
    parts = field.split(".")
    return field in typed or any(".".join(parts[:i]) + ".*" in typed for i in range(1, len(parts)))


def asked_routes(served: Served) -> list[str]:
    """The routes that a call asks, in turn."""
    asked = []

    def answer(request: Any) -> Any:
        asked.append(f"{request.method} {httpx.URL(str(request.url)).path}")
        return httpx.Response(404, json={"detail": "Not Found"})

    client = VLLM(
        "http://nobody.invalid",
        max_retries=0,
        responses_api="native",
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )
    with client, pytest.raises(Exception, match="Not Found"):
        attrgetter(served.call)(client)(**served.arguments)
    return asked


@pytest.mark.parametrize("version", SURFACES)
def test_every_route_is_a_call_or_has_a_reason(version: str) -> None:
    assert set(SURFACES[version]) <= {*SERVED, *UNSERVED}


def test_no_route_is_listed_that_nobody_serves() -> None:
    assert {*SERVED, *UNSERVED} == {route for routes in SURFACES.values() for route in routes}
    assert not SERVED.keys() & UNSERVED


@pytest.mark.parametrize("route", SERVED)
def test_the_call_of_a_route_asks_it(route: str) -> None:
    assert route in asked_routes(SERVED[route])


@pytest.mark.parametrize("route", [route for route in SERVED if SERVED[route].params])
@pytest.mark.parametrize("version", SURFACES)
def test_parameters_have_types(version: str, route: str) -> None:
    served = SERVED[route]
    if route not in SURFACES[version]:
        pytest.skip("this version has no such route")
    taken = {*SURFACES[version][route]["body"], *SURFACES[version][route]["query"]}
    assert taken - names_of(served.params) - STREAM - served.arguments.keys() - served.untyped.keys() == set()


@pytest.mark.parametrize("route", [route for route in SERVED if SERVED[route].replies])
@pytest.mark.parametrize("version", SURFACES)
def test_fields_of_replies_have_types(version: str, route: str) -> None:
    served = SERVED[route]
    if route not in SURFACES[version]:
        pytest.skip("this version has no such route")
    if Response in served.replies and openai.__version__.startswith("2."):
        pytest.skip("the SDK's own type of a response is older than this vLLM: what it lacks is an extra")
    typed = {field for reply in served.replies for field in fields_of(reply)}
    excused = {name for field in served.untyped for name in (field, f"{field}.*")}
    told = SURFACES[version][route]["reply"]
    assert [field for field in told if not is_typed(field, typed | excused)] == []


def test_what_is_excused_is_there_to_be_excused() -> None:
    for route, served in SERVED.items():
        there = {
            name for routes in SURFACES.values() for part in routes.get(route, {}).values() for name in part
        }
        assert set(served.untyped) <= there, route
