"""Capture from a hot standby: the same instant everywhere, and what a standby does not have is named."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from backup_platform.sources.postgres.server.account import server_account
from backup_platform.sources.postgres.server.private_server import PrivateServer, private_server
from backup_platform_tests.actions.coverage_support import look
from backup_platform_tests.sources.postgres.capture_support import capture
from backup_platform_tests.sources.postgres.servers import execute, fetch_value, postgres_15

_PRIMARY = {"wal_level": "replica", "max_wal_senders": "4", "full_page_writes": "on", "max_connections": "30"}
_HBA = ("local all all trust", "local replication all trust")
_CONFIG = """
unix_socket_directories = '{home}'
port = 5433
hot_standby = on
max_locks_per_transaction = 1024
max_worker_processes = 16
max_connections = 200
fsync = off
recovery_init_sync_method = syncfs
listen_addresses = ''
primary_conninfo = '{primary}'
"""


@pytest.fixture(scope="module")
def replicated() -> Iterator[tuple[str, str]]:
    """URLs of a database on a primary, and on its standby."""
    with (
        private_server(postgres_15(), settings=_PRIMARY, hba=_HBA, layers=()) as primary,
        _standby(primary) as standby,
    ):
        yield primary.url(), standby


@contextmanager
def _standby(primary: PrivateServer) -> Iterator[str]:
    with TemporaryDirectory(prefix="backup-standby-", ignore_cleanup_errors=True) as home:
        account, data = server_account(), Path(home) / "data"
        copy = [f"{primary.bin_dir}/pg_basebackup", "-D", str(data), "-c", "fast", "-d", primary.url()]
        subprocess.run(copy, check=True, capture_output=True)
        with (data / "postgresql.conf").open("a") as file:
            file.write(_CONFIG.format(home=home, primary=primary.url()))
        (data / "standby.signal").touch()
        account.owns([home, str(data), *(str(path) for path in data.rglob("*") if not path.is_symlink())])
        # Its own group reaches the primary's socket.
        group = os.stat(primary.home.socket_dir).st_gid
        identity: dict[str, Any] = {}
        if account.uid >= 0:
            identity = {"user": account.uid, "group": group, "extra_groups": []}
        with open(os.path.join(home, "log"), "wb") as log:
            command = [f"{primary.bin_dir}/postgres", "-D", str(data)]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **identity)
            url = f"postgresql://postgres@/postgres?host={home}&port=5433"
            try:
                _await(url, process, Path(log.name))
                yield url
            finally:
                process.terminate()
                process.wait(30)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text())


def _caught_up(primary: str, standby: str) -> None:
    position = fetch_value(primary, "SELECT pg_current_wal_flush_lsn()::text")
    deadline = time.monotonic() + 30
    while not fetch_value(standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_standby_is_captured_and_says_what_it_lacks(replicated: tuple[str, str]) -> None:
    primary, standby = replicated
    execute(
        primary,
        "CREATE TABLE t AS SELECT x FROM generate_series(1, 500) x",
        "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS x",
        "CREATE SEQUENCE s",
        "SELECT setval('s', 40)",
        "SELECT lo_from_bytea(5, 'large')",
    )
    _caught_up(primary, standby)
    found = capture(standby, jobs=3)
    assert found.facts["in_recovery"] is True
    assert found.facts["row_counts"] == {"public.t": 500}
    assert found.facts["large_objects"] == 1
    assert "/" in found.facts["lsn"]
    assert found.facts["sequences"]["public.s"][0] >= 40
    assert found.left_out == {"public.scratch": "unlogged table: unlogged, so it is not on this standby"}
    assert found.facts["warnings"] == [
        "public.scratch is not stored: unlogged, so it is not on this standby."
    ]
    there = capture(primary)
    assert there.facts["row_hashes"]["public.t"] == found.facts["row_hashes"]["public.t"]
    assert there.facts["schema_fingerprint"] == found.facts["schema_fingerprint"]


def test_a_source_on_the_standby_protects_the_database_of_the_primary(
    replicated: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = replicated
    execute(primary, "CREATE TABLE IF NOT EXISTS looked_for (n int)")
    plan = (
        "sources: {s: {postgres: '${env:SURVEY_SOURCE}', every: day}}\n"
        "coverage: {p: {postgres: '${env:SURVEY_PLACE}'}}\n"
    )
    for place, source in ((primary, standby), (standby, primary)):
        monkeypatch.setenv("SURVEY_PLACE", place)
        monkeypatch.setenv("SURVEY_SOURCE", source)
        [found] = look(tmp_path, plan).places
        assert (found.findings, found.protected) == ((), 1)
