"""Rows and columns of a results table as arrays; no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.types import AXES


def rows(table: pa.Table, **where: Any) -> pa.Table:
    """The rows whose columns have these values; None means null, a tuple any of its values."""
    for name, value in where.items():
        column = table[name]
        if value is None:
            mask = pc.is_null(column)
        elif isinstance(value, tuple):
            mask = pc.is_in(column, value_set=pa.array(value, column.type), skip_nulls=False)
        else:
            mask = pc.equal(column, pa.scalar(value, column.type))
        table = table.filter(mask)
    return table


def measured(table: pa.Table, *names: str) -> pa.Table:
    """The rows that have a number in each of the columns."""
    for name in names:
        table = table.filter(pc.is_valid(table[name]))
    return table


def array(table: pa.Table, name: str) -> np.ndarray:
    """A column as a NumPy array ``(n,)``: floats with NaN for null, integers, booleans or Python strings."""
    return table[name].to_numpy(zero_copy_only=False)


def values(table: pa.Table, name: str) -> list:
    """The distinct values of a column in ascending order, null left out."""
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
