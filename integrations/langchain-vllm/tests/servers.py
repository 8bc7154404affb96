"""Where tests find a server: one simulator per process, and the real servers that `make live` names."""

from __future__ import annotations

import functools
import os

from vllm_connect.sim import SimServer

MODELS = ("sim-chat", "sim-adapter")


@functools.cache
def simulator() -> SimServer:
    """A simulator that serves its model under two names; it ends with the process."""
    return SimServer(models=MODELS).start()


def live_url(name: str) -> str | None:
    """The address of a real server: VLLM_LIVE_CHAT_URL and so on."""
    return os.environ.get(f"VLLM_LIVE_{name.upper()}_URL")
