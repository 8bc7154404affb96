"""A server that speaks vLLM's protocol, for tests and demonstrations without a GPU.

    from vllm_connect.sim import SimServer

    with SimServer() as sim:
        client = VLLM(sim.url)

It needs the extra `vllm-connect[sim]`. It is no model: it says what a small grammar tells it to say
(see `vllm_connect.sim.grammar`), always the same to the same request, and misbehaves on request.
"""

from .app import create_app
from .faults import Fault
from .options import TASKS, Options, Task
from .recorder import Request, Upload
from .server import SimServer

__all__ = ["TASKS", "Fault", "Options", "Request", "SimServer", "Task", "Upload", "create_app"]
