"""Rows and columns of a results table as arrays; no torch."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.types import AXES


def rows(table: pa.Table, **where: Any) -> pa.Table:
    """The rows whose columns have these values; None means null, a tuple any of its values.

    A column that the sweep does not have is null throughout.
    """
    masks = []
    for name, value in where.items():
        if name not in table.column_names:
            if value is not None:
                return table.slice(0, 0)
            continue
        column = table[name]
        if value is None:
            masks.append(pc.is_null(column))
        elif isinstance(value, tuple):
            masks.append(pc.is_in(column, value_set=pa.array(value, column.type), skip_nulls=False))
        else:
            masks.append(pc.equal(column, pa.scalar(value, column.type)))
    return _filter(table, masks)


def measured(table: pa.Table, *names: str) -> pa.Table:
    """The rows that have a number in each of the columns, none where the sweep lacks one."""
    if not set(names) <= set(table.column_names):
        return table.slice(0, 0)
    return _filter(table, [pc.is_valid(table[name]) for name in names])


def _filter(table: pa.Table, masks: list) -> pa.Table:
    """The rows that every mask lets through, copied once, and not at all where these are all."""
    if not masks:
        return table
    mask = reduce(pc.and_kleene, masks)
    return table if pc.all(mask, skip_nulls=False).as_py() else table.filter(mask)


def array(table: pa.Table, name: str) -> np.ndarray:
    """A column as a NumPy array ``(n,)``: floats with NaN for null, integers, booleans or Python strings."""
    column = table[name]
    if not pa.types.is_string(column.type):
        return column.to_numpy(zero_copy_only=False)
    # each string once, not once a row
    words = column.combine_chunks().dictionary_encode()
    found = np.array([*words.dictionary.to_pylist(), None], dtype=object)
    return found[words.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)]


def values(table: pa.Table, name: str) -> list:
    """The distinct values of a column in ascending order, null left out; none of a column that there is not."""
    if name not in table.column_names:
        return []
    return sorted(value for value in pc.unique(table[name]).to_pylist() if value is not None)


def axes(table: pa.Table, *more: str) -> dict[str, np.ndarray]:
    """The axes of the rows, by name, and more columns; what is null throughout is left out."""
    names = [name for name in (*AXES, *more) if name in table.column_names]
    return {name: array(table, name) for name in names if table[name].null_count < table.num_rows}


def middle(found: list) -> Any:
    """The middle one of some values in order, the upper of two; None of none."""
    return found[len(found) // 2] if found else None


def scalars(table: pa.Table) -> pa.Table:
    """The columns that are no lists."""
    return table.select([field.name for field in table.schema if not pa.types.is_list(field.type)])
