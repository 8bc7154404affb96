"""The command `vllm-connect`: where it begins, with or without the extra `[cli]`."""

from __future__ import annotations

import sys

# What the extras bring; anything else that cannot be imported is a bug, and shows as one.
_OF_EXTRAS = frozenset({"click", "python_multipart", "rich", "starlette", "typer", "uvicorn"})


def main() -> None:
    """Run `vllm-connect` with the arguments of the process."""
    try:
        from .commands.app import app

        app(prog_name="vllm-connect")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _OF_EXTRAS:
            raise
        print(
            f"vllm-connect: {missing.name} is not installed; run: pip install 'vllm-connect[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
