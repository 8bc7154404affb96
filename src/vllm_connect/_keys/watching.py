"""A configuration file that is looked at again while it is used.

There is no thread and no open file, hence nothing to close: who is about to choose a server looks, at most
once a second, whether the file is another one than before. A file that cannot be used is told of once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ..errors import ConfigError
from .bifrost import ProviderConfig, load_keys

_LOGGER = logging.getLogger("vllm_connect")

INTERVAL = 1.0
"""Seconds between two looks."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a second change would show in the time of the last one, on any file system."""

Signature = tuple[int, int, int, int]


class WatchedFile:
    """A configuration file.

    Args:
        path: where it is.
        clock: seconds, never going back.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._signature = self._sign()
        self._problem: str | None = None
        self._next_look = clock() + INTERVAL
        self.config = load_keys(path)

    def current(self) -> ProviderConfig:
        """Return what the file says, as far as it can be used; the same object while that stays."""
        self.changed()
        return self.config

    def changed(self) -> ProviderConfig | None:
        """Return what the file says now, if it changed and can be used."""
        now = self._clock()
        if now < self._next_look or not self._lock.acquire(blocking=False):
            return None
        try:
            self._next_look = now + INTERVAL
            signature = self._sign()
            if signature is not None and signature == self._signature:
                return None
            self._signature = signature
            return self._load()
        finally:
            self._lock.release()

    def _load(self) -> ProviderConfig | None:
        try:
            config = load_keys(self._path)
        except ConfigError as error:
            if str(error) != self._problem:
                _LOGGER.warning("the configuration stays as it was, since its file cannot be used: %s", error)
            self._problem = str(error)
            return None
        self._problem = None
        if config == self.config:
            return None
        _LOGGER.info("%s has changed: keys %s", self._path, ", ".join(key.name for key in config.keys))
        if _without_choice(config) != _without_choice(self.config):
            _LOGGER.warning(
                "%s: network_config and proxy_config have changed, which takes a new client", self._path
            )
        self.config = config
        return config

    def _sign(self) -> Signature | None:
        """Return what tells the file from what it becomes; None if it is gone, or too fresh to tell."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        if time.time_ns() - status.st_mtime_ns < _SETTLED:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _without_choice(config: ProviderConfig) -> ProviderConfig:
    """Return the part of a configuration that cannot change in a client that is there."""
    return replace(config, keys=(), balance=None, policy=None)
