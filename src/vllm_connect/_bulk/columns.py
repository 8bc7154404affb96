"""Batches of columns, as `ray.data` passes them: as rows, and with columns that were added.

A batch is a mapping from names to arrays or lists, a `pandas.DataFrame` or a `pyarrow.Table`. None of these
libraries is imported unless a batch of its own comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Batch = TypeVar("Batch")


def rows_of(batch: object, names: Sequence[str] | None = None) -> list[dict[str, object]]:
    """Return the rows, of Python's own types, without what is null.

    Arrow fills fields that a mapping lacks, where another one has them, with null: "not there".

    Args:
        batch: of any of the kinds.
        names: the columns that are wanted. Default: all.

    Raises:
        KeyError: a column is missing.
        TypeError: it is none of the kinds.
    """
    columns = _columns(batch)
    chosen = columns if names is None else {name: columns[name] for name in names}
    lists = [_list(column) for column in chosen.values()]
    return [_mapping(zip(chosen, values, strict=True)) for values in zip(*lists, strict=True)]


def _columns(batch: Any) -> Mapping[str, object]:
    if isinstance(batch, Mapping):
        return batch
    if hasattr(batch, "column_names"):
        return {name: batch.column(name) for name in batch.column_names}
    if hasattr(batch, "columns"):
        return {name: batch[name] for name in batch.columns}
    kinds = "a mapping from names to arrays, a pandas.DataFrame or a pyarrow.Table"
    raise TypeError(f"a batch is {kinds}, not {type(batch).__name__}")


def _list(column: Any) -> list[object]:
    if hasattr(column, "to_pylist"):
        column = column.to_pylist()
    return [_plain(value) for value in column]


def _plain(value: Any) -> object:
    if isinstance(value, (str, bytes)):
        return value
    if hasattr(value, "tolist"):  # arrays and numbers of numpy, without importing it
        value = value.tolist()
    if isinstance(value, Mapping):
        return _mapping(value.items())
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _mapping(items: Any) -> dict[str, object]:
    plain = ((name, _plain(value)) for name, value in items)
    return {name: value for name, value in plain if value is not None}


def with_columns(batch: Batch, added: Mapping[str, Sequence[object]]) -> Batch:
    """Return a batch of the same kind, which has some columns more or others in their place."""
    table: Any = batch
    if isinstance(table, Mapping):
        return {**table, **added}  # type: ignore[return-value]  # a mapping for a mapping
    if not hasattr(table, "column_names"):
        return table.assign(**added)  # type: ignore[no-any-return]  # pandas'
    import pyarrow

    for name, values in added.items():
        column = pyarrow.array(values)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    return table  # type: ignore[no-any-return]  # pyarrow's
