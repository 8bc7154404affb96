"""A configuration document whose every complaint says where it is, and never quotes a secret."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .references import kind_of

# What somebody meant who wrote a field where it does not belong.
_MEANT = {
    "url": "vllm_key_config.url",
    "model_name": "vllm_key_config.model_name",
    "api_key": "value",
    "base_url": "vllm_key_config.url of each key",
}


def warn(message: str) -> None:
    """Say something about a configuration that still works."""
    logging.getLogger("vllm_connect").warning(message)


def open_document(config: Any) -> Node:
    """Open a file or a mapping.

    Raises:
        ConfigError: it cannot be read.
    """
    if isinstance(config, (Mapping, list, tuple)):
        return Node(config, "config", "")
    # A path is quoted when it cannot be read; JSON text, with the secrets in it, must not be.
    if not isinstance(config, (str, os.PathLike)) or str(config).lstrip()[:1] in ("{", "["):
        raise ConfigError(
            "config must be the path of a file, or a mapping (json.loads makes one of JSON text)"
        )
    path = Path(config)
    try:
        return Node(json.loads(path.read_text("utf-8-sig"), object_pairs_hook=_object), str(path), "")
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except UnicodeDecodeError:
        problem = "is not in UTF-8"
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except KeyError as error:
        problem = f"has the field {error} twice in the same object"
    # Not inside `except`: the errors there carry the text of the file with them.
    raise ConfigError(f"{path}: {problem}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise KeyError(name)
        made[name] = value
    return made


_REDACTED = re.compile(r"\*+|.{4}\*{24}.{4}|<redacted>")
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Node:
    """A value of the document, and where it is."""

    value: Any = field(repr=False)
    source: str
    path: str

    def __getitem__(self, name: str) -> Node:
        value = self.value.get(name) if isinstance(self.value, Mapping) else None
        return Node(value, self.source, f"{self.path}.{name}".lstrip("."))

    def error(self, problem: str) -> ConfigError:
        """The exception that says what is wrong here."""
        return ConfigError(f"{self._at()}: {problem}")

    def _at(self) -> str:
        return f"{self.source}: {self.path}" if self.path else self.source

    def mapping(self) -> Mapping[str, object]:
        """The object here, empty if there is none."""
        if self.value is not None and not isinstance(self.value, Mapping):
            raise self.error(f"must be an object, not {kind_of(self.value)}")
        return self.value or {}

    def check_fields(
        self, carried: str, ignored: str = "", without_effect: str = "", *, strict: bool = True
    ) -> None:
        """Refuse fields that are not known; if not strict, or of no effect here, warn."""
        for name, value in self.mapping().items():
            if value is None or name in carried.split() or name in ignored.split():
                continue
            near = (
                [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(str(name), carried.split(), 1)
            )
            hint = f": did you mean {near[0]}?" if near else ""
            if strict and name not in without_effect.split():
                raise self[name].error(f"unknown field{hint or f'; known are {carried}'}")
            if value not in (False, 0, "", [], {}):
                warn(f"{self[name]._at()} has no effect in this client{hint}")

    def secret(self) -> str | None:
        """A string that may be a reference, in any of the forms that Bifrost writes."""
        value = self.value
        if isinstance(value, str) and value[:1] in ('"', "{"):
            with contextlib.suppress(ValueError):
                quoted = json.loads(value)
                if isinstance(quoted, str) or "value" in quoted:
                    return Node(quoted, self.source, self.path).secret()
        if isinstance(value, Mapping):
            self.check_fields("value env_var from_env type ref")
            reference = value.get("env_var") or value.get("ref")
            if value.get("type") not in (None, "plain_text", "env"):
                raise self.error(
                    f"is kept in a {value['type']}, which this client cannot open: use 'env.NAME'"
                )
            if reference and (
                value.get("from_env") or value.get("type") == "env" or reference == value.get("value")
            ):
                value = f"env.{str(reference).removeprefix('env.')}"
            else:
                value = value.get("value")
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.error(f"must be a string, not {kind_of(value)}")
        if _REDACTED.fullmatch(value):
            raise self.error(
                "is what Bifrost shows in place of a secret: put the secret, or 'env.NAME', here"
            )
        return value

    def number(self, *, whole: bool = False) -> Any:
        """A positive number; None if there is none, or 0, which is Bifrost's way to say "the default"."""
        value = self.value
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise self.error(f"must be a {'whole ' if whole else ''}number, not {kind_of(value)}")
        if not 0 <= value < 1e9:
            raise self.error("must not be negative, nor out of all proportion")
        return value or None

    def duration(self) -> float | None:
        """Seconds, from milliseconds or from what Go calls a duration: ``"500ms"``, ``"1m30s"``."""
        if not isinstance(self.value, str):
            milliseconds = self.number()
            return milliseconds / 1000 if milliseconds else None
        if _DURATION.sub("", self.value) or not self.value:
            raise self.error('must be milliseconds, or a duration such as "500ms", "5s" or "1m30s"')
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(self.value)) or None

    def flag(self) -> bool:
        """True or false; false if there is nothing."""
        if self.value is not None and not isinstance(self.value, bool):
            raise self.error(f"must be true or false, not {kind_of(self.value)}")
        return bool(self.value)
