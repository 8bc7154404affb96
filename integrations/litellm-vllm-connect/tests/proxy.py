"""LiteLLM's proxy as its users start it, in a process of its own; see `Proxy`."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml
from typing_extensions import Self


class Proxy:
    """A running proxy; a context manager.

    Args:
        folder: for its configuration and its log.
        models: the `litellm_params` of each model, by the name that clients say.
    """

    def __init__(self, folder: Path, models: dict[str, dict[str, Any]]) -> None:
        self._config = folder / "config.yaml"
        self._log = folder / "log"
        handler = {"provider": "vllm-connect", "custom_handler": "litellm_vllm_connect.handler"}
        config = {
            "model_list": [{"model_name": name, "litellm_params": params} for name, params in models.items()],
            "litellm_settings": {"custom_provider_map": [handler]},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        self._config.write_text(yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "DATABASE_"))
        }
        self._key = f"sk-{secrets.token_hex(32)}"  # without one it does not start
        environment |= {"LITELLM_MASTER_KEY": self._key}
        environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        start = "from litellm import run_server; run_server()"
        command = [sys.executable, "-c", start, "--config", str(self._config)]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                httpx.get(f"{self.url}/health/liveliness", timeout=5)
            except httpx.TransportError:
                time.sleep(0.2)
            else:
                return self
        self.__exit__()
        raise RuntimeError(f"the proxy does not start:\n{self._log.read_text()[-3000:]}")

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def post(self, path: str, **body: object) -> httpx.Response:
        """Ask it."""
        headers = {"Authorization": f"Bearer {self._key}"}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60)

    def chunks(self, **body: object) -> list[dict[str, Any]]:
        """The events of a streamed chat."""
        reply = self.post("/v1/chat/completions", stream=True, **body)
        events = [
            line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")
        ]
        return [json.loads(event) for event in events if event != "[DONE]"]
