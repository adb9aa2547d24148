"""One table of a recovery point in memory."""

from __future__ import annotations

from collections.abc import Sequence
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from backup_platform.actions.tables import PointTables
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.domain.tables import Table


def load(
    tables: PointTables, name: str, *, columns: Sequence[str] | None = None, where: Any = None
) -> pa.Table:
    """The rows, or some columns of those that `where` fits: a pyarrow expression, or a filter of `read_table`.

    Only the columns and row groups that are asked for are read. Raises NotFoundError, UsageError, and what the
    store raises.
    """
    import pyarrow as pa

    table = tables.find(name)
    _check(table, columns)
    try:
        parts = [_part(tables, path, columns, where) for path in table.parts]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, TypeError) as error:
        raise UsageError(f"{table.label} cannot be filtered like that: {error}") from error
    return pa.concat_tables(parts)


def _check(table: Table, columns: Sequence[str] | None) -> None:
    known = [column.name for column in table.columns]
    if unknown := [name for name in columns or () if name not in known]:
        raise UsageError(
            f"{table.label} has no column {unknown[0]!r}.", hint=f"Its columns are: {', '.join(known)}."
        )


def _part(tables: PointTables, path: str, columns: Sequence[str] | None, where: Any) -> pa.Table:
    import pyarrow.parquet as pq

    with BufferedReader(tables.stream(path)) as file:
        return pq.read_table(file, columns=None if columns is None else list(columns), filters=where)
