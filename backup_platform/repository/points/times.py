"""Times in an inventory: nanoseconds where all of them fit into 64 bits, else also seconds (FORMAT.md §6)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

SECOND = 1_000_000_000
TIMES = ("mtime", "ctime")
NEAR = tuple(pa.field(f"{name}_ns", pa.int64()) for name in TIMES)
FAR = tuple(
    field
    for name in TIMES
    for field in (pa.field(f"{name}_s", pa.int64()), pa.field(f"{name}_n", pa.uint32()))
)


def is_far(rows: pa.Table) -> bool:
    return FAR[0].name in rows.schema.names


def far_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns, with times in seconds and nanoseconds."""
    fields = list(schema)
    first = schema.get_field_index(NEAR[0].name)
    return pa.schema([*fields[:first], *FAR, *fields[first + len(NEAR) :]])


def numbers(values: Any, code: str, kind: pa.DataType) -> pa.Array:
    """Raises OverflowError when a value has no place in the type."""
    packed = array(code, values)
    return pa.Array.from_buffers(kind, len(packed), [None, pa.py_buffer(packed)])


def time_arrays(times: Sequence[Sequence[int]]) -> tuple[list[pa.Array], bool]:
    """The columns of modification and change times, and whether they have the far form."""
    try:
        return [numbers(values, "q", pa.int64()) for values in times], False
    except OverflowError:
        return [column for values in times for column in _far(values)], True


def _far(values: Sequence[int]) -> list[pa.Array]:
    return [
        numbers([value // SECOND for value in values], "q", pa.int64()),
        numbers([value % SECOND for value in values], "I", pa.uint32()),
    ]


def times_of(rows: pa.Table, name: str) -> list[int]:
    """All modification times (`mtime`) or change times (`ctime`), in nanoseconds."""
    if not is_far(rows):
        return list(rows.column(f"{name}_ns").to_pylist())
    seconds, parts = (rows.column(f"{name}_{unit}").to_pylist() for unit in "sn")
    return [second * SECOND + part for second, part in zip(seconds, parts, strict=True)]


def narrowed(rows: pa.Table) -> pa.Table:
    """The near form, where every time fits."""
    if not is_far(rows):
        return rows
    arrays, far = time_arrays([times_of(rows, name) for name in TIMES])
    return rows if far else _replaced(rows, arrays, FAR, NEAR)


def widened(rows: pa.Table) -> pa.Table:
    """The far form."""
    if is_far(rows):
        return rows
    arrays = [column for name in TIMES for column in _far(times_of(rows, name))]
    return _replaced(rows, arrays, NEAR, FAR)


def _replaced(
    rows: pa.Table, arrays: list[pa.Array], old: Sequence[pa.Field], new: Sequence[pa.Field]
) -> pa.Table:
    first = rows.schema.get_field_index(old[0].name)
    columns, fields = list(rows.columns), list(rows.schema)
    columns[first : first + len(old)] = arrays
    fields[first : first + len(old)] = new
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, in one form."""
    if any(map(is_far, tables)):
        tables = [widened(rows) for rows in tables]
    return pa.concat_tables(tables)


def comparable(rows: pa.Table, name: str, values: Sequence[int]) -> tuple[Any, Any]:
    """The times of rows, and some others, as arrays that compare exactly."""
    if not is_far(rows):
        try:
            return column(rows, f"{name}_ns", "<i8"), np.fromiter(values, "<i8", len(values))
        except OverflowError:
            pass
    return np.array(times_of(rows, name), object), np.array(values, object)


def column(rows: pa.Table, name: str, dtype: str) -> Any:
    """A column of numbers without nulls."""
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in rows.column(name).chunks
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
