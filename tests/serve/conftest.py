"""A gateway in a thread of its own, over simulators."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai._base_client import BaseClient

from vllm_connect._transport._httpx import httpx
from vllm_connect.serve.config.file import ConfigFile
from vllm_connect.serve.gateway import Gateway
from vllm_connect.serve.http.app import App
from vllm_connect.serve.http.server import Server, listen
from vllm_connect.serve.http.settings import Settings
from vllm_connect.serve.page.app import Page
from vllm_connect.sim import SimServer


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(BaseClient, "_calculate_retry_timeout", lambda *_, **__: 0.0)


class Running:
    """A gateway that runs."""

    def __init__(self, file: ConfigFile, settings: Settings, **options: Any) -> None:
        self.file = file
        self.gateway = Gateway(file, **options)
        self.settings = settings
        self.listener = listen(settings)
        self.server = Server(App(self.gateway, settings, Page(self.gateway)), settings, self.listener)
        self.url = self.server.url
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        self.http = httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def events(self, path: str, body: Any, **options: Any) -> list[str]:
        """The lines of a stream."""
        with self.http.stream("POST", path, json=body, **options) as response:
            assert response.status_code == 200, response.read()
            return [line for line in response.iter_lines() if line]

    def stop(self) -> None:
        self.http.close()
        self.server.stop()
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


Serve = Callable[..., Running]


def keys_of(sims: Sequence[SimServer], **fields: Any) -> dict[str, Any]:
    """A configuration of these servers."""
    keys = [
        {"name": f"sim{number}", "value": "", "vllm_key_config": {"url": sim.url}, **fields}
        for number, sim in enumerate(sims)
    ]
    return {"providers": {"vllm": {"keys": keys}}}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Runs gateways, over simulators or over a whole configuration."""
    running: list[Running] = []

    def start(*sims: SimServer, config: Any = None, settings: Any = None, **options: Any) -> Running:
        path = tmp_path / f"config{len(running)}.json"
        path.write_text(json.dumps(keys_of(sims) if config is None else config))
        chosen = Settings(**{"port": 0, "grace": 0.2, **(settings or {})})
        running.append(Running(ConfigFile(path), chosen, **options))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def one_sim() -> Iterator[SimServer]:
    with SimServer(models=["llama", "BAAI/bge-reranker-v2-m3"]) as server:
        yield server


@pytest.fixture
def sim(one_sim: SimServer) -> SimServer:
    """A simulator that nobody has asked anything yet."""
    one_sim.reset()
    return one_sim


@pytest.fixture(scope="module")
def one_gateway(one_sim: SimServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("gateway") / "config.json"
    path.write_text("{}")
    running = Running(ConfigFile(path), Settings(port=0, grace=0.2))
    yield running
    running.stop()


@pytest.fixture
def gateway(one_gateway: Running, sim: SimServer) -> Running:
    """A gateway over `sim` that is well: one for all tests of a module, since starting takes time."""
    gateway = one_gateway
    for document in ({"keys": []}, keys_of([sim])):
        gateway.file.path.write_text(json.dumps(document))
        gateway.gateway.refresh()
    return gateway
