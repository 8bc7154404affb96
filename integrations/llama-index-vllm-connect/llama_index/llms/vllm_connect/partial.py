"""Objects of a class that are still being written.

They are never of the class itself, so that none can be taken for a whole one: `isinstance(x, FlexibleModel)`,
which is LlamaIndex's own mark, tells them apart, even where all fields that are due are there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import from_json


def partial_object(text: str, output_cls: type[BaseModel]) -> FlexibleModel | None:
    """Read the beginning of an object.

    Args:
        text: The JSON so far, whose last string may lack its end.
        output_cls: The class of the whole.

    Returns:
        Its fields under their names: the class's own values where it would accept what is there, else plain
        data. None if there is no object yet.
    """
    try:
        begun = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None
    if not isinstance(begun, dict):
        return None
    try:
        whole = output_cls.model_validate(begun)
    except Exception:  # noqa: BLE001 a validator may trip over a half written value
        values = dict(_by_name(begun, output_cls.model_fields))
    else:
        values = {name: getattr(whole, name) for name in whole.model_fields_set}
    return _flexible(output_cls).model_construct(**values)


@lru_cache(256)
def _flexible(output_cls: type[BaseModel]) -> type[FlexibleModel]:
    return create_flexible_model(output_cls)


def _by_name(begun: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> Iterator[tuple[str, Any]]:
    """Values under the names of fields, which may have others in JSON."""
    names = {alias: name for name, field in fields.items() for alias in _aliases(field)}
    for key, value in begun.items():
        yield names.get(key, key), value


def _aliases(field: FieldInfo) -> list[str]:
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)]
