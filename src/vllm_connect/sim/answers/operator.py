"""The routes of development mode: sleep, pause, reset_prefix_cache, server_info …"""

from __future__ import annotations

import json
import platform
import sys
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import PauseMode, engine_of
from ..http.errors import SimError, validated
from ..http.options import Options
from ..http.replies import Json


class _Sleep(BaseModel):
    level: int = Field(1, ge=0, le=2)
    mode: PauseMode = "abort"


class _Pause(BaseModel):
    mode: PauseMode = "abort"
    clear_cache: bool = True


class _Reset(BaseModel):
    reset_running_requests: bool = False
    reset_external: bool = False


class _Info(BaseModel):
    config_format: Literal["text", "json"] = "text"


async def sleep(request: Request) -> Response:
    """Let the engine sleep."""
    query = validated(_Sleep, dict(request.query_params), "query")
    await engine_of(request).sleep(query.level, query.mode)
    return Json({"status": "sleeping", "level": query.level})


async def wake_up(request: Request) -> Response:
    """Wake the engine, or a part of it."""
    tags = request.query_params.getlist("tags") or None
    awake = engine_of(request).wake_up(tags)
    return Json({"status": "awake" if awake else "sleeping", "tags": tags})


async def is_sleeping(request: Request) -> Response:
    """Tell whether the engine sleeps, or is paused, which vLLM calls sleeping, too."""
    engine = engine_of(request)
    return Json({"is_sleeping": engine.paused or bool(engine.asleep)})


async def pause(request: Request) -> Response:
    """Stop generating."""
    query = validated(_Pause, dict(request.query_params), "query")
    await engine_of(request).pause(query.mode)
    return Json({"status": "paused"})


async def resume(request: Request) -> Response:
    """Go on generating."""
    engine_of(request).resume()
    return Json({"status": "resumed"})


async def is_paused(request: Request) -> Response:
    """Tell whether generating is paused."""
    return Json({"is_paused": engine_of(request).paused})


async def reset_prefix_cache(request: Request) -> Response:
    """Forget the prefix cache, which cannot be done while a request holds some of it."""
    query = validated(_Reset, dict(request.query_params), "query")
    return Json({"success": query.reset_running_requests or not engine_of(request).busy})


async def abort_requests(request: Request) -> Response:
    """Abort requests by their ids, or all of them."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise SimError(400, "Invalid JSON format", type="Bad Request") from None
    if not isinstance(body, dict):
        raise SimError(400, "Request body must be a JSON object", type="Bad Request")
    engine = engine_of(request)
    ids = body.get("request_ids") or engine.ids
    engine.abort(ids)
    return Json({"status": "aborted", "aborted": len(ids)})


async def server_info(request: Request) -> Response:
    """Tell the configuration and the environment, of which a simulator has little."""
    query = validated(_Info, dict(request.query_params), "query")
    options: Options = request.app.state.options
    config: dict[str, Any] = {
        "model_config": {
            "model": options.models[0],
            "served_model_name": list(options.models),
            "max_model_len": options.max_model_len,
        },
        "instance_id": "sim",
    }
    text = ", ".join(f"{name}={value!r}" for name, value in config["model_config"].items())
    return Json(
        {
            "vllm_config": config if query.config_format == "json" else text,
            "vllm_env": {
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING": options.lora,
                "VLLM_SERVER_DEV_MODE": options.dev,
            },
            "system_env": {
                "os": platform.platform(),
                "python_version": sys.version,
                "vllm_version": options.version,
            },
        }
    )
