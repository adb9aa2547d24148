"""Connections, servers and processes that die in the middle: what failed is said, and what was stored stays good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import BackupError, SourceError
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.fidelity_database import dump, new_database
from backup_platform_tests.sources.postgres.normalise import differences
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.running import Running, wait_until
from backup_platform_tests.sources.postgres.servers import (
    Server,
    embedded_18,
    execute,
    fetch,
    fetch_value,
    running,
)

FILL = """
CREATE TABLE wide (id int PRIMARY KEY, v text, w numeric(12, 2), t timestamptz);
INSERT INTO wide SELECT i, md5(i::text), i / 7.0, 'epoch'::timestamptz + i * interval '1 s'
    FROM generate_series(1, 60000) i;
CREATE INDEX ON wide (v); CREATE INDEX ON wide (w);
CREATE TABLE notes (id int PRIMARY KEY, v jsonb);
INSERT INTO notes SELECT i, jsonb_build_object('k', md5(i::text)) FROM generate_series(1, 20000) i;
SELECT lo_from_bytea(7, decode(repeat('00ff', 100000), 'hex'));
"""
# At parts of the time that an undisturbed run takes, the same ones in every run of the tests.
MOMENTS = [0.5]
KILLS = [0.25, *(pytest.param(part, marks=pytest.mark.soak) for part in (0.1, 0.5))]
MORE = [pytest.param(n / 20, marks=pytest.mark.soak) for n in range(22)]


@pytest.fixture(scope="module")
def doomed() -> Iterator[Server]:
    """A server of this module's own: it crashes."""
    with running(embedded_18()) as server:
        yield server


@pytest.fixture
def filled(doomed: Server, tmp_path: Path) -> Iterator[PointBench]:
    """A source with one good recovery point."""
    with new_database(doomed) as url:
        execute(url, *FILL.strip().split(";\n"))
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=doomed.bin_dir))
        made.backup()
        yield made


def terminate_sessions(url: str) -> None:
    """Whatever runs in databases, except the one who asks."""
    others = "datname IS NOT NULL AND pid <> pg_backend_pid()"
    fetch(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


def crash_server(url: str) -> None:
    """A process of the server is killed: it throws all sessions out, recovers from its log, and goes on."""
    with psycopg.connect(url, autocommit=True) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        time.sleep(0.05)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    wait_until(lambda: answers(url))


def answers(url: str) -> bool:
    try:
        return bool(fetch_value(url, "SELECT true"))
    except psycopg.Error:
        return False


FAULTS = {"sessions": terminate_sessions, "server": crash_server}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("moment", [*MOMENTS, *MORE])
def test_a_capture_that_is_cut_off(
    doomed: Server, filled: PointBench, tmp_path: Path, fault: str, moment: float
) -> None:
    url = filled.options.url
    started = time.monotonic()
    filled.backup()
    whole = time.monotonic() - started
    before = filled.points()
    capture = Running(filled.backup)
    time.sleep(whole * moment)
    FAULTS[fault](doomed.url())
    outcome = capture.result()
    if not isinstance(outcome, RecoveryPoint):
        assert isinstance(outcome, SourceError), repr(outcome)
        assert outcome.retryable, outcome
        assert outcome.hint
        assert filled.points() == before
    filled.assert_intact()
    next_run_succeeds(doomed, filled, tmp_path)
    assert sessions(url) == 0


def next_run_succeeds(server: Server, made: PointBench, tmp_path: Path) -> None:
    """And what it stores is the database."""
    with new_database(server) as restored:
        made.restore(made.backup(), restored)
        same(server, made.options.url, restored, tmp_path)


def same(server: Server, left: str, right: str, tmp_path: Path) -> None:
    expected = dump(server, left, tmp_path / "original.sql")
    assert differences(expected, dump(server, right, tmp_path / "restored.sql")) == []


def sessions(url: str) -> int:
    """How many others are in the database, once those that are about to leave have left."""
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + 5
    while (found := int(fetch_value(url, count))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("moment", [*MOMENTS, *MORE])
def test_a_restore_that_is_cut_off(
    doomed: Server, filled: PointBench, tmp_path: Path, fault: str, moment: float
) -> None:
    (point,) = filled.points()
    with new_database(doomed) as first:
        started = time.monotonic()
        filled.restore(point, first)
        whole = time.monotonic() - started
    with new_database(doomed) as second, new_database(doomed) as third:
        restore = Running(lambda: filled.restore(point, second))
        time.sleep(whole * moment)
        FAULTS[fault](doomed.url())
        outcome = restore.result()
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, BackupError), repr(outcome)
            assert outcome.hint
        else:
            same(doomed, filled.options.url, second, tmp_path)
        filled.assert_intact()
        filled.restore(point, third)
        same(doomed, filled.options.url, third, tmp_path)


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """As `pg_ctl stop -m immediate`, in the middle of a capture, and nothing answers any more."""
    with running(embedded_18()) as server:
        url = server.url()
        execute(url, *FILL.strip().split(";\n"))
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server.bin_dir))
        point = made.backup()
        capture = Running(made.backup)
        time.sleep(0.3)
        stop_at_once(server)
        outcome = capture.result()
        assert isinstance(outcome, SourceError), repr(outcome)
        assert outcome.retryable
        with pytest.raises(SourceError) as caught:
            made.backup()
        assert caught.value.retryable
        assert made.points() == [point]
        made.assert_intact()


def stop_at_once(server: Server) -> None:
    directory = fetch_value(server.url(), "SHOW data_directory")
    os.kill(int(Path(directory, "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)


BACKUP = """
import sys
from pathlib import Path
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.point_bench import PointBench
root, url, bin_dir, target = sys.argv[1:]
bench = PointBench(Path(root), PostgresOptions(url, bin_dir=bin_dir))
print("begins", flush=True)
if target:
    bench.restore(bench.points()[0], target)
else:
    bench.backup()
"""


def killed(made: PointBench, moment: float, target: str = "") -> None:
    """A process that captures, or restores into `target`, is killed after `moment` seconds."""
    assert made.options.bin_dir
    arguments = [str(made.root), made.options.url, made.options.bin_dir, target]
    process = subprocess.Popen([sys.executable, "-c", BACKUP, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"begins\n"
        time.sleep(moment)
        process.kill()
    process.wait()


@pytest.mark.parametrize("moment", KILLS)
def test_a_capturing_process_that_is_killed(
    doomed: Server, filled: PointBench, moment: float, tmp_path: Path
) -> None:
    before = filled.points()
    killed(filled, moment)
    assert filled.points()[:1] == before
    filled.assert_intact()
    assert sessions(filled.options.url) == 0
    next_run_succeeds(doomed, filled, tmp_path)


@pytest.mark.parametrize("moment", KILLS)
def test_a_restoring_process_that_is_killed(
    doomed: Server, filled: PointBench, moment: float, tmp_path: Path
) -> None:
    (point,) = filled.points()
    with new_database(doomed) as half, new_database(doomed) as whole:
        killed(filled, moment, half)
        assert sessions(half) == 0
        filled.restore(point, whole)
        same(doomed, filled.options.url, whole, tmp_path)
