"""The queries about one relation, and their answers as Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.capture.conversion import Form, convert
from backup_platform.sources.postgres.capture.large_values import LargeValues, expressions
from backup_platform.sources.postgres.capture.ranges import in_key_order
from backup_platform.sources.postgres.capture.storage import select_expression
from backup_platform.sources.postgres.catalog.relation import Relation
from backup_platform.sources.postgres.failures import arrow_errors, postgres_errors
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.tabular.large_rows import LargeRow

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection, Cursor

BATCH_BYTES = 8 << 20  # after which the driver hands out what it has; one row may have more
_BATCH_OPTION = "adbc.postgresql.batch_size_hint_bytes"
Connect = Callable[[], "Connection"]


@contextmanager
def connected(connect: Connect) -> Iterator[Connection]:
    """A connection whose queries give rows in one order, closed in the end."""
    import adbc_driver_manager

    with postgres_errors("The server, asked for a connection to read tables,"):
        connection = connect()
    try:
        with (
            postgres_errors("The server, asked to set up a connection to read tables,"),
            connection.cursor() as cursor,
        ):
            cursor.execute("SET max_parallel_workers_per_gather = 0")
        yield connection
    finally:
        with suppress(adbc_driver_manager.Error):  # a query was left half read, or the server is gone
            connection.close()


def batches(
    connection: Connection, form: Form, condition: str, connect: Connect
) -> Generator[pa.RecordBatch | LargeRow]:
    """The rows of a piece of the relation, in the form's schema. Raises SourceError, `NotNativeError`.

    Close it before the connection. `connect` is for large values.
    """
    schema = form.schema()
    answers = _answers(connection, form, condition)
    with closing(answers), closing(LargeValues(form, lambda: connected(connect))) as values:
        for batch in answers:
            converted = convert(batch, form, schema)
            addresses = batch.column(len(schema)) if form.large else None
            if addresses is None or addresses.null_count == len(addresses):
                yield converted
            else:
                yield from values.split(converted, addresses)
            del batch, converted


def _answers(connection: Connection, form: Form, condition: str) -> Generator[pa.RecordBatch]:
    server = f"The server, asked for the rows of {form.relation.label},"
    with connection.cursor() as cursor:
        with postgres_errors(server):
            reader = _execute(cursor, select(form, condition))
        while True:
            with arrow_errors(server):
                batch = next(reader, None)
            if batch is None:
                return
            yield batch
            del batch


def _execute(cursor: Cursor, query: str) -> pa.RecordBatchReader:
    cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(BATCH_BYTES)})
    cursor.execute(query)
    return cursor.fetch_record_batch()


def select(form: Form, condition: str) -> str:
    """The query for the rows of a piece."""
    relation = form.relation
    query = f"SELECT {', '.join(_selected(form))} FROM {_from(relation, condition)}"  # noqa: S608  names are quoted
    if in_key_order(relation):
        # A bare name would mean the column of the result, which may be the text.
        query += " ORDER BY " + ", ".join(identifier(relation.name, name) for name in relation.key)
    return query


def _selected(form: Form) -> list[str]:
    if form.large:
        return expressions(form)
    pairs = zip(form.relation.columns, form.columns, strict=True)
    return [select_expression(column, stored.storage, raw=form.relation.raw) for column, stored in pairs]


def count_rows(connection: Connection, relation: Relation) -> int:
    """Counts the rows of a relation without stored columns. Raises SourceError."""
    query = f"SELECT pg_catalog.count(*) FROM {_from(relation, '')}"  # noqa: S608  names are quoted
    with (
        postgres_errors(f"The server, asked for the rows of {relation.label},"),
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        return int(cursor.fetch_arrow_table().column(0)[0].as_py())


def _from(relation: Relation, condition: str) -> str:
    only = "ONLY " if relation.only else ""
    conditions = [f"({text})" for text in (relation.condition, condition) if text]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{only}{identifier(relation.schema, relation.name)}{where}"
