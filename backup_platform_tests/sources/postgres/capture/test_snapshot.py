"""One instant, whatever others do meanwhile; and clear errors for what gets in the way."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pyarrow.parquet as pq
import pytest

from backup_platform.errors import SourceBusyError, SourceError
from backup_platform.sources.postgres.catalog.relations import select
from backup_platform_tests.sources.postgres.capture_support import MemoryRecorder, Steps, capture
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch_value


def once(action: Callable[[], None], at: str) -> Callable[[str], None]:
    """Runs `action` at the first note that begins with `at`."""
    done: list[str] = []

    def on_note(text: str) -> None:
        if text.startswith(at) and not done:
            done.append(text)
            action()

    return on_note


@contextmanager
def holding(url: str, statement: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, application_name="migration") as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def test_what_is_written_after_the_snapshot_is_in_no_part_of_it(database: str) -> None:
    execute(database, "CREATE TABLE t AS SELECT 1 AS x", "SELECT lo_from_bytea(1, 'before')")

    def write() -> None:
        execute(
            database,
            "INSERT INTO t VALUES (2)",
            "CREATE TABLE later (x int)",
            "SELECT lo_put(1, 0, 'after!')",
            "SELECT lo_create(2)",
        )

    found = capture(database, progress=Steps(on_note=once(write, "schema")))
    assert found.facts["row_counts"] == {"public.t": 1}
    assert [each.oid for each in found.database.large_objects] == [1]
    objects = pq.read_table(io.BytesIO(found.recorder.content("large_objects/00000.parquet")))
    assert objects.column("data").to_pylist() == [b"before"]
    assert ("TABLE", "public.later") not in {(o["type"], o["name"]) for o in found.facts["schema"]}


def test_a_table_that_is_locked_is_named_with_who_has_it(database: str) -> None:
    execute(database, "CREATE TABLE free ()", "CREATE TABLE held ()")
    with holding(database, "LOCK TABLE held") as other:
        holder = other.info.backend_pid
        with pytest.raises(SourceBusyError, match=r"public\.held .* by process \d+ \(migration\)") as caught:
            capture(database, lock_timeout=0.2)
    assert f"process {holder} " in caught.value.message
    assert caught.value.retryable


@pytest.mark.parametrize("when", ["1 large", "facts"])
def test_a_migration_that_waits_for_the_capture_does_not_stop_it(database18: str, when: str) -> None:
    """Its request for a lock comes before every later one of the same table."""
    execute(
        database18,
        "CREATE TABLE t AS SELECT x FROM generate_series(1, 1000) x",
        "SELECT lo_from_bytea(1, 'x')",
    )
    waiting: list[threading.Thread] = []

    def migrate() -> None:
        waiting.append(threading.Thread(target=execute, args=(database18, "ALTER TABLE t ADD COLUMN y int")))
        waiting[0].start()
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        deadline = time.monotonic() + 20
        while not fetch_value(database18, query):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    found = capture(database18, progress=Steps(on_note=once(migrate, when)), lock_timeout=2)
    waiting[0].join(20)
    assert found.facts["row_counts"] == {"public.t": 1000}
    assert [column.name for column in found.catalogue.tables[0].columns] == ["x"]
    assert fetch_value(database18, "SELECT count(y) FROM t") == 0


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        ("DROP TABLE t", ["kept"]),
        ("CREATE TABLE new (a int)", ["kept", "new", "t"]),
        ("ALTER TABLE t RENAME TO u", ["kept", "u"]),
        ("CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s", ["kept", "t"]),
    ],
)
def test_a_change_between_the_list_and_the_locks_is_seen(
    database18: str, monkeypatch: pytest.MonkeyPatch, change: str, tables: list[str]
) -> None:
    execute(database18, "CREATE TABLE t AS SELECT 1 AS x", "CREATE TABLE kept ()")
    calls: list[int] = []

    def change_once(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            execute(database18, *change.split("; "))
        return select(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("backup_platform.sources.postgres.capture.snapshot.select", change_once)
    found = capture(database18)
    assert sorted(table.name for table in found.catalogue.tables) == tables
    assert len(calls) == 2
    dumped = {o["name"].split(".")[1] for o in found.facts["schema"] if o["type"] == "TABLE"}
    assert sorted(dumped) == tables


def test_a_list_that_never_rests_is_an_error(database18: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def change_always(*arguments: object, **options: object) -> object:
        calls.append(1)
        execute(database18, f"CREATE TABLE t{len(calls)} ()")
        return select(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("backup_platform.sources.postgres.capture.snapshot.select", change_always)
    with pytest.raises(SourceBusyError, match="all the time"):
        capture(database18)


@pytest.mark.parametrize(
    "change",
    ["ALTER TYPE mood RENAME VALUE 'sad' TO 'low'", "ALTER SCHEMA s RENAME TO r"],
)
@pytest.mark.parametrize("when", ["schema", "facts"])
def test_what_no_lock_protects_is_compared_at_the_end(database18: str, change: str, when: str) -> None:
    """The text of an enum is the current one, also inside an older snapshot."""
    execute(
        database18,
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (m mood)",
        "INSERT INTO s.t VALUES ('sad')",
    )
    recorder = MemoryRecorder()
    with pytest.raises(SourceError, match=r"changed while it was|was changed|\"s\" does not exist") as caught:
        capture(
            database18,
            recorder=recorder,
            progress=Steps(on_note=once(lambda: execute(database18, change), when)),
        )
    assert caught.value.retryable
    assert recorder.entries == []


def test_new_labels_and_new_tables_disturb_nothing(database18: str) -> None:
    execute(database18, "CREATE TYPE mood AS ENUM ('glad')", "CREATE TABLE t (m mood)")

    def extend() -> None:
        execute(database18, "ALTER TYPE mood ADD VALUE 'sad'", "CREATE TABLE other (m mood)", "VACUUM t")

    assert capture(database18, progress=Steps(on_note=once(extend, "facts"))).facts["tables"] == 1


@pytest.mark.parametrize("when", ["schema", "1 large", "facts"])
@pytest.mark.parametrize("who", ["all", "holder"])
def test_killed_connections_are_a_retryable_error(database18: str, when: str, who: str) -> None:
    execute(
        database18,
        "CREATE TABLE t AS SELECT x FROM generate_series(1, 1000) x",
        "SELECT lo_from_bytea(1, 'x')",
    )
    order = "backend_start LIMIT 1" if who == "holder" else "backend_start"

    def kill() -> None:
        execute(
            database18,
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity "
            f"WHERE application_name = 'backup_platform' AND datname = current_database() ORDER BY {order}) x",
        )
        time.sleep(0.1)

    recorder = MemoryRecorder()
    with pytest.raises(SourceError) as caught:
        capture(database18, recorder=recorder, progress=Steps(on_note=once(kill, when)))
    assert caught.value.retryable, caught.value
    assert recorder.entries == []


def test_a_connection_that_is_killed_in_the_middle_of_a_table_is_a_retryable_error(database18: str) -> None:
    execute(
        database18, "CREATE TABLE t AS SELECT x, repeat(md5(x::text), 30) s FROM generate_series(1, 60000) x"
    )
    active = "state = 'active' AND query LIKE '%COPY%' AND pid <> pg_backend_pid()"
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 20
        while not killed and time.monotonic() < deadline:
            query = f"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {active}"
            killed.extend([1] * fetch_value(database18, query))
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    recorder = MemoryRecorder()
    with pytest.raises(SourceError, match="closed the connection") as caught:
        capture(database18, recorder=recorder, facts="counts")
    thread.join()
    assert killed
    assert caught.value.retryable
    assert recorder.entries == []


def test_the_snapshot_and_the_locks_end_with_the_capture(server18: Server, database18: str) -> None:
    execute(database18, "CREATE TABLE t ()")
    recorder = MemoryRecorder()

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    recorder.before_stream = fail
    with pytest.raises(OSError, match="No space"):
        capture(database18, recorder=recorder)
    execute(database18, "SET lock_timeout = '2s'; DROP TABLE t")
