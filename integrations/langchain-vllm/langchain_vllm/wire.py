"""Values that go over the wire, and those that are read from it."""

from typing import Any

Json = dict[str, Any]
"""An object of JSON."""
