"""A configuration file that is looked at again while it is used.

There is no thread and no open file, hence nothing to close: who is about to choose a server looks, at most
once a second, whether the file is another one than before. A file that cannot be used is told of once, and
what it said before stays in use. The gateway, which reads more of such a file, looks in the same way.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from ..errors import ConfigError
from .bifrost import ProviderConfig, load_keys

_LOGGER = logging.getLogger("vllm_connect")

INTERVAL = 1.0
"""Seconds between two looks."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a second change would show in the time of the last one, on any file system."""

T = TypeVar("T")

Signature = tuple[int, int, int, int]
_GONE: Signature = (0, 0, 0, 0)


class FileInUse(Generic[T]):
    """A configuration file, and what it said when it could be used last.

    Args:
        path: where it is.
        read: reads it; raises `ConfigError` if it cannot be used.
        first: what is in use until the file is there; None reads it now.

    Attributes:
        config: what is in use.
        problem: what is wrong with the file as it is now, ``""`` if nothing is.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], read: Callable[[], T], first: T | None = None) -> None:
        self._path = path
        self._read = read
        self._signature = self._sign()  # before it is read: what changes meanwhile shows
        self.problem = ""
        self.config = read() if first is None else first

    def take(self, config: T) -> None:
        """Use what was read, or written, at another place."""
        self.config, self.problem = config, ""

    def look(self) -> T | None:
        """Return what the file says now, if it changed and can be used."""
        signature = self._sign()
        if signature is not None and signature == self._signature:
            return None
        self._signature = signature
        try:
            config = self._read()
        except ConfigError as error:
            if str(error) != self.problem:
                _LOGGER.warning("the configuration stays as it was, since its file cannot be used: %s", error)
            self.problem = str(error)
            return None
        self.problem = ""
        if config == self.config:
            return None
        self._note(config)
        self.config = config
        return config

    def _note(self, config: T) -> None:
        """Say what changes."""

    def _sign(self) -> Signature | None:
        """Return what tells the file from what it becomes; None if it is too fresh to tell."""
        try:
            status = os.stat(self._path)
        except OSError:
            return _GONE
        if time.time_ns() - status.st_mtime_ns < _SETTLED:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class WatchedFile(FileInUse[ProviderConfig]):
    """A configuration file that many threads look at, whenever they need it.

    Args:
        path: where it is.
        clock: seconds, never going back.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_look = clock() + INTERVAL
        super().__init__(path, lambda: load_keys(path))

    def current(self) -> ProviderConfig:
        """Return what the file says, as far as it can be used; the same object while that stays."""
        self.changed()
        return self.config

    def changed(self) -> ProviderConfig | None:
        """Return what the file says now, if it changed and can be used; looks once a second."""
        now = self._clock()
        if now < self._next_look or not self._lock.acquire(blocking=False):
            return None
        try:
            self._next_look = now + INTERVAL
            return self.look()
        finally:
            self._lock.release()

    def _note(self, config: ProviderConfig) -> None:
        _LOGGER.info("%s has changed: keys %s", self._path, ", ".join(key.name for key in config.keys))
        if _without_choice(config) != _without_choice(self.config):
            _LOGGER.warning(
                "%s: network_config and proxy_config have changed, which takes a new client", self._path
            )


def check_watched(arguments: Mapping[str, object]) -> str:
    """Return the path of a configuration that is to be followed.

    Args:
        arguments: of a client, and `config`.

    Raises:
        ConfigError: the configuration is no file, or there are keys besides.
    """
    config = arguments.get("config")
    if not isinstance(config, (str, os.PathLike)):
        raise ConfigError("watch=True needs the path of a configuration file")
    if "keys" in arguments:
        raise ConfigError("pass either watch=True, for the keys of the file, or keys=[…]")
    return os.fspath(config)


def _without_choice(config: ProviderConfig) -> ProviderConfig:
    """Return the part of a configuration that cannot change in a client that is there."""
    return replace(config, keys=(), balance=None, policy=None)
