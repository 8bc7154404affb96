"""The command `vllm-connect`: where it begins, with or without the extra `[cli]`.

probes      the operations, each with a small request that shows whether a server has it
asking      puts a probe to a server, through either client
outcomes    what came of it
facts       what a server tells of itself
check       facts and outcomes of one server           check_page   … for people
demo        every probe through both clients           demo_page    … for people
quirks      what goes wrong with servers, and what the client makes of it
app         arguments and exit codes
"""

from __future__ import annotations

import sys

# What the extras bring; anything else that cannot be imported is a bug, and shows as one.
_OF_EXTRAS = frozenset({"click", "python_multipart", "rich", "starlette", "typer", "uvicorn"})


def main() -> None:
    """Run `vllm-connect` with the arguments of the process."""
    try:
        from .app import app

        app(prog_name="vllm-connect")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _OF_EXTRAS:
            raise
        print(
            f"vllm-connect: {missing.name} is not installed; run: pip install 'vllm-connect[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
