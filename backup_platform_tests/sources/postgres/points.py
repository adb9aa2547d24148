"""Recovery points made by hand, of real databases: restore is tested without trusting the capture."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_postgresql import dbapi

from backup_platform.domain.model import (
    Content,
    Entry,
    EntryKind,
    RecoveryPoint,
    Stat,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import Buffer
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Column, Storage, Table
from backup_platform.sources.postgres.document import (
    DATABASE_PATH,
    DOCUMENT_VERSION,
    SCHEMA_PATH,
    CapturedDatabase,
    LargeObject,
    Locale,
    QualifiedName,
    SequenceValue,
    encode,
)
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.tabular.stored import part_path

NATIVE: tuple[str, ...] = (
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "text",
    "bytea",
    "date",
    "uuid",
)
NATIVE += ("timestamp without time zone", "timestamp with time zone", "time without time zone")
MADE = datetime(2026, 11, 22, tzinfo=UTC)


class Streams:
    """A PointReader of streams in memory, each of one blob."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def entries(self) -> Iterator[Entry]:
        for number, path in enumerate(sorted(self.data), 1):
            size = len(self.data[path])
            stat = Stat(path, EntryKind.FILE, 0o600, 0, 0, size, 0, 0, number, 0, 1, 0)
            yield Entry(stat, content=Content(path.ljust(32 * 8, b"\0")))

    def read(self, content: Content) -> Iterator[Buffer]:
        yield self.data[content.blobs.rstrip(b"\0")]

    def open(self, content: Content) -> BinaryIO:
        return io.BytesIO(self.data[content.blobs.rstrip(b"\0")])

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        yield from content.ids()


def recovery_point() -> RecoveryPoint:
    window = Window("2026-11-22", MADE, MADE)
    ref = StreamRef(0, Content())
    return RecoveryPoint(
        "ab" * 32,
        1,
        "",
        "shop",
        "postgres",
        window,
        "UTC",
        MADE,
        MADE,
        0.0,
        False,
        0,
        (),
        {},
        Stats(),
        ref,
        {},
    )


def capture_by_hand(url: str, bin_dir: str, **changes: Any) -> Streams:
    """All of a database that nobody writes to; `changes` replace fields of its document."""
    streams = Streams()
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = pg_catalog; SET TimeZone = 'UTC'")
        tables = list(_tables(connection, url, streams))
        document = _document(connection, **changes)
        _large_objects(connection, document, streams)
    streams.data[CATALOGUE_PATH] = json.dumps(Catalogue("postgres", tuple(tables)).to_json()).encode()
    streams.data[DATABASE_PATH] = encode(document)
    dump = [f"{bin_dir}/pg_dump", "--schema-only", "--format=custom", f"--dbname={url}"]
    streams.data[SCHEMA_PATH] = subprocess.run(dump, check=True, capture_output=True).stdout
    return streams


def _tables(connection: psycopg.Connection[Any], url: str, streams: Streams) -> Iterator[Table]:
    query = """SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|information_schema' ORDER BY 2, 3"""
    for oid, schema, name in connection.execute(query).fetchall():
        yield _table(connection, url, streams, oid, schema, name)


def _table(
    connection: psycopg.Connection[Any], url: str, streams: Streams, oid: int, schema: str, name: str
) -> Table:
    query = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s AND attnum > 0
                  AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
    columns = tuple(
        Column(column, kind, Storage.NATIVE if kind in NATIVE else Storage.TEXT)
        for column, kind in connection.execute(query, (oid,)).fetchall()
    )
    source = f"FROM ONLY {identifier(schema, name)}"
    if not columns:
        rows = connection.execute(f"SELECT count(*) {source}".encode()).fetchone()
        return Table(schema, name, (), (), rows[0] if rows else 0, ())
    named = ", ".join(identifier(c.name) + ("" if c.type in NATIVE else "::text") for c in columns)
    with dbapi.connect(url) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        cursor.fetchall()
        cursor.execute(f"SELECT {named} {source}")
        found = cursor.fetch_arrow_table().rename_columns([c.name for c in columns])
    parts: list[str] = []
    for first in range(0, max(1, found.num_rows), max(1, found.num_rows // 2 + 1)):
        path = part_path(schema, name, len(parts))
        streams.data[path.encode()] = parquet(found.slice(first, found.num_rows // 2 + 1))
        parts.append(path)
    return Table(schema, name, columns, (), found.num_rows, tuple(parts))


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _document(connection: psycopg.Connection[Any], **changes: Any) -> CapturedDatabase:
    query = """SELECT datname, pg_get_userbyid(datdba), current_setting('server_version_num')::int,
                      pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database
                WHERE datname = current_database()"""
    row = connection.execute(query).fetchone()
    assert row is not None
    name, owner, version, *locale = row
    sequences = connection.execute(
        """SELECT n.nspname, c.relname, s.seqstart, pg_sequence_last_value(c.oid) FROM pg_sequence s
             JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2"""
    ).fetchall()
    objects = connection.execute(
        """SELECT oid::bigint, pg_get_userbyid(lomowner), obj_description(oid, 'pg_largeobject')
             FROM pg_largeobject_metadata ORDER BY 1"""
    ).fetchall()
    views = connection.execute(
        """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'm' AND c.relispopulated ORDER BY c.oid"""
    ).fetchall()
    roles = connection.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384 OR oid = 10").fetchall()
    extensions = connection.execute("SELECT extname, extversion FROM pg_extension ORDER BY 1").fetchall()
    fields: dict[str, Any] = {
        "roles": tuple(row[0] for row in roles),
        "extensions": tuple(extensions),
        "sequences": tuple(
            SequenceValue(QualifiedName(schema, sequence), start if last is None else last, last is not None)
            for schema, sequence, start, last in sequences
        ),
        "refresh": tuple(QualifiedName(*view) for view in views),
        "large_objects": tuple(LargeObject(oid, by, None, comment) for oid, by, comment in objects),
    }
    return CapturedDatabase(
        DOCUMENT_VERSION, name, owner, version, version, Locale(*locale), **(fields | changes)
    )


def _large_objects(connection: psycopg.Connection[Any], document: CapturedDatabase, streams: Streams) -> None:
    if not document.large_objects:
        return
    data = [
        connection.execute("SELECT lo_get(%s)", (item.oid,)).fetchone() for item in document.large_objects
    ]
    table = pa.table(
        {
            "oid": pa.array([item.oid for item in document.large_objects], pa.int64()),
            "offset": pa.array([0] * len(data), pa.int64()),
            "data": pa.array([row[0] if row else b"" for row in data], pa.binary()),
        }
    )
    streams.data[b"large_objects/00000.parquet"] = parquet(table)
