"""The tables of a database's recovery point in the UI.

Names never change: `tables` and `columns/<schema>.<table>`, and the numbers `table_count` and `rows`. All are
bounded, because they are kept in Dagster's database for each materialisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.domain.tables import Storage
from backup_platform.domain.visible import visible

if TYPE_CHECKING:
    from backup_platform.actions.tables.point_tables import SizedTable
    from backup_platform.domain.tables import Column, Table

MAX_TABLES = 500
MAX_SCHEMAS = 25  # tables whose columns are shown
MAX_COLUMNS = 500  # of all of them

_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("schema", "string"),
        dg.TableColumn("table", "string"),
        dg.TableColumn("rows", "int"),
        dg.TableColumn("bytes", "int", description="size as Parquet"),
        dg.TableColumn("stored_bytes", "int", description="size in the repository, including shared data"),
    ]
)


def tables_metadata(stored: Sequence[SizedTable]) -> dict[str, dg.MetadataValue]:
    """Metadata of tables by name; of many tables, only those that take the most space."""
    largest = sorted(stored, key=lambda each: each.stored_bytes, reverse=True)
    shown = sorted(largest[:MAX_TABLES], key=lambda each: (each.table.schema, each.table.name))
    return {
        "table_count": dg.MetadataValue.int(len(stored)),
        "rows": dg.MetadataValue.int(sum(each.table.rows for each in stored)),
        "tables": dg.MetadataValue.table([_record(each) for each in shown], _SCHEMA),
        **{
            f"columns/{visible(table.label)}": dg.MetadataValue.table_schema(_columns(table))
            for table in _described([each.table for each in largest])
        },
    }


def _record(stored: SizedTable) -> dg.TableRecord:
    table = stored.table
    return dg.TableRecord(
        {
            "schema": visible(table.schema),
            "table": visible(table.name),
            "rows": table.rows,
            "bytes": stored.bytes,
            "stored_bytes": stored.stored_bytes,
        }
    )


def _described(tables: Sequence[Table]) -> Iterator[Table]:
    """The first ones, as long as their columns are not too many."""
    columns = 0
    for table in tables[:MAX_SCHEMAS]:
        columns += len(table.columns)
        if columns > MAX_COLUMNS:
            return
        if table.columns:
            yield table


def _columns(table: Table) -> dg.TableSchema:
    return dg.TableSchema(columns=[_column(column, table.key) for column in table.columns])


def _column(column: Column, key: Sequence[str]) -> dg.TableColumn:
    return dg.TableColumn(
        visible(column.name),
        visible(column.type),
        description=f"stored as {column.storage}" if column.storage is not Storage.NATIVE else None,
        constraints=dg.TableColumnConstraints(
            nullable=column.nullable,
            unique=tuple(key) == (column.name,),
            other=["primary key"] if column.name in key else [],
        ),
    )
