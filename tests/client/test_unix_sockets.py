"""Every operation on a server that listens on a Unix socket, as `vllm serve --uds` does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.client.requests import PLAIN, STREAMED
from typer.testing import CliRunner

from vllm_connect import VLLM, AsyncVLLM, Key
from vllm_connect.cli.app import app as cli
from vllm_connect.errors import APIConnectionError, BadRequestError
from vllm_connect.sim import create_app

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A simulator's socket."""
    path = tmp_path_factory.mktemp("uds") / "vllm.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error", ws="none", loop="asyncio"))
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    yield path
    server.should_exit = True
    thread.join()
    listener.close()


def operation_of(client: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), client)


@pytest.mark.parametrize("name", PLAIN)
def test_plain(path: Path, name: str) -> None:
    async def main() -> Any:
        async with AsyncVLLM(f"unix://{path}") as client:
            return await operation_of(client, name)(**PLAIN[name])

    with VLLM(f"unix://{path}") as client:
        found = operation_of(client, name)(**PLAIN[name])
    assert type(asyncio.run(main())) is type(found)
    assert found is not None


@pytest.mark.parametrize("name", STREAMED)
def test_streamed(path: Path, name: str) -> None:
    async def main() -> list[Any]:
        async with AsyncVLLM(f"unix://{path}") as client:
            return [chunk async for chunk in await operation_of(client, name)(**PLAIN[name], stream=True)]

    with VLLM(f"unix://{path}") as client:
        chunks = list(operation_of(client, name)(**PLAIN[name], stream=True))
    assert len(asyncio.run(main())) == len(chunks) > 1


def test_models_health_and_metrics(path: Path) -> None:
    with VLLM(
        keys=[Key(name="one", url=f"unix://{path}"), Key(name="two", url=f"unix://{path}:/v1")]
    ) as client:
        assert client.models.list().data[0].key_names == ["one", "two"]
        assert client.server.health()
        assert client.server.metrics()


def test_copies_reach_the_same_socket(path: Path) -> None:
    with VLLM(f"unix://{path}") as client:
        assert client.with_options(base_url=client.base_url).server.version() == client.server.version()


def test_errors_name_the_socket(path: Path) -> None:
    with VLLM(f"unix://{path}", max_retries=0) as client:
        with pytest.raises(BadRequestError) as refused:
            client.chat.completions.create(messages=[])
        assert refused.value.server_url == f"unix://{path}"
        missing = path.with_name("missing.sock")
        with pytest.raises(APIConnectionError, match=rf"No such file.*unix://{missing}\]") as failed:
            client.with_options(base_url=f"unix://{missing}").server.version()
        assert failed.value.server_url == f"unix://{missing}"


def test_check(path: Path) -> None:
    result = CliRunner().invoke(cli, ["check", f"unix://{path}"])
    assert result.exit_code == 0, result.output
    assert f"unix://{path}" in result.output.replace("\n", "")
