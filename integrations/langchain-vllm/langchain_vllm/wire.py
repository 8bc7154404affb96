"""What goes over the wire, and what is read from it."""

from typing import Any

Json = dict[str, Any]
"""An object of JSON."""
