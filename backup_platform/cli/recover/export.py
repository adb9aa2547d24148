"""`export`: tables of a recovery point as Parquet files."""

from __future__ import annotations

from typing import Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import session_of
from backup_platform.cli.display.names import printable
from backup_platform.domain import words

_RESUME = "Files that are complete stay; catalogue.json is written last."


def export(
    ctx: typer.Context,
    point: POINT,
    to: Annotated[str, typer.Option("--to", metavar="DIR|URL", help="A directory, or the URL of a bucket.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="T", help="Only this table (repeatable). [default: all]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> int:
    """Write tables of a database's recovery point as plain Parquet files, for other programs.

    Each table becomes <schema>/<table>.parquet, or several files with -00000, -00001 … if it is stored in parts. The
    files are compressed with zstd, read back, and compared value by value. catalogue.json has the columns' types in
    the database.

    \b
    Examples:
      backup-platform export shop@latest --to /tmp/shop
      backup-platform export shop@2026-11-21 --to s3://lake/shop --table orders
    """
    session = session_of(ctx)
    session.resume = _RESUME
    found = session.app.points.find(point)
    with session.progress(f"export {point}") as progress:
        done = session.app.tables.export(
            found.id, to, tables=table or [], overwrite=overwrite, progress=progress
        )
    amounts = f"{words.how_many(done.tables, 'table')}, {words.how_many(done.rows, 'row')}"
    session.out.line(f"exported {amounts} to {printable(done.to)}")
    size, rate = words.size(done.bytes), words.rate(done.bytes, done.duration_s)
    session.out.line(f"  {words.how_many(done.files, 'file')}, {size}, written and read back, {rate}")
    session.out.document(
        {
            "point": found.id,
            "to": done.to,
            "tables": done.tables,
            "files": done.files,
            "rows": done.rows,
            "bytes": done.bytes,
            "duration_s": done.duration_s,
        }
    )
    return 0
