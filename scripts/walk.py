"""Count how often a call changes from one of our files to another, and how many functions it takes.

python -m scripts.walk [CALL …] [--show]

    files      of the package that the call enters
    stays      uninterrupted runs of function calls in one file
    returns    stays in a file that was entered before: stays - files
    calls      Python functions of the package that are called, resumed coroutines included

A client of one server makes each call against the simulator, synchronously and after one like it, so that
what is made once is not counted. What the SDK, httpx and the rest do in between is left out: it interrupts no
stay. Replies arrive in one piece, so that the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import gc
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from openai.types.chat import ChatCompletionMessageParam

import vllm_connect
from vllm_connect import VLLM
from vllm_connect.sim import SimServer

_PACKAGE = str(Path(vllm_connect.__file__).parent) + "/"
_MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why is the sky blue?"},
]


class Step(NamedTuple):
    """A function call.

    Attributes:
        file: of the function, from the package's root.
        function: its name.
    """

    file: str
    function: str


class Walk(NamedTuple):
    """The function calls of one call of an operation, in their order."""

    steps: list[Step]

    @property
    def files(self) -> int:
        """How many files it enters."""
        return len({step.file for step in self.steps})

    @property
    def stays(self) -> int:
        """How often it enters one."""
        return sum(1 for _ in groupby(step.file for step in self.steps))

    @property
    def returns(self) -> int:
        """How often it enters one that it was in before."""
        return self.stays - self.files


@contextmanager
def traced(steps: list[Step]) -> Iterator[None]:
    """Add the function calls of this thread to a list."""

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        # When an object of a call before is finalized is no matter of this one.
        if event == "call" and code.co_filename.startswith(_PACKAGE) and code.co_name != "__del__":
            steps.append(Step(code.co_filename.removeprefix(_PACKAGE), code.co_name))

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # finalizers of something else are no part of it
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        gc.enable()


def _chat(client: VLLM) -> None:
    client.chat.completions.create(model="sim-chat", messages=_MESSAGES, max_tokens=5)


def _chat_stream(client: VLLM) -> None:
    for _ in client.chat.completions.create(model="sim-chat", messages=_MESSAGES, max_tokens=5, stream=True):
        pass


def _rerank(client: VLLM) -> None:
    client.rerank.create(query="sky", documents=["blue", "green"])


def _embeddings(client: VLLM) -> None:
    client.embeddings.create(input=["blue", "green"])


def _models(client: VLLM) -> None:
    client.models.list()


def _response(client: VLLM) -> None:
    client.responses.create(model="sim-chat", input="Why is the sky blue?", max_output_tokens=5)


def _response_stream(client: VLLM) -> None:
    for _ in client.responses.create(
        model="sim-chat", input="Why is the sky blue?", max_output_tokens=5, stream=True
    ):
        pass


CALLS: dict[str, Callable[[VLLM], None]] = {
    "chat": _chat,
    "chat-stream": _chat_stream,
    "rerank": _rerank,
    "embeddings": _embeddings,
    "models": _models,
    "responses": _response,
    "responses-stream": _response_stream,
}
"""What can be walked, by name."""


class _Relay(socketserver.StreamRequestHandler):
    """Hands requests on to a server, and each reply back in one piece."""

    server: _RelayServer

    def handle(self) -> None:
        while (line := self.rfile.readline()).strip():
            head = line + b"".join(iter(self.rfile.readline, b"\r\n"))
            length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
            body = self.rfile.read(int(length[1])) if length else b""
            with socket.create_connection(self.server.target) as target:
                target.sendall(head + b"connection: close\r\n\r\n" + body)
                reply = b"".join(iter(lambda: target.recv(65536), b""))
            self.wfile.write(re.sub(rb"(?i)\r\nconnection: close\r\n", b"\r\n", reply, count=1))


class _RelayServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target = target


@contextmanager
def _in_one_piece(url: str) -> Iterator[str]:
    """The URL of a server whose replies are those of another, in one piece."""
    host, _, port = url.removeprefix("http://").partition(":")
    with _RelayServer((host, int(port))) as relay:
        threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{relay.server_address[1]}"
        relay.shutdown()


def walk(name: str) -> Walk:
    """Trace a call: the shortest of three, since a busy machine may cut a reply or let a connection expire.

    Args:
        name: which, see `CALLS`.
    """
    walks: list[list[Step]] = [[], [], []]
    with SimServer() as sim, _in_one_piece(sim.url) as url, VLLM(url) as client:
        CALLS[name](client)
        for steps in walks:
            with traced(steps):
                CALLS[name](client)
    return Walk(min(walks, key=len))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.walk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("calls", nargs="*", metavar="CALL", help=f"default: all of {', '.join(CALLS)}")
    parser.add_argument("--show", action="store_true", help="list the functions, a line for each stay")
    arguments = parser.parse_args()
    if unknown := set(arguments.calls) - CALLS.keys():
        parser.error(f"no such call: {', '.join(sorted(unknown))}")
    print(f"{'':18} files  stays  returns  calls")
    for name in arguments.calls or CALLS:
        found = walk(name)
        print(f"{name:18} {found.files:5}  {found.stays:5}  {found.returns:7}  {len(found.steps):5}")
        if arguments.show:
            for file, steps in groupby(found.steps, key=lambda step: step.file):
                print(f"    {file:32} {', '.join(step.function for step in steps)}")


if __name__ == "__main__":
    main()
