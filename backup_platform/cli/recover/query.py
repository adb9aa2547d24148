"""`query`: SQL over a recovery point, printed or written to a file."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.replacing import replaced
from backup_platform.cli.recover.rows import (
    TIME_LIMIT_HELP,
    Format,
    Written,
    row_limit,
    time_limit,
    write_rows,
)
from backup_platform.domain import words
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    from backup_platform.actions.query.results import Form
    from backup_platform.domain.model import RecoveryPoint

FORMATS: tuple[Format, ...] = get_args(Format)


def query(
    ctx: typer.Context,
    point: POINT,
    sql: Annotated[
        str,
        typer.Argument(metavar="SQL", help="One query in DuckDB's SQL, or - to read it from standard input."),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="table, csv, json or parquet. [default: the one that FILE's name ends with, or table]",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to this file. An old file is replaced at the end."
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="N", help="Return at most this many rows.")
    ] = None,
    longest: Annotated[str | None, typer.Option("--time-limit", metavar="TIME", help=TIME_LIMIT_HELP)] = None,
) -> int:
    """Run a SQL query on a database's recovery point, without restoring it. Only the needed data is read.

    A table is schema.name, or name alone if only one schema has that name. `backup-platform tables` lists them.
    Columns that are stored as text are VARCHAR. The query runs in DuckDB, without access to files or the network.

    In csv, NULL is empty and an empty text is "". Bytes are \\x and hexadecimal digits, and times are in UTC. --json
    is the same as --format json; with --output it describes the file that was written.

    \b
    Examples:
      backup-platform query shop@latest "select count(*) from orders"
      backup-platform query shop@2026-11-21 "from orders where id = 17" --json
      backup-platform query shop@latest "from public.orders" --output orders.parquet
    """
    session = session_of(ctx)
    chosen, most, within = _format(session, form, output), row_limit(limit), time_limit(longest)
    text = sys.stdin.read() if sql == "-" else sql
    if chosen == "parquet" and output is None and session.out.terminal:
        raise UsageError(
            "Parquet cannot be shown on a terminal.", hint="Write it to a file with --output FILE."
        )
    found = session.app.points.find(point)
    if output is None:
        session.json = chosen == "json"  # of a failure, too
        _run(session, found, text, chosen, session.out, most, within)
        return 0
    with replaced(output) as file:
        out = Output(io.TextIOWrapper(file, encoding="utf-8", newline=""), json=False)
        written = _run(session, found, text, chosen, out, most, within)
        out.flush()
        size = file.seek(0, os.SEEK_END)
    session.out.line(f"{words.how_many(written.rows, 'row')}, {words.size(size)} written to {output}")
    session.out.document(
        {
            "point": found.id,
            "output": output,
            "format": chosen,
            "rows": written.rows,
            "more": written.more,
            "bytes": size,
        }
    )
    return 0


def _format(session: CliSession, form: str | None, output: str | None) -> Format:
    if form is None:
        ending = os.path.splitext(output or "")[1].removeprefix(".")
        form = ending if ending in FORMATS else "json" if session.json and output is None else "table"
    if form not in FORMATS:
        raise UsageError(f"{form!r} is not a format.", hint=f"Formats are {', '.join(FORMATS)}.")
    if session.json and output is None and form != "json":
        raise UsageError(f"--json and --format {form} contradict each other.", hint="Give one of them.")
    return next(known for known in FORMATS if known == form)


def _run(
    session: CliSession,
    found: RecoveryPoint,
    sql: str,
    chosen: Format,
    out: Output,
    most: int | None,
    within: float | None,
) -> Written:
    values: Form = "json" if chosen == "json" else "native" if chosen == "parquet" else "text"
    with session.app.tables.query(found.id, sql, form=values, time_limit_s=within) as result:
        return write_rows(result, chosen, out, found.id, most)
