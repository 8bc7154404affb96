"""What vLLM serves: routes, parameters of requests and fields of replies, read from vLLM itself.

    PYTHON scripts/surface.py > tests/unit/data/surface/vllm-VERSION.json

PYTHON is one that has vLLM, e.g. that of `python -m scripts.live install`. vLLM's own application is built
for each task, with every flag that adds routes, and without an engine: it is only asked what it serves.
An argument may name the sources of another version, unpacked from its wheel: only Python of them is run.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

FLAGS = ("--enable-scale-out", "--enable-fault-tolerance", "--enable-tokenizer-info-endpoint")
ENVIRONMENT = {
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_NO_USAGE_STATS": "1",
}
TASKS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("generate",), None),
    (("embed", "classify"), "embed"),
    (("token_embed",), "token_embed"),
    (("classify",), "classify"),
    (("transcription", "realtime"), None),
)
"""The tasks of a server, and which of them its pooling model does."""

_DEEPEST = 2
"""How far into a reply to look: `choices.message.reasoning` is two steps below the reply."""

# What a route answers, where its schema does not say: names below vllm.entrypoints.
_CHAT, _TEXT = "openai.chat_completion.protocol:", "openai.completion.protocol:"
_SCORE, _TOKENS = "pooling.scoring.protocol:", "scale_out.token_in_token_out.protocol:"
REPLIES = {
    "/v1/chat/completions": (f"{_CHAT}ChatCompletionResponse", f"{_CHAT}ChatCompletionStreamResponse"),
    "/v1/chat/completions/batch": (f"{_CHAT}ChatCompletionResponse",),
    "/v1/completions": (f"{_TEXT}CompletionResponse", f"{_TEXT}CompletionStreamResponse"),
    "/v1/responses": ("openai.responses.protocol:ResponsesResponse",),
    "/v1/messages": (
        "anthropic.protocol:AnthropicMessagesResponse",
        "anthropic.protocol:AnthropicStreamEvent",
    ),
    "/v1/messages/count_tokens": ("anthropic.protocol:AnthropicCountTokensResponse",),
    "/v1/embeddings": ("pooling.embed.protocol:EmbeddingResponse",),
    "/pooling": ("pooling.pooling.protocol:PoolingResponse",),
    "/classify": ("pooling.classify.protocol:ClassificationResponse",),
    "/score": (f"{_SCORE}ScoreResponse",),
    "/v1/rerank": (f"{_SCORE}RerankResponse",),
    "/v1/audio/transcriptions": (
        "speech_to_text.transcription.protocol:TranscriptionResponse",
        "speech_to_text.transcription.protocol:TranscriptionResponseVerbose",
    ),
    "/v1/audio/translations": (
        "speech_to_text.translation.protocol:TranslationResponse",
        "speech_to_text.translation.protocol:TranslationResponseVerbose",
    ),
    "/tokenize": ("serve.tokenize.protocol:TokenizeResponse",),
    "/detokenize": ("serve.tokenize.protocol:DetokenizeResponse",),
    "/v1/models": ("openai.models.protocol:ModelList", "serve.engine.protocol:ModelList"),
    "/generative_scoring": ("generate.generative_scoring.serving:GenerativeScoringResponse",),
    "/v1/systemone": (
        "generate.structured_decisions.protocol:StructuredDecisionResponse",
        "generate.structured_decisions.protocol:StructuredDecisionsResponse",
    ),
    "/v1/decisions": ("openai.decisions.protocol:DecisionResponse",),
    "/v1/chat/completions/render": (f"{_TOKENS}GenerateRequest",),
    "/v1/completions/render": (f"{_TOKENS}GenerateRequest",),
    "/v1/messages/render": (f"{_TOKENS}GenerateRequest",),
    "/v1/responses/render": (f"{_TOKENS}GenerateRequest",),
    "/v1/chat/completions/derender": (f"{_CHAT}ChatCompletionResponse",),
    "/v1/completions/derender": (f"{_TEXT}CompletionResponse",),
    "/inference/v1/generate": (f"{_TOKENS}GenerateTokensResponse", f"{_TOKENS}GenerateTextResponse"),
}


class Model:
    """What the routes ask of a model's configuration."""

    architecture = ""

    def __init__(self, task: str | None) -> None:
        self._task = task
        self.hf_config = self
        self.num_labels = 1

    def get_pooling_task(self, tasks: object) -> str | None:
        """The task of a pooling model."""
        return self._task

    def __getattr__(self, name: str) -> None:
        return None


