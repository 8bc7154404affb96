"""Compare the gateway with the server itself and with LiteLLM's proxy: `python -m benchmarks.gateways`.

All three are asked by the same bare client in turns, in one run. CPU time is that of a gateway's processes,
user and system, as Linux tells it; what the request itself costs is taken off the cost of a stream's chunks.
The figures depend on the machine, the ratios hardly do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .report import show
from .scenarios import Row
from .server import BURST, PACED, running

_ROOT = Path(__file__).parents[1]
_LITELLM = _ROOT / ".venv-litellm" / "bin" / "litellm"
_MODELS = ("reply", "burst", "paced", "crowd")
_LITELLMS_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # there is no network
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # nor a key before ours
}
CROWD = 1000


class Side(NamedTuple):
    """Somebody who answers: the server, or a gateway before it."""

    name: str
    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU that the process and its children have taken, without those of the server."""
        return sum(map(_cpu_of, [self.pid, *_children(self.pid)]))


class Figures(NamedTuple):
    """Medians of one side: CPU in microseconds, waits in milliseconds."""

    request: float
    burst: float
    alone: float
    wait: float
    first: float


def _cpu_of(pid: int) -> float:
    # In nanoseconds, where stat counts hundredths of a second.
    return (
        sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    )


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, listed) for each in (child, *_children(child))]


class Connection:
    """A bare HTTP/1.1 client, which costs next to nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.first = 0.0

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, model: str, *, stream: bool) -> bytes:
        """Ask for a chat completion; return the body's bytes, chunked or not."""
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        body = json.dumps({"model": model, "messages": messages, "stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 200"):
            raise RuntimeError(f"port {self._port} answers {answer!r} {await self._reader.read(500)!r}")
        if b"content-length:" in answer:
            length = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            return await self._reader.readexactly(length)
        parts: list[bytes] = []
        while size := int(await self._reader.readline(), 16):
            part = await self._reader.readexactly(size + 2)
            if not parts:
                self.first = time.perf_counter() - began
            parts.append(part[:-2])
        await self._reader.readline()
        return b"".join(parts)


async def _measure(side: Side, requests: int) -> Figures:
    async with Connection(side.port) as connection:
        for model in ("reply", "burst", "paced"):  # what is made at the first time
            for _ in range(3):
                await connection.ask(model, stream=model != "reply")
        waits, firsts = [], []
        cpu = side.cpu()
        for _ in range(requests):
            began = time.perf_counter()
            await connection.ask("reply", stream=False)
            waits.append(time.perf_counter() - began)
        request = (side.cpu() - cpu) / requests
        bursts, paced = max(requests // 15, 4), max(requests // 40, 4)
        cpu = side.cpu()
        for _ in range(bursts):
            _check(await connection.ask("burst", stream=True), BURST)
        burst = ((side.cpu() - cpu) / bursts - request) / BURST
        cpu = side.cpu()
        for _ in range(paced):
            _check(await connection.ask("paced", stream=True), PACED)
            firsts.append(connection.first)
        alone = ((side.cpu() - cpu) / paced - request) / PACED
    wait, first = statistics.median(waits), statistics.median(firsts)
    return Figures(request * 1e6, burst * 1e6, alone * 1e6, wait * 1e3, first * 1e3)


def _check(body: bytes, chunks: int) -> None:
    found = body.count(b"data: {")
    if found < chunks - 2 or b"[DONE]" not in body:
        raise RuntimeError(f"{found} chunks of {chunks}: {body[-300:]!r}")


async def _crowd(side: Side) -> tuple[int, float, float]:
    """Ask for many streams at once; return how many were whole, the seconds it took, and those of CPU."""

    async def one() -> bool:
        try:
            async with Connection(side.port) as connection:
                body = await asyncio.wait_for(connection.ask("crowd", stream=True), 120)
                return b"[DONE]" in body
        except (OSError, RuntimeError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            return False

    began, cpu = time.perf_counter(), side.cpu()
    whole = sum(await asyncio.gather(*(one() for _ in range(CROWD))))
    return whole, time.perf_counter() - began, side.cpu() - cpu


@contextlib.contextmanager
def _started(name: str, command: list[str], port: int, **environment: str) -> Iterator[Side]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            deadline = time.monotonic() + 180
            while True:
                with contextlib.suppress(OSError, RuntimeError):
                    asyncio.run(_first(port))
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{name} does not answer: {log.read().decode()[-2000:]}")
                time.sleep(0.5)
            yield Side(name, port, process.pid)
        finally:
            process.terminate()
            process.wait()


async def _first(port: int) -> None:
    async with Connection(port) as connection:
        await connection.ask("reply", stream=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def _ours(url: str, folder: Path) -> Iterator[Side]:
    config, port = folder / "config.json", _free_port()
    config.write_text(json.dumps({"keys": [{"name": "server", "vllm_key_config": {"url": url}}]}))
    command = [sys.executable, "-m", "vllm_connect", "serve", str(config), "--port", str(port)]
    with _started("vllm-connect serve", command, port) as side:
        yield side


@contextlib.contextmanager
def _litellms(url: str, folder: Path) -> Iterator[Side]:
    config, port = folder / "litellm.yaml", _free_port()
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"hosted_vllm/{name}", "api_base": f"{url}/v1", "api_key": "none"},
        }
        for name in _MODELS
    ]
    config.write_text(json.dumps({"model_list": models}))  # JSON is YAML
    command = [str(_LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with _started("LiteLLM's proxy", command, port, **_LITELLMS_ENVIRONMENT) as side:
        yield side


def _rows(direct: Figures, theirs: Figures, ours: Figures) -> list[Row]:
    against = "LiteLLM's proxy"

    def added(what: str, by_theirs: float, by_ours: float, without: float) -> Row:
        return Row(f"added to {what}", against, "ms", by_theirs - without, by_ours - without, 5, True)

    return [
        Row("a request, CPU", against, "us", theirs.request, ours.request, 6, True),
        Row("a chunk of a burst, CPU", against, "us", theirs.burst, ours.burst, 10, True),
        Row("a chunk alone, CPU", against, "us", theirs.alone, ours.alone, 6, True),
        Row("added to a request", against, "ms", theirs.wait - direct.wait, ours.wait - direct.wait, 5, True),
        Row(
            "added to the first token",
            against,
            "ms",
            theirs.first - direct.first,
            ours.first - direct.first,
            5,
            True,
        ),
    ]


def _medians(figures: list[Figures]) -> Figures:
    return Figures(*map(statistics.median, zip(*figures, strict=True)))


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateways", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=150, help="in a round; default: %(default)s")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(running())
        direct = Side("direct", int(url.rpartition(":")[2]), os.getpid())
        ours = stack.enter_context(_ours(url, folder))
        theirs = stack.enter_context(_litellms(url, folder))
        sides = (direct, theirs, ours)
        figures: dict[str, list[Figures]] = {side.name: [] for side in sides}
        for _ in range(arguments.rounds):
            for side in sides:
                figures[side.name].append(asyncio.run(_measure(side, arguments.requests)))
        show(
            _rows(*(_medians(figures[side.name]) for side in sides)),
            arguments.rounds,
            "the gateway beside LiteLLM's",
        )
        print(f"\n{CROWD} streams at once:")
        for side in sides:
            whole, seconds, cpu = asyncio.run(_crowd(side))
            spent = "" if side is direct else f", {cpu:.1f} s of CPU"
            print(f"  {side.name:20}{whole} whole, in {seconds:.1f} s{spent}")


if __name__ == "__main__":
    main()
