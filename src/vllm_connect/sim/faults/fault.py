"""A fault: its name and its values, as code or as the text of an `X-Sim-Fault` header."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

NAMES: dict[str, dict[str, Any]] = {}
"""Every fault and the values it takes, with their defaults."""

_UNASKED = frozenset({"/health", "/ping", "/version", "/load", "/metrics"})


_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {}


def declare(name: str, **defaults: Any) -> None:
    """Make a fault known.

    Args:
        name: its name.
        **defaults: its values. Those given are read as the types of their defaults; where the default is
            a tuple, they must be in it, and the first is the default.
    """
    NAMES[name] = {}
    for key, default in defaults.items():
        if isinstance(default, tuple):
            _CHOICES[name, key] = default
            default = default[0]
        NAMES[name][key] = default


class Fault:
    """Something that goes wrong with a request.

    Args:
        name: which fault; see `vllm_connect.sim.faults` for the table.
        path: only requests whose path matches (`*` stands for anything). By default every path but
            `/health`, `/ping`, `/version`, `/load` and `/metrics`.
        times: how many matching requests it happens to; `None` for all of them.
        **values: the fault's own values.

    Raises:
        ValueError: there is no such fault, it has no such value, or the value cannot be that.
    """

    def __init__(self, name: str, *, path: str | None = None, times: int | None = 1, **values: Any) -> None:
        defaults = NAMES.get(name)
        if defaults is None:
            raise ValueError(f"no such fault: {name!r}; there are {', '.join(sorted(NAMES))}")
        self.name, self.path, self.times = name, path, times
        self.values: dict[str, Any] = dict(defaults)
        for key, value in values.items():
            if key not in defaults:
                known = ", ".join(defaults) or "none"
                raise ValueError(f"fault {name!r} has no value {key!r}; it has: {known}")
            self.values[key] = _like(defaults[key], value)
            choices = _CHOICES.get((name, key))
            if choices and self.values[key] not in choices:
                raise ValueError(f"{key} of fault {name!r} is one of {', '.join(filter(None, choices))}")

    @classmethod
    def of(cls, fault: Fault | str) -> Fault:
        """A fault from its text: `name; key=value; key=value`."""
        if isinstance(fault, Fault):
            return fault
        name, *pairs = (part.strip() for part in fault.split(";"))
        values: dict[str, Any] = {}
        for pair in filter(None, pairs):
            key, _, value = pair.partition("=")
            values[key.strip()] = value.strip()
        times, path = values.pop("times", "1"), values.pop("path", None)
        return cls(name, path=path, times=None if times == "always" else int(times), **values)

    @classmethod
    def all_of(cls, text: str) -> list[Fault]:
        """The faults of a header, separated by commas; they all happen to the one request."""
        return [cls.of(part) for part in text.split(",") if part.strip()]

    def possible(self, reused: bool) -> bool:
        """Return whether it can happen on a connection that is reused, or on one that is not."""
        return reused or self.name != "drop_reused"

    def matches(self, path: str) -> bool:
        """Return whether it happens to requests for this path."""
        return fnmatchcase(path, self.path) if self.path else path not in _UNASKED

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def __repr__(self) -> str:
        values = "".join(f", {key}={value!r}" for key, value in self.values.items())
        return f"Fault({self.name!r}, path={self.path!r}, times={self.times!r}{values})"


def _like(default: Any, value: Any) -> Any:
    """A value of the default's type, read from text if it is text."""
    if not isinstance(value, str) or isinstance(default, str):
        return str(value) if isinstance(default, str) else value
    if isinstance(default, bool):
        return value.lower() in ("1", "true", "yes", "on")
    if isinstance(default, int):
        return int(value)
    return float(value) if isinstance(default, float) else value
