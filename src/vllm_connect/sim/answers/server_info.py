"""The server about itself: health, version, load, metrics, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of
from ..http.errors import SimError
from ..http.options import Options
from ..http.recorder import Recorder
from ..http.replies import Json, new_id, now

_METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="{model}"}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="{model}"}} 0.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="{model}"}} 0.0
# HELP http_requests_total Total number of requests by method, status and handler.
# TYPE http_requests_total counter
http_requests_total {total}
"""


async def health(request: Request) -> Response:
    """Nothing but a 200."""
    return Response()


async def version(request: Request) -> Response:
    """The version; by default it says that this is a simulator."""
    options: Options = request.app.state.options
    return Json({"version": options.version})


async def load(request: Request) -> Response:
    """The load, which vLLM tracks only when told to."""
    return Json({"server_load": 0})


async def kv_event_sources(request: Request) -> Response:
    """Nothing: there is no cache."""
    return Json({})


async def openapi(paths: Mapping[str, Sequence[str]], request: Request) -> Response:
    """The document of FastAPI, as far as it names the routes."""
    options: Options = request.app.state.options
    told: dict[str, object] = {path: {method: {} for method in methods} for path, methods in paths.items()}
    return Json({"openapi": "3.1.0", "info": {"title": "sim", "version": options.version}, "paths": told})


async def decisions(request: Request) -> Response:
    """Refuse to decide, as a server does whose model has no token for "yes"."""
    raise SimError(501, "The model does not support the structured decision API")


async def metrics(request: Request) -> Response:
    """A few of vLLM's metrics, in Prometheus' text format."""
    recorder: Recorder = request.app.state.recorder
    options: Options = request.app.state.options
    text = _METRICS.format(
        model=options.models[0], running=float(recorder.running - 1), total=float(len(recorder.requests))
    )
    return Response(text, media_type="text/plain; version=1.0.0; charset=utf-8")


async def models(request: Request) -> Response:
    """The served names of the model, and its LoRA adapters."""
    options: Options = request.app.state.options
    cards = [_card(name, options) for name in options.models]
    for name, path in engine_of(request).adapters.items():
        adapter = {"id": name, "root": path, "parent": options.models[0], "max_model_len": None}
        cards.append({**_card(name, options), **adapter})
    return Json({"object": "list", "data": cards})


def _card(name: str, options: Options) -> dict[str, object]:
    created = now()
    permission = {
        "id": f"modelperm-{new_id()}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": options.models[0],
        "parent": None,
        "max_model_len": options.max_model_len,
        "permission": [permission],
    }
