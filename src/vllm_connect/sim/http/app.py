"""The simulated server as an ASGI application: which routes there are, and what guards them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import Unpack

from ..._calls.capabilities import ROUTES_SINCE
from ..answers import adapters, derendering, generate, operator, rendering, server_info
from ..answers.audio import transcriptions, translations
from ..answers.chat import chat_completions
from ..answers.chat_batch import batch
from ..answers.completions import completions
from ..answers.embeddings import embeddings
from ..answers.generative_scoring import generative_scoring
from ..answers.messages import count_tokens, messages
from ..answers.pooling import classify, pooling, token_embeddings
from ..answers.rerank import rerank, score
from ..answers.responses import responses, stored_response
from ..answers.tokenizing import detokenize, tokenize, tokenizer_info
from ..faults import FaultPlan
from .engine import Engine
from .errors import DetailError, SimError
from .front import Front
from .options import Options, OptionValues, options_from
from .recorder import Recorder
from .replies import Json, refuse

Endpoint = Callable[[Request], Awaitable[Response]]

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")


def create_app(**options: Unpack[OptionValues]) -> Starlette:
    """Make the simulated server as an ASGI application.

    Args:
        **options: what the server is like; see `Options`.

    Returns:
        The application. `SimServer` serves it; under another server, faults that need the socket
        (cut connections) do nothing.
    """
    return app_with(options_from(options))


def app_with(options: Options) -> Starlette:
    """The application for checked options."""
    recorder, plan = Recorder(), FaultPlan(options.faults)
    app = Starlette(
        routes=[Route(path, endpoint, methods=methods) for path, endpoint, methods in _routes(options)],
        middleware=[Middleware(Front, recorder=recorder, plan=plan), Middleware(Guard, options=options)],
        exception_handlers={
            SimError: _refused,
            DetailError: _detail,
            HTTPException: _http_error,
        },
    )
    app.state.options, app.state.recorder, app.state.plan = options, recorder, plan
    app.state.engine = Engine()
    return app


def _routes(options: Options) -> list[tuple[str, Endpoint, list[str]]]:
    """The routes that a server with these tasks registers."""
    get, post = ["GET"], ["POST"]
    routes: list[tuple[str, Endpoint, list[str]]] = [
        ("/health", server_info.health, get),
        ("/ping", server_info.health, ["GET", "POST"]),
        ("/version", server_info.version, get),
        ("/load", server_info.load, get),
        ("/metrics", server_info.metrics, get),
        ("/kv_event_sources", server_info.kv_event_sources, get),
        ("/v1/models", server_info.models, get),
    ]
    routes += [("/tokenize", tokenize, post), ("/detokenize", detokenize, post)]
    routes += [(path, server_info.decisions, post) for path in ("/v1/systemone", "/v1/decisions")]
    if options.tokenizer_info:
        routes.append(("/tokenizer_info", tokenizer_info, get))
    if options.lora:
        routes += [
            ("/v1/load_lora_adapter", adapters.load, post),
            ("/v1/unload_lora_adapter", adapters.unload, post),
        ]
    if options.dev:
        routes += _operator_routes()
    tasks = set(options.tasks)
    if "generate" in tasks:
        routes += [
            ("/v1/chat/completions", chat_completions, post),
            ("/v1/chat/completions/batch", batch, post),
            ("/generative_scoring", generative_scoring, post),
            ("/v1/completions", completions, post),
            ("/v1/messages", messages, post),
            ("/v1/messages/count_tokens", count_tokens, post),
            ("/v1/responses", responses, post),
            ("/v1/responses/{id}", stored_response, get),
            ("/v1/responses/{id}/cancel", stored_response, post),
        ]
        routes += _scale_out_routes(options)
    if "embed" in tasks:
        routes.append(("/v1/embeddings", embeddings, post))
    if "token_embed" in tasks:
        routes.append(("/v1/embeddings", token_embeddings, post))
    if tasks & {"rerank", "classify"}:
        routes.append(("/classify", classify, post))
    if tasks & {"embed", "token_embed", "rerank", "classify"}:
        routes.append(("/pooling", pooling, post))
    if tasks & {"embed", "rerank"}:
        routes += [(path, rerank, post) for path in ("/rerank", "/v1/rerank", "/v2/rerank")]
        routes += [(path, score, post) for path in ("/score", "/v1/score")]
    if "transcription" in tasks:
        routes += [
            ("/v1/audio/transcriptions", transcriptions, post),
            ("/v1/audio/translations", translations, post),
        ]
    routes = [route for route in routes if ROUTES_SINCE.get(route[0], (0, 0)) <= options.number]
    paths = {path: [method.lower() for method in methods] for path, _, methods in routes}
    return [*routes, ("/openapi.json", partial(server_info.openapi, paths), get)]


def _operator_routes() -> list[tuple[str, Endpoint, list[str]]]:
    """The routes of development mode, as far as the client has calls for them."""
    get, post = ["GET"], ["POST"]
    return [
        ("/is_sleeping", operator.is_sleeping, get),
        ("/is_paused", operator.is_paused, get),
        ("/server_info", operator.server_info, get),
        ("/sleep", operator.sleep, post),
        ("/wake_up", operator.wake_up, post),
        ("/pause", operator.pause, post),
        ("/resume", operator.resume, post),
        ("/reset_prefix_cache", operator.reset_prefix_cache, post),
        ("/abort_requests", operator.abort_requests, post),
    ]


def _scale_out_routes(options: Options) -> list[tuple[str, Endpoint, list[str]]]:
    """The routes of a chat in three steps; a server that was not told to serve them refuses them."""
    endpoints: dict[str, Endpoint] = {
        "/v1/chat/completions/render": rendering.render_chat,
        "/v1/completions/render": rendering.render_completion,
        "/v1/messages/render": rendering.render_message,
        "/v1/responses/render": rendering.render_response,
        "/v1/chat/completions/derender": derendering.derender_chat,
        "/v1/completions/derender": derendering.derender_completion,
        "/inference/v1/generate": generate.generate,
        "/inference/v1/abort_requests": generate.abort,
    }
    return [
        (path, endpoint if options.scale_out else _not_scaled_out, ["POST"])
        for path, endpoint in endpoints.items()
    ]


async def _not_scaled_out(request: Request) -> Response:
    raise SimError(
        403, "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them."
    )


class Guard:
    """Middleware that asks for the API key, on the paths on which vLLM does."""

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self.app, self.options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app: ASGIApp = self.app
        if scope["type"] == "http" and self.options.api_key and scope["path"].startswith(_GUARDED):
            kind, _, key = _header(scope, b"authorization").partition(" ")
            if kind.lower() != "bearer" or key not in self.options.api_key:
                app = Json({"error": "Unauthorized"}, status_code=401)
        if self.options.request_id_headers and (id := _header(scope, b"x-request-id")):
            send = _with_header(send, id)
        await app(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name), "")


def _with_header(send: Send, id: str) -> Send:
    async def sending(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers") or ())  # type: ignore[call-overload]
            message = {**message, "headers": [*headers, (b"x-request-id", id.encode("latin-1"))]}
        await send(message)

    return sending  # type: ignore[return-value]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SimError)
    return refuse(error, request.app.state.options)


async def _detail(request: Request, error: Exception) -> Response:
    assert isinstance(error, DetailError)
    return Json({"detail": error.detail}, status_code=error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"detail": error.detail}, status_code=error.status_code, headers=error.headers)
