"""JSON bytes in, plain values out; also what Python writes and JSON does not know."""

from __future__ import annotations

import json
from typing import Any

import orjson

JsonObject = dict[str, Any]
"""A JSON object; what its values are, who reads them knows."""


def loads(data: bytes) -> Any:
    """Decode JSON; NaN, Infinity and a byte order mark are taken as they are meant.

    Servers in Python write such numbers, and proxies such marks.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode("utf-8-sig", "replace")
        if text.lstrip()[:1] not in ("{", "["):
            raise
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
