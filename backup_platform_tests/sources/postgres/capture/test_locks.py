"""Databases with so many tables that the server's lock table has no room for all locks in every session."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from backup_platform.errors import SourceBusyError, SourceError
from backup_platform_tests.sources.postgres import servers
from backup_platform_tests.sources.postgres.capture.test_snapshot import holding, once
from backup_platform_tests.sources.postgres.capture_support import MemoryRecorder, Steps, capture
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch_value, postgres_15, running

SAMPLE = (
    "CREATE TABLE t AS SELECT x FROM generate_series(1, 1000) x",
    "CREATE TABLE u (id serial PRIMARY KEY)",
    "INSERT INTO u DEFAULT VALUES",
    "SELECT lo_from_bytea(1, 'x')",
)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch, database18: str) -> str:
    """A database for whose tables there is no room."""
    monkeypatch.setattr("backup_platform.sources.postgres.capture.locks._SHARE", 1 << 40)
    execute(database18, *SAMPLE)
    return database18


@pytest.mark.soak
def test_as_many_tables_as_pg_dump_manages(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"max_locks_per_transaction": "10", "max_connections": "25"}
    monkeypatch.setattr(servers, "_FASTER", servers._FASTER | small)
    with running(postgres_15()) as server, server.database() as url:
        tables = create(url, 0, 350)
        assert dumps(server, url)
        found = capture(url, jobs=8, facts="counts")
        assert found.facts["tables"] == tables
        while dumps(server, url):
            tables = create(url, tables, 100)
        with pytest.raises(
            SourceError, match=rf"lock table .* full: {tables} tables need a lock each"
        ) as caught:
            capture(url)
        assert "max_locks_per_transaction to" in caught.value.hint
        assert len(str(caught.value)) < 500


def create(url: str, start: int, count: int) -> int:
    """A transaction for so many that the lock table has room for their creation."""
    for number in range(start, start + count, 50):
        statement = (
            "FOR i IN {} .. {} LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP"
        )
        execute(url, f"DO $$ BEGIN {statement.format(number, number + 49)}; END $$")
    return start + count


def dumps(server: Server, url: str) -> bool:
    command = [f"{server.bin_dir}/pg_dump", "--schema-only", f"--dbname={url}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_nothing_is_locked_before_pg_dump_is_done_and_only_once_then(crowded: str) -> None:
    seen: dict[str, int] = {}

    def count(text: str) -> None:
        query = "SELECT count(*) FROM pg_locks WHERE relation IN ('t'::regclass, 'u'::regclass)"
        seen[text.split()[0]] = fetch_value(crowded, query)

    capture(crowded, progress=Steps(on_note=count))
    assert seen["schema"] == 0
    assert seen["facts"] == 2


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t ALTER x TYPE bigint",
        "ALTER TABLE t ADD COLUMN y int; ALTER TABLE t DROP COLUMN y",
        "TRUNCATE t",
        "DROP TABLE t",
        "ALTER TABLE u ALTER id SET DEFAULT 7",
    ],
)
def test_what_is_altered_while_pg_dump_reads_is_begun_anew(
    crowded: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    from backup_platform.sources.postgres.dump.pg_dump import dump_schema

    changed: list[bool] = []

    def alter_once(*arguments: object, **options: object) -> list[str]:
        said = dump_schema(*arguments, **options)  # type: ignore[arg-type]
        if not changed:
            execute(crowded, *change.split("; "))
        changed.append(True)
        return said

    monkeypatch.setattr("backup_platform.sources.postgres.capture.run.dump_schema", alter_once)
    found = capture(crowded)
    assert len(changed) == 2
    there = fetch_value(crowded, "SELECT count(*) FROM pg_class WHERE relname = 't'")
    rows = fetch_value(crowded, "SELECT count(*) FROM t") if there else None
    assert found.facts["row_counts"].get("public.t") == rows


def test_a_migration_in_the_middle_goes_first(crowded: str) -> None:
    """The reader waits behind it, and it for the capture: the capture gives way, and begins anew."""
    waiting: list[threading.Thread] = []

    def migrate() -> None:
        waiting.append(threading.Thread(target=execute, args=(crowded, "ALTER TABLE t ADD COLUMN y int")))
        waiting[0].start()
        _until(lambda: fetch_value(crowded, "SELECT count(*) FROM pg_locks WHERE NOT granted"))

    found = capture(crowded, progress=Steps(on_note=once(migrate, "1 large")))
    waiting[0].join(20)
    assert [column.name for column in found.catalogue.tables[0].columns] == ["x", "y"]


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_table_that_is_locked_is_named_there_too(crowded: str) -> None:
    with (
        holding(crowded, "LOCK TABLE t"),
        pytest.raises(SourceBusyError, match=r"public\.t .* by process \d+ \(migration\)"),
    ):
        capture(crowded, lock_timeout=0.3)


@pytest.mark.parametrize("room", [True, False], ids=["room", "crowded"])
def test_a_lock_of_a_prepared_transaction_is_named(
    server18: Server, database18: str, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    if not room:
        monkeypatch.setattr("backup_platform.sources.postgres.capture.locks._SHARE", 1 << 40)
    execute(database18, "CREATE TABLE t ()")
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE t")
        connection.execute("PREPARE TRANSACTION 'half done'")
        try:
            with pytest.raises(SourceBusyError, match="by the prepared transaction 'half done'") as caught:
                capture(database18, lock_timeout=0.2)
        finally:
            connection.execute("ROLLBACK PREPARED 'half done'")
    assert "ROLLBACK PREPARED" in caught.value.hint


@pytest.mark.parametrize(("jobs", "limit"), [(2, 4), (2, 5), (1, 3)])
def test_a_role_with_few_connections_is_told_how_many_are_needed(
    database18: str, jobs: int, limit: int
) -> None:
    execute(
        database18,
        "CREATE TABLE t ()",
        f"CREATE ROLE few LOGIN IN ROLE pg_read_all_data CONNECTION LIMIT {limit}",
    )
    recorder = MemoryRecorder()
    with pytest.raises(SourceError, match=f"jobs: {jobs} needs {2 * jobs + 2} connections at once") as caught:
        capture(database18.replace("postgres@", "few@", 1), jobs=jobs, recorder=recorder)
    assert ("with 1 it needs 4" in caught.value.hint) is (jobs > 1)
    assert recorder.streams == {}
    execute(database18, f"ALTER ROLE few CONNECTION LIMIT {2 * jobs + 2}")
    assert capture(database18.replace("postgres@", "few@", 1), jobs=jobs).facts["tables"] == 1
