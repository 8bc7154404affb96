"""Walk pages of the documentation from top to bottom, as somebody does who copies whatever stands there.

python newcomer.py PAGE … [--until HEADING] [--find-links FOLDER]

It is run by the interpreter of an empty environment, which it fills as the pages say: `pip install …`
installs there, `vllm-connect sim …` is started beside it, and each Python block goes on where the last
stopped.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PORT = "8000"  # which the pages name, and may be taken here


class Walk:
    """What a newcomer has at hand: an interpreter, a terminal, and what was started in another one."""

    def __init__(self, stack: ExitStack, options: list[str]) -> None:
        self._stack = stack
        self._options = options
        self._namespace: dict[str, object] = {"__name__": "__main__"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])

    def follow(self, page: Path, until: str | None = None) -> None:
        """Do what a page says, up to a heading."""
        text = page.read_text("utf-8")
        for language, block in _BLOCK.findall(text.partition(f"\n## {until}\n")[0]):
            block = block.replace(_PORT, self._port)
            if language == "bash":
                for command in commands(block):
                    self._run(command)
            else:
                exec(compile(block, page.name, "exec"), self._namespace)

    def _run(self, command: list[str]) -> None:
        print("$", shlex.join(command), flush=True)
        if command[:2] == ["pip", "install"]:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *self._options, *command[2:]], check=True)
            importlib.invalidate_caches()
        elif command[:2] == ["vllm-connect", "sim"]:
            server = [str(Path(sys.executable).parent / command[0]), *command[1:]]
            process = self._stack.enter_context(subprocess.Popen(server, stdout=subprocess.PIPE, text=True))
            self._stack.callback(process.terminate)
            if process.stdout is None or self._port not in process.stdout.readline():
                raise SystemExit(f"{shlex.join(command)} has not started")
        else:
            raise SystemExit(
                f"a page tells newcomers to run what this walk does not know: {shlex.join(command)}"
            )


def commands(block: str) -> Iterator[list[str]]:
    """The commands of a shell block, without their comments."""
    for line in block.splitlines():
        if command := shlex.split(line, comments=True):
            yield command


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--until", metavar="HEADING", help="where a page is left")
    parser.add_argument("--find-links", metavar="FOLDER", help="where pip looks for distributions, too")
    arguments = parser.parse_args()
    options = ["--find-links", arguments.find_links] if arguments.find_links else []
    with ExitStack() as stack:
        walk = Walk(stack, options)
        for page in arguments.pages:
            print(f"\n{page.name}", flush=True)
            walk.follow(page, arguments.until)


if __name__ == "__main__":
    main()
