"""Tables are stored whole and in order, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
import pytest

from backup_platform.domain.model import StreamRef
from backup_platform.domain.ports import Buffer, Chunking
from backup_platform.domain.tables import Storage
from backup_platform.errors import SourceError, StoreError
from backup_platform.repository.creating import init_repository
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.sources.postgres.capture import queries, ranges
from backup_platform.sources.postgres.capture.tables import read_tables
from backup_platform.sources.tabular import parquet as groups
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.sources.postgres.capture.reading_support import (
    MemoryRecorder,
    read,
    read_one,
    relation_of,
    snapshot,
)
from backup_platform_tests.support import ManualClock, QuietProgress


@pytest.fixture
def connection(database18: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database18, autocommit=True) as connection:
        yield connection


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a few thousand rows have many pieces, groups and batches."""
    monkeypatch.setattr(ranges, "SMALL", 64 << 10)
    monkeypatch.setattr(groups, "GROUP_BYTES", 32 << 10)
    monkeypatch.setattr(queries, "BATCH_BYTES", 8 << 10)


TEXT_TYPES = {
    "numeric": ("1.500", "NaN", "Infinity", "-0.00000000000000000001", "1" + "0" * 60),
    "numeric(50,3)": ("1.500", "NaN"),
    "numeric(3,-2)": ("12300",),
    "json": ('{"b" : 1, "a":[]}',),
    "jsonb": ('{"b": 1, "ä\\"\\n": [null, 1.10]}',),
    "int[]": ("{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[5:6]={1,2}"),
    "text[]": ('{"a,b","c\\"d",NULL,"null",""}',),
    "char(4)[]": ('{"a   "}',),
    "int4range": ("empty", "[1,5)", "(,)"),
    "int4multirange": ("{[1,3),[5,9)}",),
    "inet": ("10.0.0.1", "10.0.0.1/8", "::1"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "bit(3)": ("101",),
    "varbit": ("", "10101"),
    "interval": ("1 year 2 mons -3 days 04:05:06.789", "-00:00:01"),
    "timetz": ("24:00:00-08", "12:00:00.5+05:30"),
    "money": ("-$12,345.67",),
    "xml": ("<a>b</a>", '<?xml version="1.0"?><a/>'),
    "tsvector": ("'a':1A 'b c':2",),
    "point": ("(0.1,-0)",),
    "name": ("x",),
    '"char"': ("x",),
    "oid": ("4294967295",),
    "pg_lsn": ("16/B374D848",),
    "regclass": ("pg_catalog.pg_class",),
    "pair": ("(,)", '(1,"a b")'),
    "mood": ("so so",),
    "short": ("a  ", ""),
    "loud": ("(quiet)",),
}


def knows_xml(connection: psycopg.Connection) -> bool:
    """The server of the wheel is built without it."""
    try:
        connection.execute("SELECT xml '<a/>'")
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


def test_other_types_are_the_text_that_copy_writes(database: str) -> None:
    """Also where a cast to text would give another text, as of inet, of a row of nulls and of `loud`."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TYPE pair AS (a int, b text); CREATE TYPE mood AS ENUM ('so so'); CREATE TYPE loud AS (w text);"
            "CREATE DOMAIN short AS char(4); CREATE FUNCTION shout(loud) RETURNS text LANGUAGE sql AS "
            "'SELECT upper($1.w)'; CREATE CAST (loud AS text) WITH FUNCTION shout(loud)"
        )
        kinds = {k: v for k, v in TEXT_TYPES.items() if k != "xml" or knows_xml(connection)}
        for n, (kind, values) in enumerate(kinds.items()):
            connection.execute(f"CREATE TABLE t{n} (n serial PRIMARY KEY, v {kind})")
            for value in (*values, None):
                connection.execute(f"INSERT INTO t{n} (v) VALUES (%s)", (value,))
        recorder = MemoryRecorder()
        relations = [relation_of(connection, f"t{n}") for n in range(len(kinds))]
        found = read(database, *relations, recorder=recorder)
        for (table, _), kind in zip(found, kinds, strict=True):
            assert table.columns[1].storage is Storage.TEXT, kind
            connection.execute("SET lc_monetary = 'C'; SET search_path = pg_catalog")
            with connection.cursor().copy(f"COPY public.{table.name} (v) TO STDOUT") as copy:
                expected = [row[0] for row in copy.rows()]
            connection.execute("RESET search_path")
            _, stored = read_one(database, relation_of(connection, table.name))
            assert stored.column("v").to_pylist() == expected, kind


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_late_illegal_value_moves_the_whole_column_to_text(
    database18: str, connection: psycopg.Connection, jobs: int
) -> None:
    connection.execute(
        "CREATE TABLE t (n int PRIMARY KEY, d date, p numeric(8,2));"
        "INSERT INTO t SELECT g, date '2020-01-01' + g % 99, g FROM generate_series(1, 20000) g;"
        "UPDATE t SET d = 'infinity' WHERE n = 17000; UPDATE t SET p = 'NaN' WHERE n = 5; ANALYZE t"
    )
    table, stored = read_one(database18, relation_of(connection, "t", correlation=1.0), jobs)
    assert [column.storage for column in table.columns] == [Storage.NATIVE, Storage.TEXT, Storage.TEXT]
    assert len(table.parts) > 3
    assert stored.column("n").to_pylist() == list(range(1, 20001))
    expected = connection.execute("SELECT d::text, p::text FROM t ORDER BY n").fetchall()
    assert list(zip(stored["d"].to_pylist(), stored["p"].to_pylist(), strict=True)) == expected


def test_tables_without_rows_and_without_columns(database18: str, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE empty (a int); CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES")
    relations = [relation_of(connection, name) for name in ("empty", "bare")]
    (empty, parts), (bare, none) = read(database18, *relations)
    assert (empty.rows, len(empty.parts), len(parts)) == (0, 1, 1)
    assert (bare.rows, bare.parts, none) == (1, (), ())


def test_odd_names(database18: str, connection: psycopg.Connection) -> None:
    connection.execute(
        'CREATE SCHEMA "a.b""c"; CREATE TABLE "a.b""c"."select /%" ("x.y" text, "ü "" \' \\" int)'
    )
    connection.execute('INSERT INTO "a.b""c"."select /%" VALUES (\'v\', 1)')
    table, stored = read_one(database18, relation_of(connection, '"a.b""c"."select /%"'))
    assert stored.to_pydict() == {"x.y": ["v"], "ü \" ' \\": [1]}
    assert table.parts == ("tables/a.b%22c/select%20%2F%25/00000.parquet",)


def test_conditions_and_only(database18: str, connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);"
        "INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (4)"
    )
    described = relation_of(connection, "parent", only=True, condition="a > 1 OR false")
    assert read_one(database18, described)[1].to_pydict() == {"a": [2, 3]}


def test_rows_of_a_snapshot(database18: str, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    described = relation_of(connection, "t")
    with snapshot(database18) as open_one:
        connection.execute("INSERT INTO t VALUES (2)")
        [(table, _)] = read_tables([described], open_one, MemoryRecorder(), QuietProgress(), 2)
    assert table.rows == 1


def test_enumerations_are_read_in_the_order_of_their_index(
    database18: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        "CREATE TYPE size AS ENUM ('small', 'large'); CREATE TABLE t (s size PRIMARY KEY);"
        "INSERT INTO t VALUES ('large'), ('small')"
    )
    assert read_one(database18, relation_of(connection, "t"))[1].to_pydict() == {"s": ["small", "large"]}


@pytest.mark.usefixtures("_small")
def test_progress_is_told_the_size_once(database18: str, connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE TABLE t (d date); INSERT INTO t SELECT 'infinity' FROM generate_series(1, 9000)"
    )
    described, progress = relation_of(connection, "t"), QuietProgress()
    with snapshot(database18) as open_one:
        read_tables([described], open_one, MemoryRecorder(), progress, 2)
    assert progress.done == progress.expected == described.bytes


class FailingRecorder(MemoryRecorder):
    """Fails in the second stream."""

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        if self.streams:
            raise StoreError("The disk is full.")
        return super().stream(blocks, chunking)


@pytest.mark.usefixtures("_small")
def test_a_failure_of_the_repository_ends_all_threads(
    database18: str, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE t AS SELECT g FROM generate_series(1, 50000) g")
    with pytest.raises(StoreError):
        read(database18, relation_of(connection, "t"), recorder=FailingRecorder())
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("table")]


@pytest.mark.usefixtures("_small")
def test_a_lost_connection_is_the_sources_failure(database18: str, connection: psycopg.Connection) -> None:
    class Killing(MemoryRecorder):
        def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return super().stream(blocks, chunking)

    connection.execute("CREATE TABLE t AS SELECT repeat('x', 200) FROM generate_series(1, 90000) g")
    # The next connection may be the one that notices: whoever exported the snapshot is gone, too.
    with pytest.raises(SourceError, match=r"public\.t|connection to read tables") as failure:
        read(database18, relation_of(connection, "t"), recorder=Killing())
    assert failure.value.retryable


def test_a_dropped_column_is_an_error(database18: str, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE t (a int, b int)")
    described = relation_of(connection, "t")
    connection.execute("ALTER TABLE t DROP COLUMN b")
    with pytest.raises(SourceError, match=r"public\.t"):
        read(database18, described)


def test_a_second_capture_stores_nothing_new(
    database18: str, connection: psycopg.Connection, tmp_path: Path
) -> None:
    connection.execute(
        "CREATE TABLE t (n int PRIMARY KEY, v text, d numeric(9,2));"
        "INSERT INTO t SELECT g, md5(g::text), g FROM generate_series(1, 30000) g; ANALYZE t"
    )
    store, clock = DirectoryStore(str(tmp_path / "repository")), ManualClock()
    init_repository(store, clock)
    stored = []
    for _ in range(2):
        with Session(Repository(store, clock), None) as session, snapshot(database18) as open_one:
            read_tables([relation_of(connection, "t")], open_one, session.recorder, QuietProgress(), 2)
            session.finish()
            stored.append(session.stats.new_bytes)
    assert stored[0] > 1_000_000
    assert stored[1] == 0
