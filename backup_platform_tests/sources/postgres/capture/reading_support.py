"""Relations as tests read them: described from the catalogue, read inside one exported snapshot."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_manager.dbapi import Connection

from backup_platform.domain.model import Content, Entry, Stat, StreamRef
from backup_platform.domain.ports import Buffer, Chunking, Recorder
from backup_platform.domain.tables import Table
from backup_platform.sources.postgres.capture.tables import read_tables
from backup_platform.sources.postgres.catalog.relation import Relation, RelationColumn
from backup_platform.sources.postgres.connect.connections import adbc_uri, connect
from backup_platform.sources.postgres.connect.settings import pin_statement
from backup_platform.sources.tabular.stored import StoredTable
from backup_platform_tests.support import QuietProgress

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
        try:
            with connection.cursor() as cursor:
                cursor.execute(pin_statement())
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute(f"SET TRANSACTION SNAPSHOT '{identity[0]}'")
        except BaseException:
            connection.close()
            raise
        return connection

    with holder:
        yield open_one


class MemoryRecorder:
    """`ports.Recorder` of streams only, in memory. The content of a stream is its number."""

    def __init__(self) -> None:
        self.streams: list[list[bytes]] = []
        self._lock = threading.Lock()

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        assert chunking is not None
        chunks = [bytes(chunk) for chunk in chunking.cut(blocks)]
        with self._lock:
            self.streams.append(chunks)
            return StreamRef(sum(map(len, chunks)), Content((len(self.streams) - 1).to_bytes(32, "big")))

    def blob(self, data: Buffer) -> bytes:
        raise NotImplementedError

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        raise NotImplementedError

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        raise NotImplementedError

    def chunks(self, ref: StreamRef) -> list[bytes]:
        return self.streams[int.from_bytes(ref.content.blobs, "big")]

    def file(self, ref: StreamRef) -> bytes:
        return b"".join(self.chunks(ref))


def read(
    url: str, *relations: Relation, recorder: Recorder | None = None, jobs: int = 2
) -> list[StoredTable]:
    with snapshot(url) as open_one:
        return read_tables(relations, open_one, recorder or MemoryRecorder(), QuietProgress(), jobs)


def read_one(url: str, relation: Relation, jobs: int = 2) -> tuple[Table, pa.Table]:
    """What is said of the relation's table, and its rows as plain pyarrow reads them."""
    recorder = MemoryRecorder()
    [(table, streams)] = read(url, relation, recorder=recorder, jobs=jobs)
    assert table.parts == tuple(path for path, _ in streams)
    return table, pa.concat_tables(_table_of(recorder.file(ref)) for _, ref in streams)


def _table_of(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data), use_threads=False, pre_buffer=False)