def applications() -> Iterator[Any]:
    """vLLM's application for each task."""
    build_app = imported("launchers.app:build_app", "openai.api_server:build_app")
    parser_of = imported(
        "common.cli_args:make_arg_parser",
        "launchers.cli_args:make_arg_parser",
        "openai.cli_args:make_arg_parser",
    )
    parser_class = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser
    arguments = parser_of(parser_class()).parse_args(list(FLAGS))
    for tasks, pooling in TASKS:
        yield build_app(arguments, tasks, Model(pooling))


def imported(*places: str) -> Any:
    """The first of some objects that this vLLM has."""
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(f"vllm.entrypoints.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"this vLLM has none of {', '.join(places)}")


def fields(schema: Any, schemas: dict[str, Any], seen: tuple[str, ...] = ()) -> set[str]:
    """The fields of an object, and of those in it with dots before their names."""
    found: set[str] = set()
    if (name := schema.get("$ref")) is not None:
        name = name.rpartition("/")[2]
        return set() if name in seen else fields(schemas[name], schemas, (*seen, name))
    for variant in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        found |= fields(variant, schemas, seen)
    if "items" in schema:
        found |= fields(schema["items"], schemas, seen)
    for name, inner in schema.get("properties", {}).items():
        found |= {name, *(f"{name}.{below}" for below in fields(inner, schemas, seen))}
    return found


def reply_fields(path: str) -> set[str]:
    """The fields of what a route answers."""
    found: set[str] = set()
    for place in REPLIES.get(path, ()):
        module, _, name = place.partition(":")
        try:
            cls = getattr(importlib.import_module(f"vllm.entrypoints.{module}"), name)
        except (ImportError, AttributeError):
            continue
        schema = cls.model_json_schema()
        found |= fields(schema, schema.get("$defs", {}))
    return {name for name in found if name.count(".") <= _DEEPEST}


def routes(app: Any) -> dict[str, dict[str, list[str]]]:
    """What an application serves, by method and path."""
    found: dict[str, dict[str, list[str]]] = {}
    for route in app.routes:
        for method in getattr(route, "methods", None) or {"WEBSOCKET"}:
            found[f"{method} {route.path}"] = {"query": [], "body": [], "reply": []}
    specification = app.openapi()
    schemas = specification.get("components", {}).get("schemas", {})
    for path, methods in specification["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            found[f"{method.upper()} {path}"] = {
                "query": sorted(p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"),
                "body": sorted(
                    {name for body in bodies for name in fields(body["schema"], schemas) if "." not in name}
                ),
                "reply": sorted(reply_fields(path)),
            }
    return found


def main() -> None:
    """Print it all as JSON."""
    if sys.argv[1:]:
        sys.path.insert(0, sys.argv[1])
    os.environ.update(ENVIRONMENT)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    version = importlib.import_module("vllm").__version__
    found: dict[str, dict[str, list[str]]] = {}
    for app in applications():
        for name, route in routes(app).items():
            known = found.setdefault(name, {part: [] for part in route})
            found[name] = {part: sorted({*known[part], *route[part]}) for part in route}
    lines = (f"  {json.dumps(name)}: {json.dumps(route)}" for name, route in sorted(found.items()))
    print(f'{{"version": {json.dumps(version)}, "routes": {{')
    print(",\n".join(lines))
    print("}}")


if __name__ == "__main__":
    main()
