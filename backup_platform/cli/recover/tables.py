"""`tables`: the tables of a recovery point, and how their columns are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import session_of
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.domain import words
from backup_platform.domain.model import Json

if TYPE_CHECKING:
    from backup_platform.actions.query.names import SqlName
    from backup_platform.actions.tables.point_tables import SizedTable
    from backup_platform.domain.tables import Table

_TABLES = (
    TableColumn("table"),
    TableColumn("rows", right=True),
    TableColumn("size", right=True, drop=1),
    TableColumn("stored", right=True),
    TableColumn("columns", right=True, drop=2),
    TableColumn("key", drop=3),
)
_COLUMNS = (
    TableColumn("column"),
    TableColumn("type"),
    TableColumn("stored as"),
    TableColumn("null"),
    TableColumn("key"),
)


def tables(
    ctx: typer.Context,
    point: POINT,
    table: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="Show the columns of this table (schema.name, or name)."),
    ] = None,
) -> int:
    """List the tables of a database's recovery point, or the columns of one table.

    "size" is the size of the table as Parquet. "stored" is the space that it takes in the repository; data that several
    tables or points share is counted in each of them. Names are quoted as SQL needs them. In a query, a column that
    is stored as text is a VARCHAR in the database's own notation. A partitioned table is listed beside its
    partitions, and its rows are theirs.

    \b
    Examples:
      backup-platform tables shop@latest
      backup-platform tables shop@latest public.orders
    """
    from backup_platform.actions.query.names import sql_names

    session = session_of(ctx)
    found = session.app.tables.of(session.app.points.find(point).id)
    readable = found.catalogue.readable
    chosen = readable if table is None else (found.find(table),)
    names = dict(zip(readable, sql_names(readable), strict=True))
    stored = list(found.sizes(chosen))
    shown: list[Json] = [_shape(each, names[each.table]) for each in stored]
    session.out.document({"point": found.point.id, "engine": found.catalogue.engine, "tables": shown})
    if table is None:
        _print_tables(session.out, stored, names)
        for text in found.unreadable():
            session.out.line(text)
    else:
        _print_columns(session.out, stored[0], names[stored[0].table])
    return 0


def _print_tables(out: Output, stored: list[SizedTable], names: dict[Table, SqlName]) -> None:
    if not stored:
        out.line("No tables.")
        return
    print_table(out, _TABLES, [_row(each, names[each.table]) for each in stored])


def _row(stored: SizedTable, name: SqlName) -> list[Cell]:
    table = stored.table
    return [
        Cell(name.plain + _partitioned(table)),
        Cell(words.count(table.rows)),
        Cell(words.size(stored.bytes)),
        Cell(words.size(stored.stored_bytes)),
        Cell(words.count(len(table.columns))),
        Cell(", ".join(table.key) or "-"),
    ]


def _print_columns(out: Output, stored: SizedTable, name: SqlName) -> None:
    table = stored.table
    amounts = f"{words.how_many(table.rows, 'row')}, {words.size(stored.bytes)} of Parquet"
    out.line(f"{name.plain}{_partitioned(table)}: {amounts}, {words.size(stored.stored_bytes)} stored")
    rows = [
        [
            Cell(column.name),
            Cell(column.type),
            Cell(column.storage.value),
            Cell("yes" if column.nullable else "no"),
            Cell(str(table.key.index(column.name) + 1) if column.name in table.key else ""),
        ]
        for column in table.columns
    ]
    if rows:
        print_table(out, _COLUMNS, rows)


def _partitioned(table: Table) -> str:
    return "" if table.partitions is None else f" ({words.how_many(table.partitions, 'partition')})"


def _shape(stored: SizedTable, name: SqlName) -> dict[str, Json]:
    table = stored.table
    columns: list[Json] = [
        {"name": c.name, "type": c.type, "storage": c.storage.value, "nullable": c.nullable}
        for c in table.columns
    ]
    return {
        "schema": table.schema,
        "name": table.name,
        "sql_name": name.plain,
        "partitions": table.partitions,
        "rows": table.rows,
        "bytes": stored.bytes,
        "stored_bytes": stored.stored_bytes,
        "key": list(table.key),
        "columns": columns,
    }
