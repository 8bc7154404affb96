"""Where and with what something was measured, in words that tell readers what they may compare with it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import date
from typing import TypedDict


class Machine(TypedDict):
    """Where, when and with what a measurement was made.

    Attributes:
        date: of the run, as 2026-11-29.
        cores: of the CPU that this process may use.
        architecture: of the CPU, as x86_64.
        system: the operating system.
        python: the version.
        versions: of the distributions that were compared.
    """

    date: str
    cores: int
    architecture: str
    system: str
    python: str
    versions: dict[str, str]


def machine(*distributions: str, **versions: str) -> Machine:
    """Look at this machine.

    Args:
        distributions: installed here, whose versions count.
        versions: those that are known otherwise.
    """
    return Machine(
        date=date.today().isoformat(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        architecture=platform.machine(),
        system=platform.system(),
        python=platform.python_version(),
        versions={name: importlib.metadata.version(name) for name in distributions} | versions,
    )


def caption(made: Machine) -> str:
    """One line for a table or a picture."""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    cores = f"{made['cores']} core{'s' * (made['cores'] > 1)}"
    where = f"{cores}, {made['architecture']}, {made['system']}, Python {made['python']}"
    return f"{made['date']}; {where}; {versions}"
