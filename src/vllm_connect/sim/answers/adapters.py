"""LoRA adapters: `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`, which answer with plain text."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of
from ..http.errors import SimError, validated
from ..http.options import Options
from ..http.replies import read_json

_WRONG_INPUT = "InvalidUserInput"


class _Load(BaseModel):
    lora_name: str
    lora_path: str
    load_inplace: bool = False
    is_3d_lora_weight: bool = False


class _Unload(BaseModel):
    lora_name: str
    lora_int_id: int | None = None


async def load(request: Request) -> Response:
    """Load an adapter, which is a served model from then on."""
    body = validated(_Load, await read_json(request))
    name, options, engine = body.lora_name, _options(request), engine_of(request)
    if not name or not body.lora_path:
        raise SimError(400, "Both 'lora_name' and 'lora_path' must be provided.", type=_WRONG_INPUT)
    if name in options.models:
        message = f"The lora adapter '{name}' conflicts with a served base model."
        raise SimError(400, message, type=_WRONG_INPUT)
    if name in engine.adapters and not body.load_inplace:
        raise SimError(
            400,
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
            "set 'load_inplace' to True.",
            type=_WRONG_INPUT,
        )
    if not _is_there(body.lora_path):
        raise SimError(404, f"Loading lora {name} failed: No adapter found for {body.lora_path}")
    engine.adapters[name] = body.lora_path
    return Response(f"Success: LoRA adapter '{name}' added successfully.")


async def unload(request: Request) -> Response:
    """Unload an adapter."""
    body = validated(_Unload, await read_json(request))
    adapters = engine_of(request).adapters
    if not body.lora_name:
        message = "'lora_name' needs to be provided to unload a LoRA adapter."
        raise SimError(400, message, type=_WRONG_INPUT)
    if body.lora_name not in adapters:
        raise SimError(404, f"The lora adapter '{body.lora_name}' cannot be found.")
    del adapters[body.lora_name]
    return Response(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


def _options(request: Request) -> Options:
    options: Options = request.app.state.options
    return options


def _is_there(path: str) -> bool:
    """Tell whether there is an adapter: a folder with its configuration, or a name at Hugging Face."""
    if path.count("/") == 1 and not path.startswith(("/", "~", ".")):
        return True
    return (Path(path).expanduser() / "adapter_config.json").is_file()
