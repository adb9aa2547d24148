"""Relations as tests read them: described from the catalogue, read inside one exported snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
from adbc_driver_manager.dbapi import Connection

from backup_platform.sources.postgres.connecting import adbc_uri, connect
from backup_platform.sources.postgres.relation import Relation, RelationColumn
from backup_platform.sources.postgres.settings import pin_statement

_RELATION = """
SELECT c.oid::int8, n.nspname, c.relname, c.relpages, c.reltuples, pg_table_size(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, n)
             JOIN pg_attribute a ON a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid ORDER BY k.n)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::regclass"""
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), atttypid::int8, atttypmod, attnotnull
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum"""
_CORRELATION = "SELECT correlation FROM pg_stats WHERE (schemaname, tablename, attname) = (%s, %s, %s)"


def relation_of(connection: psycopg.Connection, name: str, **changes: object) -> Relation:
    """The relation that `name`, in SQL's writing, means."""
    row = connection.execute(_RELATION, (name,)).fetchone()
    assert row is not None
    oid, schema, table, pages, rows, size, key = row
    columns = tuple(RelationColumn(*found) for found in connection.execute(_COLUMNS, (name,)))
    first = (schema, table, key[0] if key else "")
    correlation = next((found[0] for found in connection.execute(_CORRELATION, first)), None)
    found = Relation(oid, schema, table, columns, tuple(key), pages, rows, size, correlation)
    return replace(found, **changes)  # type: ignore[arg-type]


@contextmanager
def snapshot(url: str) -> Iterator[Callable[[], Connection]]:
    """What gives connections that see the database as it is now."""
    import adbc_driver_postgresql.dbapi as dbapi

    holder = connect(url)
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    identity = holder.execute("SELECT pg_export_snapshot()").fetchone()
    assert identity is not None

    def open_one() -> Connection:
        connection: Connection = dbapi.connect(adbc_uri(url), autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(pin_statement())
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{identity[0]}'")
        return connection

    with holder:
        yield open_one
