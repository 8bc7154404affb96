"""`vllm-connect serve` as a program: what it refuses to start with, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vllm_connect._transport._httpx import httpx
from vllm_connect.cli.app import app
from vllm_connect.sim import SimServer

COMMAND = [sys.executable, "-m", "vllm_connect", "serve"]


def refused(*arguments: str, **environment: str) -> str:
    """What it says when it does not start."""
    done = CliRunner(env=environment).invoke(app, ["serve", *arguments])
    assert done.exit_code == 2, done.output
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            match = re.search(r"http://\S+", line)
            assert match, line + (process.stderr.read() if process.stderr and not line else "")
            yield process, match[0]
        finally:
            process.kill()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_a_broken_configuration(config: Path) -> None:
    config.write_text(
        '{"providers": {"vllm": {"keys": [{"name": "a", "vllm_key_config": {"url": "gpu1:1"}}]}}}'
    )
    assert "keys[0].vllm_key_config.url" in refused(str(config))
    config.write_text("{")
    assert "config.json: is not JSON" in refused(str(config))
    assert "nowhere.json: No such file" in refused(str(config.with_name("nowhere.json")))


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = refused("--port", port, XDG_CONFIG_HOME="/nonexistent")
    assert f"127.0.0.1:{port} is in use" in said
    assert "--port" in said


def test_an_open_door() -> None:
    assert "give --api-key" in refused("--host", "0.0.0.0")
    assert "NO_SUCH_KEY" in refused("--host", "0.0.0.0", "--api-key", "env.NO_SUCH_KEY")


def test_wrong_words(config: Path) -> None:
    config.write_text(json.dumps({"keys": [{"name": "a", "vllm_key_config": {"url": "http://gpu1:8000"}}]}))
    assert "balance is" in refused(str(config), "--balance", "fair")
    assert "responses_api is" in refused(str(config), "--responses-api", "own")


def test_it_runs_logs_and_ends(config: Path) -> None:
    with SimServer(models="llama", api_key="sk-of-the-server") as sim:
        key = {"name": "a", "value": "env.SERVER_KEY", "vllm_key_config": {"url": sim.url}}
        config.write_text(json.dumps({"keys": [key]}))
        with started(
            str(config),
            "--api-key",
            "env.GATEWAY_KEY",
            SERVER_KEY="sk-of-the-server",
            GATEWAY_KEY="sk-of-the-gateway",
        ) as (process, url):
            body = {"model": "llama\n2", "messages": [{"role": "user", "content": "a secret of the user"}]}
            headers = {"Authorization": "Bearer sk-of-the-gateway"}
            with httpx.Client(trust_env=False, headers=headers) as http:
                assert http.post(f"{url}/v1/chat/completions", json=body).status_code == 404
                assert (
                    http.post(f"{url}/v1/chat/completions", json={**body, "model": "llama"}).status_code
                    == 200
                )
                assert http.get(f"{url}/v1/models?key=hidden").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert process.stderr is not None
            log = process.stderr.read().splitlines()
    assert len(log) == 3
    assert re.search(
        r"127\.0\.0\.1 POST /v1/chat/completions 404 .*model=llama\\n2 key=a .*model_not_found", log[0]
    )
    assert re.search(
        r"POST /v1/chat/completions 200 [\d.]+ms model=llama key=a first=[\d.]+ms bytes=\d+$", log[1]
    )
    assert not any(secret in "\n".join(log) for secret in ("sk-of", "secret of", "hidden"))


def test_without_a_configuration_it_begins_with_none(tmp_path: Path) -> None:
    with started(XDG_CONFIG_HOME=str(tmp_path)) as (_, url), httpx.Client(trust_env=False) as http:
        assert http.get(f"{url}/health").json()["status"] == "ok"
        assert http.get(f"{url}/v1/models").status_code == 503
