"""One table of a recovery point in memory."""

from __future__ import annotations

from collections.abc import Sequence
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from backup_platform.actions.tables.point_tables import PointTables
from backup_platform.domain.tables import Storage
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from backup_platform.domain.tables import Table


def load(
    tables: PointTables, name: str, *, columns: Sequence[str] | None = None, where: Any = None
) -> pa.Table:
    """The rows, or some columns of the rows that match `where`: a pyarrow expression, or a filter of `read_table`. Only
    the required columns and row groups are read. Raises NotFoundError, UsageError, and the errors of the store."""
    import pyarrow as pa

    table = tables.find(name)
    _check(table, columns)
    wanted = [column.name for column in table.columns] if columns is None else list(columns)
    _check_forms(tables, table, wanted)
    if not table.parts:
        return pa.table({name: pa.array([], pa.string()) for name in wanted})
    try:
        parts = [_part(tables, path, wanted, where) for path in table.parts]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, TypeError) as error:
        raise UsageError(f"{table.label} cannot be filtered: {error}", subject=table.label) from error
    return pa.concat_tables(parts)


def _check(table: Table, columns: Sequence[str] | None) -> None:
    known = [column.name for column in table.columns]
    if unknown := [name for name in columns or () if name not in known]:
        raise UsageError(
            f"{table.label} has no column {unknown[0]!r}.",
            subject=table.label,
            hint=f"Its columns are: {', '.join(known)}.",
        )


def _check_forms(tables: PointTables, table: Table, columns: Sequence[str]) -> None:
    """Text in the engine's notation and native values do not go into one column."""
    leaves = tables.catalogue.leaves(table.label) if table.partitions else []
    stored = {(each.name, each.storage) for leaf in leaves for each in leaf.columns if each.name in columns}
    mixed = sorted(
        name for name, form in stored if form is not Storage.NATIVE and (name, Storage.NATIVE) in stored
    )
    if mixed:
        labels = ", ".join(leaf.label for leaf in leaves)
        raise UsageError(
            f"{table.label} cannot be loaded as a whole: {mixed[0]!r} is text in some of its partitions only.",
            subject=table.label,
            hint=f"Load them one by one ({labels}), or leave that column out.",
        )


def _part(tables: PointTables, path: str, names: Sequence[str], where: Any) -> pa.Table:
    """Read by the calling thread alone.

    `read_table` leaves what it used to threads of Arrow, which end the process when they let go of a Python file
    while the interpreter finishes (github.com/apache/arrow/issues/34314).
    """
    import pyarrow.parquet as pq

    with BufferedReader(tables.stream(path)) as stored:
        file = pq.ParquetFile(stored, pre_buffer=False)
        if where is None:
            return file.read(names, use_threads=False)
        return _filtered(file, names, pq.filters_to_expression(where) if isinstance(where, list) else where)


def _filtered(file: pq.ParquetFile, names: Sequence[str], condition: pc.Expression) -> pa.Table:
    """The rows that fit; in memory are one row group and those."""
    import pyarrow as pa

    schema = file.schema_arrow
    needed = [name for name in schema.names if name in names or _uses(condition, schema, name)]
    groups = (file.read_row_group(group, needed, use_threads=False) for group in _row_groups(file, condition))
    fitting = [_fitting(group, condition) for group in groups]
    return pa.concat_tables([schema.empty_table().select(needed), *fitting]).select(names)


def _fitting(rows: pa.Table, condition: pc.Expression) -> pa.Table:
    """`Table.filter`, which would take threads for it."""
    import pyarrow.acero as acero

    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(rows))
    fitting = acero.Declaration("filter", acero.FilterNodeOptions(condition), inputs=[source])
    return fitting.to_table(use_threads=False)


def _uses(condition: pc.Expression, schema: pa.Schema, name: str) -> bool:
    """Whether the condition needs a column: it cannot be bound without it. An expression does not list its columns."""
    import pyarrow as pa

    try:
        _fitting(schema.remove(schema.get_field_index(name)).empty_table(), condition)
    except pa.ArrowInvalid:
        return True
    return False


def _row_groups(file: pq.ParquetFile, condition: pc.Expression) -> list[int]:
    """The row groups that may have matching rows, by the statistics in the footer."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    footer = pa.BufferOutputStream()
    file.metadata.write_metadata_file(footer)
    fragment = ds.ParquetFileFormat().make_fragment(pa.BufferReader(footer.getvalue()))
    return [group.id for group in fragment.subset(condition, schema=file.schema_arrow).row_groups]
