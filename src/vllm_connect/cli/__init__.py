"""The command `vllm-connect`: where it begins, with or without the extra `[cli]`.

probes      the operations, each with a small request that shows whether a server has it
asking      puts a probe to a server, through either client
outcomes    what came of it
facts       what a server tells of itself
check       facts and outcomes of one server           check_page   … for people
demo        every probe through both clients           demo_page    … for people
sim, serve  the simulator, the gateway
quirks      what goes wrong with servers, and what the client makes of it
app         arguments and exit codes
"""

from __future__ import annotations

import sys

# What the extras bring; anything else that cannot be imported is a bug, and shows as one.
_OF_EXTRAS = {
    "click": "cli",
    "python_multipart": "cli",
    "rich": "cli",
    "starlette": "cli",
    "typer": "cli",
    "uvicorn": "cli",
    "httptools": "serve",
    "jinja2": "serve",
    "prometheus_client": "serve",
}


def main() -> None:
    """Run `vllm-connect` with the arguments of the process."""
    try:
        from .app import app

        app(prog_name="vllm-connect")
    except ModuleNotFoundError as missing:
        extra = _OF_EXTRAS.get((missing.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"vllm-connect: {missing.name} is not installed; run: pip install 'vllm-connect[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(2)
