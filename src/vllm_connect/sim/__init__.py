"""A server that speaks vLLM's protocol, for tests and demonstrations without a GPU.

    from vllm_connect.sim import SimServer

    with SimServer() as sim:
        client = VLLM(sim.url)

It needs the extra `vllm-connect[sim]`. It is no model: it says what a small grammar tells it to say
(see `vllm_connect.sim.answers.grammar`), always the same to the same request, and misbehaves on request (see
`vllm_connect.sim.faults`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import Fault
    from .http.app import create_app
    from .http.options import TASKS, Options, Task
    from .http.recorder import Request, Upload
    from .http.server import SimServer

__all__ = ["TASKS", "Fault", "Options", "Request", "SimServer", "Task", "Upload", "create_app"]

_HOMES = {
    "TASKS": "http.options",
    "Fault": "faults",
    "Options": "http.options",
    "Request": "http.recorder",
    "SimServer": "http.server",
    "Task": "http.options",
    "Upload": "http.recorder",
    "create_app": "http.app",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package wherever vllm-connect is installed: nothing is imported until it is used.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{home}", __name__), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("starlette", "uvicorn"):
            message = f"{name} needs {missing}: install the extra, vllm-connect[sim]"
            raise ModuleNotFoundError(message, name=missing) from None
        raise
