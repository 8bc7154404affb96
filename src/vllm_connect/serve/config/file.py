"""The configuration file: read, checked, and written so that no crash and no second writer loses anything.

It holds secrets, so it is its owner's alone (0600). It is replaced as a whole: whoever reads it sees the old
one or the new one. The last one is kept beside it, as NAME.bak. An ETag tells which state an edit began from.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from ..._keys.bifrost import ProviderConfig, load_keys
from ..._keys.document import open_document
from ..._keys.watching import FileInUse
from ..._wire.decoding import JsonObject
from ...errors import ConfigError

_EMPTY: JsonObject = {"providers": {"vllm": {"keys": []}}}


class Changed(Exception):
    """The file is not what the edit began from."""


class Configuration(NamedTuple):
    """A state of the configuration.

    Attributes:
        document: all of it, what this program does not know, too.
        provider: what of it is ours; None where there are no keys.
        etag: names this state.
    """

    document: JsonObject
    provider: ProviderConfig | None
    etag: str


def default_path() -> Path:
    """Return the path of the configuration for which no file was named."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "vllm-connect" / "config.json"


class ConfigFile:
    """A configuration and the file that it is kept in.

    Args:
        path: of the file; None for `default_path`, which need not exist yet.

    Raises:
        ConfigError: the file cannot be used; the message says where in it, and what to do.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_path() if path is None else path
        none_yet = path is None and not self.path.exists()
        first = _configuration(_EMPTY, str(self.path)) if none_yet else None
        self._file = FileInUse(self.path, self._read, first)

    @property
    def current(self) -> Configuration:
        """The configuration in use."""
        return self._file.config

    @property
    def problem(self) -> str:
        """The fault of the file as somebody else has left it; the last good one is in use."""
        return self._file.problem

    def reload(self) -> bool:
        """Read the file again if it has changed; tell whether the configuration is another now."""
        return self._file.look() is not None

    def check(self, document: JsonObject) -> Configuration:
        """Read a document as if the file held it.

        Raises:
            ConfigError: it cannot be used.
        """
        return _configuration(document, str(self.path))

    def write(self, document: JsonObject, etag: str) -> None:
        """Write another configuration.

        Args:
            document: all of it.
            etag: of the state that it was made from.

        Raises:
            Changed: somebody else has written since.
            ConfigError: it cannot be used, or not be written; the file stays what it was.
        """
        on_disk = self._read() if self.path.exists() else self.current
        if etag not in (on_disk.etag, "*"):
            self._file.take(on_disk)
            raise Changed
        written = self.check(document)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                _replace(self.path.with_name(f"{self.path.name}.bak"), self.path.read_bytes())
            _replace(self.path, _encoded(document))
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        self._file.take(written)

    def _read(self) -> Configuration:
        document = open_document(self.path).value
        if isinstance(document, list):
            document = {"keys": document}
        return _configuration(document, str(self.path))


def _configuration(document: Any, source: str) -> Configuration:
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: must be an object, with 'providers' or 'keys'")
    try:
        provider = None if is_empty(document) else load_keys(document)
    except ConfigError as error:
        # The document was read by us, so its own messages do not name the file.
        raise ConfigError(str(error).replace("config:", f"{source}:", 1)) from None
    return Configuration(document, provider, sha256(_encoded(document)).hexdigest()[:32])


def is_empty(document: JsonObject) -> bool:
    """Tell whether a document has no keys yet, in a form that can take some."""
    if not document:
        return True
    providers = document.get("providers")
    if isinstance(providers, dict):
        provider = providers.get("vllm")
        if provider is None or provider == {}:
            return True
    else:
        provider = document
    return isinstance(provider, dict) and "keys" in provider and provider["keys"] in ([], None)


def _encoded(document: JsonObject) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole, for its owner alone."""
    target = path.resolve()  # a link stays one
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    with contextlib.suppress(OSError):  # not every file system can
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
