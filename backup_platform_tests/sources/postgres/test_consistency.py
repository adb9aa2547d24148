"""What is captured is one instant, whatever happens to the database meanwhile: writers, and changes of its tables."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import SourceBusyError, SourceError
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.fidelity_database import new_database
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.running import Running, wait_until, waits_for_lock
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value

BALANCES = """SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
    (SELECT sum(tbalance) FROM pgbench_tellers), coalesce((SELECT sum(delta) FROM pgbench_history), 0)"""


def bench(tmp_path: Path, server: Server, url: str, lock_timeout: float = 30.0) -> PointBench:
    options = PostgresOptions(url, bin_dir=server.bin_dir, lock_timeout=lock_timeout)
    return PointBench(tmp_path / "repository", options)


@contextmanager
def pgbench(server: Server, url: str) -> Iterator[None]:
    """Two clients write while the block runs."""
    program = os.path.join(server.bin_dir, "pgbench")
    place = ["-h", server.socket_dir, "-p", str(server.port), "-U", "postgres"]
    database = str(fetch_value(url, "SELECT current_database()"))
    subprocess.run([program, "-i", "-q", "-s", "1", *place, database], check=True, capture_output=True)
    writers = subprocess.Popen(
        [program, "-n", "-c", "2", "-T", "600", *place, database], stdout=-3, stderr=-3
    )
    try:
        yield
        assert writers.poll() is None, "pgbench ended early"
    finally:
        writers.kill()
        writers.wait()


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_the_books_balance_while_writers_run(server: Server, tmp_path: Path, times: int) -> None:
    with new_database(server) as url, pgbench(server, url):
        made = bench(tmp_path, server, url)
        moved = {balances(server, made, made.backup()) for _ in range(times)}
        assert len(moved) > 1, "nobody wrote"


def balances(server: Server, made: PointBench, point: RecoveryPoint) -> int:
    with new_database(server) as restored:
        made.restore(point, restored)
        (sums,) = fetch(restored, BALANCES)
    assert len(set(sums)) == 1, sums
    return int(sums[0])


# Every change leaves in `expected` what the database looks like after it, in the same transaction.
EXPECTED = """
CREATE TABLE expected (columns text, rows bigint, others text);
CREATE TABLE moving (id int PRIMARY KEY, a text);
INSERT INTO moving SELECT i, 'row ' || i FROM generate_series(1, 2000) i;
CREATE VIEW looks AS SELECT
    (SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = to_regclass('public.moving') AND attnum > 0 AND NOT attisdropped) AS columns,
    public.how_many() AS rows,
    (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
        WHERE relname ~ '^other' AND relkind = 'r') AS others;
"""
HOW_MANY = """CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint := 0; BEGIN
IF to_regclass('public.moving') IS NOT NULL THEN EXECUTE 'SELECT count(*) FROM public.moving' INTO n; END IF;
RETURN n; END $$"""
REMEMBER = "DELETE FROM expected; INSERT INTO expected SELECT * FROM looks"
CHANGES = {
    "add a column": "ALTER TABLE moving ADD b int DEFAULT 5",
    "add a column and fill it": "ALTER TABLE moving ADD c timestamptz DEFAULT clock_timestamp()",
    "drop a column": "ALTER TABLE moving DROP a",
    "rename a column": "ALTER TABLE moving RENAME a TO z",
    "change a type": "ALTER TABLE moving ALTER id TYPE bigint",
    "change a type in place": "ALTER TABLE moving ALTER a TYPE varchar",
    "empty it": "TRUNCATE moving",
    "empty it and fill it": "TRUNCATE moving; INSERT INTO moving VALUES (-1, 'new'), (-2, 'new')",
    "drop it": "DROP TABLE moving",
    "drop it and make it anew": "DROP TABLE moving; CREATE TABLE moving (id int); INSERT INTO moving VALUES (7)",
    "rename it away": "ALTER TABLE moving RENAME TO other_moved",
    "swap it": "ALTER TABLE moving RENAME TO other_old; CREATE TABLE moving (LIKE other_old);"
    " INSERT INTO moving VALUES (9, 'swapped')",
    "make another": "CREATE TABLE other_1 (v int); INSERT INTO other_1 VALUES (1)",
    "write it anew": "CLUSTER moving USING moving_pkey",
}


def prepare(url: str) -> None:
    execute(url, HOW_MANY, EXPECTED, REMEMBER)


def consistent(server: Server, made: PointBench, point: RecoveryPoint) -> None:
    with new_database(server) as restored:
        made.restore(point, restored)
        assert fetch(restored, "SELECT * FROM looks") == fetch(restored, "SELECT * FROM expected")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_the_capture_waits_for(server18: Server, tmp_path: Path, change: str) -> None:
    """The change is under way when the capture begins, and commits while the capture waits for its lock."""
    with new_database(server18) as url:
        prepare(url)
        made = bench(tmp_path, server18, url)
        with psycopg.connect(url) as writer:
            writer.execute(f"{CHANGES[change]}; {REMEMBER}".encode())
            capture = Running(made.backup)
            wait_until(lambda: capture.ended or waits_for_lock(url))
            writer.commit()
        judge(server18, made, capture)


def judge(server: Server, made: PointBench, capture: Running) -> bool:
    """An error or a consistent point. True for a point."""
    outcome = capture.result()
    if isinstance(outcome, RecoveryPoint):
        consistent(server, made, outcome)
        return True
    assert isinstance(outcome, SourceError), outcome
    assert outcome.retryable, outcome
    assert made.points() == []
    return False


def test_a_lock_that_is_not_given_is_an_error_of_its_own(server18: Server, tmp_path: Path) -> None:
    with new_database(server18) as url:
        prepare(url)
        made = bench(tmp_path, server18, url, lock_timeout=0.3)
        with psycopg.connect(url) as writer:
            writer.execute("LOCK TABLE moving IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            with pytest.raises(SourceBusyError) as caught:
                made.backup()
            assert time.monotonic() - started < 15
        assert "moving" in str(caught.value)
        assert "lock_timeout" in caught.value.hint
        consistent(server18, made, made.backup())


LOOP = ("add a column and fill it", "empty it and fill it", "make another", "rename a column")
UNDO = """DROP TABLE IF EXISTS other_1; DROP TABLE moving; CREATE TABLE moving (id int PRIMARY KEY, a text);
    INSERT INTO moving SELECT i, 'row ' || i FROM generate_series(1, 500) i"""


@pytest.mark.parametrize("times", [2, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_changes_without_end(server: Server, tmp_path: Path, times: int) -> None:
    """Each capture ends in an error or in a point of one instant."""
    with new_database(server) as url:
        prepare(url)
        stop = threading.Event()
        changer = Running(lambda: change_until(stop, url))
        try:
            for number in range(times):
                made = bench(tmp_path / str(number), server, url, lock_timeout=5)
                judge(server, made, Running(made.backup))
        finally:
            stop.set()
        assert changer.result() is None
        made = bench(tmp_path / "quiet", server, url)
        assert judge(server, made, Running(made.backup))


def change_until(stop: threading.Event, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.is_set():
            for statement in (*(CHANGES[name] for name in LOOP), UNDO):
                connection.execute(f"BEGIN; {statement}; {REMEMBER}; COMMIT".encode())
                time.sleep(1)  # a loop without a pause stops every capture, and only that
