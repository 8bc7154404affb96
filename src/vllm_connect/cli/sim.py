"""`vllm-connect sim`: the simulator, until somebody ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence

from ..sim import SimServer
from ..sim.http.options import OptionValues


def serve(
    host: str,
    port: int,
    *,
    models: Sequence[str] | None = None,
    api_keys: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    max_model_len: int = 32768,
    delay: float = 0.0,
    faults: Sequence[str] | None = None,
    version: str | None = None,
    scale_out: bool = False,
    lora: bool = False,
    dev: bool = False,
) -> None:
    """Run the simulator until Ctrl-C or SIGTERM.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        models: the served names.
        api_keys: accepted keys, or ``"env.NAME"``.
        tasks: what the model does; everything by default.
        max_model_len: tokens of context.
        delay: seconds for each generated token.
        faults: what goes wrong, as texts.
        version: what it says to be, and what it has.
        scale_out: whether it renders prompts and generates tokens from tokens.
        lora: whether it loads LoRA adapters.
        dev: whether it has an operator's routes.

    Raises:
        ValueError: there is no such task or fault, or an environment variable is not set.
        OSError: it cannot listen there.
    """
    options: OptionValues = {
        **{"max_model_len": max_model_len, "delay": delay, "faults": faults or ()},
        **{"scale_out": scale_out, "lora": lora, "dev": dev},
    }
    if version:
        options["version"] = version
    if models:
        options["models"] = models
    if tasks:
        options["tasks"] = tasks  # type: ignore[typeddict-item]  # checked by the simulator
    if api_keys:
        options["api_key"] = [_read(key) for key in api_keys]
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with SimServer(host=host, port=port, **options) as server:
        names = ", ".join(server.options.models)
        guard = ", asks for an API key" if api_keys else ""
        print(f"vLLM simulator at {server.url} (model {names}{guard}); Ctrl-C ends it", flush=True)
        while not ended.wait(0.5):  # without a limit, Windows would not hear of Ctrl-C
            pass


def _read(key: str) -> str:
    """An API key, perhaps from the environment."""
    if not key.startswith("env."):
        return key
    value = os.environ.get(key[4:])
    if not value:
        raise ValueError(f"environment variable {key[4:]}, named by --api-key, is not set")
    return value
