"""Values as a caller may give them: dictionaries, or the SDK's own models, as replayed output items are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """A mapping, or a model as one.

    Args:
        value: what a caller gave.
        where: what it is, for the error.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True, warnings=False)
    raise TypeError(f"{where} must be a dictionary or a model of the SDK, not {type(value).__name__}")
